//! What was deleted stays deleted: a late message, a replay and the next enqueue bring nothing back, and a deletion beside
//! an enqueue leaves no result without its artifacts.

use adapters::amqp::{DeadLetters, Filter, Lane, Topology};
use adapters::postgres::OpenJobs;
use adapters::s3::Store;
use anyhow::{Context, Result};
use clap::Parser;
use domain::{CallData, Job};
use futures_util::TryStreamExt;
use lapin::options::{BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use producer::cli::Cli;
use producer::{Outcome, ProducerError};
use secrecy::ExposeSecret;
use sqlx::Row;
use std::time::{Duration, Instant};
use tests::fleet::{Fleet, Wish};
use tests::proxy::{Mode, Proxy};
use tests::speech;

async fn producer(fleet: &Fleet, arguments: &[&str]) -> Result<(String, Outcome)> {
    let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
    let mut out = Vec::new();
    let outcome = producer::run(&fleet.trial.settings, &cli, &mut out).await?;
    Ok((String::from_utf8(out)?, outcome))
}

async fn artifacts(fleet: &Fleet, job: &Job) -> Result<usize> {
    let s3 = &fleet.trial.settings.s3;
    let found: Vec<_> = fleet.store.list(s3.artifact_bucket(), &s3.artifact_folder(job.job_id)).try_collect().await?;
    Ok(found.len())
}

/// A call that is done, with its job.
async fn done(fleet: &Fleet, name: &str) -> Result<Job> {
    let call = CallData { call_id: Some(name.to_owned()), ..CallData::default() };
    let object = fleet.upload(&format!("{name}.wav"), speech::encoded("a.wav", &["-ar", "16000"])?).await?;
    let job = fleet.job(object, Wish { call, ..Wish::default() });
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    assert_eq!(fleet.ended(job.job_id).await?.get::<String, _>("status"), "done");
    Ok(job)
}

/// Waits until the worker has nothing to do, and has taken what was in its queue.
async fn idle(fleet: &Fleet) -> Result<()> {
    let begun = Instant::now();
    let marker = fleet.job(fleet.upload(&uuid::Uuid::new_v4().to_string(), Vec::new()).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&marker)).await?;
    fleet.ended(marker.job_id).await?;
    anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the worker does not come to an end");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_call_comes_back_only_by_force() -> Result<()> {
    // One slot: what comes later ends later
    let fleet = Fleet::start_with(|settings| settings.worker.slots = 1).await?;
    let job = done(&fleet, "c-17").await?;
    producer(&fleet, &["prune", "--call", "c-17"]).await?;
    let rows = "SELECT count(*) FROM analyses a JOIN recordings r ON r.id = a.recording_id WHERE r.call_id = 'c-17'";
    assert_eq!((fleet.count(rows).await?, artifacts(&fleet, &job).await?), (0, 0));
    // A late duplicate, with the call data in it, and one for another analysis of the same version
    fleet.publisher.publish_job(&job, Lane::Bulk).await?;
    let mut other = job.clone();
    other.options.embedding = false;
    let other = Job::new(other.batch_id, other.object, other.call, other.options, other.submitted_at);
    fleet.publisher.publish_job(&other, Lane::Bulk).await?;
    idle(&fleet).await?;
    assert_eq!((fleet.count(rows).await?, artifacts(&fleet, &job).await?), (0, 0));
    // The next enqueue
    let source = format!("s3://{}/{}", job.object.bucket, job.object.key);
    let (said, outcome) = producer(&fleet, &["enqueue", &source, "--batch", "next"]).await?;
    assert_eq!(outcome, Outcome::Done);
    assert!(said.contains("deleted   1 before (job.deleted)") && said.contains("enqueued  0 "), "{said}");
    assert_eq!(fleet.count(rows).await?, 0);
    // What is kept of it is no data
    assert_eq!(fleet.count("SELECT count(*) FROM forgotten f WHERE f::text LIKE '%c-17%'").await?, 0);
    // Only force brings it back, with artifacts that no earlier attempt knows
    let (said, _) =
        producer(&fleet, &["enqueue", &source, "--batch", "next", "--force", "--wait", "--timeout", "90s"]).await?;
    assert!(said.contains("next: 1 done, 0 failed"), "{said}");
    assert_eq!(artifacts(&fleet, &job).await?, 3);
    assert_eq!(fleet.count("SELECT max(run)::bigint FROM analyses").await?, 1);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_beside_an_enqueue_leaves_no_result_without_artifacts() -> Result<()> {
    let fleet = Fleet::start_with(|settings| settings.worker.slots = 1).await?;
    let job = done(&fleet, "c-18").await?;
    // Given a deletion that has claimed the row, and no more
    let claimed = fleet.database.claim(&[job.job_id], OpenJobs::Keep).await?;
    assert_eq!(claimed.len(), 1);
    // When the call is asked for again, and a message of it comes
    let source = format!("s3://{}/{}", job.object.bucket, job.object.key);
    let (said, outcome) = producer(&fleet, &["enqueue", &source, "--batch", "again", "--force"]).await?;
    assert_eq!(outcome, Outcome::LeftOut, "{said}");
    fleet.publisher.publish_job(&job, Lane::Bulk).await?;
    idle(&fleet).await?;
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'deleting'").await?, 1);
    // and the deletion was interrupted, and is run again
    producer(&fleet, &["prune", "--call", "c-18"]).await?;
    assert_eq!(
        (fleet.count("SELECT count(*) FROM analyses WHERE status <> 'failed'").await?, artifacts(&fleet, &job).await?),
        (0, 0)
    );
    // Then forced many times beside a deletion, it is there with all its artifacts, or not at all
    for _ in 0..4 {
        let force = ["enqueue", &source, "--batch", "again", "--force"];
        let prune = ["prune", "--call", "c-18", "--even-unfinished"];
        let (forced, pruned) = tokio::join!(producer(&fleet, &force), producer(&fleet, &prune));
        forced?;
        pruned?;
    }
    let force = ["enqueue", &source, "--batch", "again", "--force", "--wait", "--timeout", "90s"];
    let begun = Instant::now();
    while producer(&fleet, &force).await?.1 != Outcome::Done {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(90), "it does not come back");
    }
    idle(&fleet).await?;
    let query = "SELECT status, artifact_bucket, result_key, audio_key, embedding_key FROM analyses WHERE job_id = $1";
    let row = sqlx::query(query).bind(job.job_id.0).fetch_one(fleet.database.pool()).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    for column in ["result_key", "audio_key", "embedding_key"] {
        let key: String = row.get(column);
        fleet
            .store
            .head(&row.get::<String, _>("artifact_bucket"), &key)
            .await?
            .with_context(|| format!("{key} is gone"))?;
    }
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_and_open_uploads_of_a_deleted_call_go_with_it() -> Result<()> {
    let fleet = Fleet::start().await?;
    let job = done(&fleet, "c-19").await?;
    // Given dead letters that have the call in their bodies, under other ids, one of them no job
    let url = fleet.trial.settings.amqp.url.expose_secret();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let dead = Topology::new(&fleet.trial.settings.amqp).dead();
    let mut newer: serde_json::Value = serde_json::from_slice(&job.to_json())?;
    newer["v"] = 2.into();
    let other = serde_json::json!({ "v": 2, "call": { "call_id": "c-20" } });
    for body in [job.to_json(), serde_json::to_vec(&newer)?, serde_json::to_vec(&other)?] {
        let properties = BasicProperties::default().with_delivery_mode(2).with_message_id("another".into());
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), dead.as_str().into(), options, &body, properties).await?.await?;
    }
    // and an upload in parts whose program died
    let upstream = fleet.trial.settings.s3.endpoint.trim_start_matches("http://").parse()?;
    let proxy = Proxy::to(upstream).await?;
    let mut s3 = fleet.trial.settings.s3.clone();
    (s3.endpoint, s3.part_mib, s3.attempts) = (format!("http://{}", proxy.address), 5, 1);
    proxy.set(Mode::Answer { to: "uploadId=", status: "403 Forbidden", kind: "text/plain", body: "no" });
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), vec![1; 6 << 20])?;
    let folder = s3.artifact_folder(job.job_id);
    let (cut, key) = (Store::new(&s3)?, format!("{folder}x"));
    cut.put_file(s3.artifact_bucket(), &key, file.path(), "text/plain").await.expect_err("its parts are refused");
    assert_eq!(fleet.store.open_uploads(s3.artifact_bucket(), &folder).await?.len(), 1);
    // When the call is deleted
    producer(&fleet, &["prune", "--call", "c-19"]).await?;
    // Then they are gone, and another call's letter is not
    let left = DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 10).await?;
    assert_eq!(left.total, 1, "{:?}", left.letters);
    assert!(String::from_utf8_lossy(&left.letters[0].body).contains("c-20"));
    assert_eq!(fleet.store.open_uploads(s3.artifact_bucket(), &folder).await?.len(), 0);
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_of_deleted_calls_go_whenever_they_come() -> Result<()> {
    let fleet = Fleet::start().await?;
    // Given an old call and a newer one that failed, with their dead letters
    let mut jobs = Vec::new();
    for (name, started_at) in [("old", "2001-02-03T04:05:06Z"), ("new", "2999-01-01T00:00:00Z")] {
        let call =
            CallData { call_id: Some(name.to_owned()), started_at: Some(started_at.parse()?), ..CallData::default() };
        let object = fleet.upload(&format!("{name}.wav"), name.into()).await?;
        let job = fleet.job(object, Wish { call, ..Wish::default() });
        fleet.enqueue(std::slice::from_ref(&job)).await?;
        assert_eq!(fleet.ended(job.job_id).await?.get::<String, _>("failure_code"), "audio.not_audio");
        jobs.push(job);
    }
    until_letters(&fleet, &["new", "old"]).await?;
    // When the old one is deleted by its age, its letter goes, and the other stays
    producer(&fleet, &["prune", "--older-than", "3650d"]).await?;
    until_letters(&fleet, &["new"]).await?;
    // nor does one stay that a worker wrote after the deletion, whatever is deleted next
    let url = fleet.trial.settings.amqp.url.expose_secret();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let dead = Topology::new(&fleet.trial.settings.amqp).dead();
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_delivery_mode(2));
    channel.basic_publish("".into(), dead.as_str().into(), options, &jobs[0].to_json(), properties).await?.await?;
    until_letters(&fleet, &["new", "old"]).await?;
    producer(&fleet, &["prune", "--call", "another"]).await?;
    until_letters(&fleet, &["new"]).await?;
    // and while RabbitMQ does not answer, the command says that letters may be left
    let mut settings = fleet.trial.settings.clone();
    settings.amqp.url = "amqp://127.0.0.1:9/%2f".to_owned().into();
    let cli = Cli::try_parse_from(["producer", "--no-wait-for-services", "prune", "--older-than", "3650d"])?;
    let mut out = Vec::new();
    assert_eq!(producer::run(&settings, &cli, &mut out).await?, Outcome::Incomplete);
    assert!(String::from_utf8(out)?.contains("kept      dead letters of deleted calls"));
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

/// Waits until the dead letters are those of these calls.
async fn until_letters(fleet: &Fleet, calls: &[&str]) -> Result<()> {
    let begun = Instant::now();
    loop {
        let letters = DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 10).await?.letters;
        let mut found: Vec<_> = letters.iter().filter_map(|letter| letter.job()?.call.call_id).collect();
        found.sort();
        if found == calls {
            return Ok(());
        }
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the dead letters are of {found:?}, not {calls:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A call whose job has failed, with its dead letter.
async fn failed(fleet: &Fleet, name: &str) -> Result<Job> {
    let call = CallData { call_id: Some(name.to_owned()), ..CallData::default() };
    let object = fleet.upload(&format!("{name}.wav"), b"no recording at all, but a text".to_vec()).await?;
    let job = fleet.job(object, Wish { call, ..Wish::default() });
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    assert_eq!(fleet.ended(job.job_id).await?.get::<String, _>("status"), "failed");
    let dead = DeadLetters::new(&fleet.trial.settings.amqp);
    let begun = Instant::now();
    // The row comes first
    while dead.list(&Filter::default(), 1).await?.total == 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "there is no dead letter");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(job)
}

/// Takes the dead letter into the hands of another program; it returns to the queue when the channel is dropped.
async fn take_letter(fleet: &Fleet) -> Result<(Connection, Channel)> {
    let url = fleet.trial.settings.amqp.url.expose_secret();
    let dead = Topology::new(&fleet.trial.settings.amqp).dead();
    let begun = Instant::now();
    loop {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        if channel.basic_get(dead.as_str().into(), BasicGetOptions::default()).await?.is_some() {
            return Ok((connection, channel));
        }
        connection.close(200, "not yet".into()).await?;
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the letter does not come back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_in_another_programs_hands_is_waited_for_or_reported() -> Result<()> {
    let fleet = Fleet::start().await?;
    failed(&fleet, "c-21").await?;
    // Given a program that has the letter in flight and does not let go
    let (holding, _letter) = take_letter(&fleet).await?;
    let (said, outcome) = producer(&fleet, &["prune", "--call", "c-21"]).await?;
    assert_eq!(outcome, Outcome::Incomplete, "{said}");
    assert!(said.contains("not found 1 dead letters of failed jobs"), "{said}");
    holding.close(200, "done".into()).await?;
    // When it has ended, the next deletion finds the letter by its body
    let dead = DeadLetters::new(&fleet.trial.settings.amqp);
    let begun = Instant::now();
    while dead.list(&Filter::default(), 1).await?.total > 0 {
        let (said, outcome) = producer(&fleet, &["prune", "--call", "c-21"]).await?;
        assert_eq!(outcome, Outcome::Done, "{said}");
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "the letter stays");
    }
    // Given one that lets go meanwhile, the letter is waited for
    failed(&fleet, "c-22").await?;
    let (holding, _letter) = take_letter(&fleet).await?;
    let let_go = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        holding.close(200, "done".into()).await
    };
    let (pruned, closed) = tokio::join!(producer(&fleet, &["prune", "--call", "c-22"]), let_go);
    closed?;
    let (said, outcome) = pruned?;
    assert_eq!(outcome, Outcome::Done, "{said}");
    assert!(said.contains("1 dead letters"), "{said}");
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumped_deletes_nothing_without_a_question() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let prune = ["prune", "--older-than", "90d"];
    // The first one has nothing to compare with, and the next follows it
    for _ in 0..2 {
        assert_eq!(producer(&fleet, &prune).await?.1, Outcome::Done);
    }
    assert_eq!(fleet.count("SELECT count(*) FROM last_prune WHERE boot <> ''").await?, 1);
    // Given a latest pruning that by the clock was 400 days ago, while the machine has been running for a moment
    sqlx::query("UPDATE last_prune SET pruned_at = pruned_at - interval '400 days'")
        .execute(fleet.database.pool())
        .await?;
    let refused = producer(&fleet, &prune).await.expect_err("it asks").downcast::<ProducerError>()?;
    assert!(refused.to_string().contains("is the clock right? by the clock, 400 days"), "{refused}");
    let (said, _) = producer(&fleet, &["prune", "--older-than", "90d", "--dry-run"]).await?;
    assert!(said.contains("question  by the clock, 400 days"), "{said}");
    // Then the right day goes on, and another one does not
    let other = producer(&fleet, &["prune", "--older-than", "90d", "--today", "2001-01-01"]).await;
    assert!(other.expect_err("another day").to_string().contains("nothing was deleted"));
    let today = chrono::Utc::now().date_naive().to_string();
    assert_eq!(producer(&fleet, &["prune", "--older-than", "90d", "--today", &today]).await?.1, Outcome::Done);
    assert_eq!(producer(&fleet, &prune).await?.1, Outcome::Done);
    fleet.end().await
}

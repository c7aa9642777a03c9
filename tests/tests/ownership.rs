//! Whose row is it: a message can't take another job's identity, an attempt that was overtaken writes and deletes nothing,
//! and a repetition replaces a result only when it has another.

use adapters::amqp::{DeadLetters, Filter, Lane};
use adapters::postgres::NewBatch;
use anyhow::{Context, Result, bail};
use clap::Parser;
use domain::{BatchId, Job, JobId};
use futures_util::TryStreamExt;
use producer::Outcome;
use producer::cli::Cli;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::time::{Duration, Instant};
use tests::fleet::{Fleet, Wish};
use tests::speech;

/// Waits until `query` gives `wanted`.
async fn until(fleet: &Fleet, query: &'static str, wanted: i64) -> Result<()> {
    let begun = Instant::now();
    while fleet.count(query).await? != wanted {
        if begun.elapsed() > Duration::from_secs(90) {
            bail!("{query} is {} after 90 s, not {wanted}", fleet.count(query).await?);
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    Ok(())
}

/// Waits for a dead letter with this code.
async fn dead_letter(fleet: &Fleet, code: &str) -> Result<()> {
    let (dead, begun) = (DeadLetters::new(&fleet.trial.settings.amqp), Instant::now());
    let filter = Filter { code: Some(code.into()), ..Filter::default() };
    while dead.list(&filter, 1).await?.matching == 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "no dead letter with {code}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Keys and etags of a job's artifacts.
async fn artifacts(fleet: &Fleet, job: JobId) -> Result<Vec<(String, Option<String>)>> {
    let s3 = &fleet.trial.settings.s3;
    let found: Vec<_> = fleet.store.list(s3.artifact_bucket(), &s3.artifact_folder(job)).try_collect().await?;
    Ok(found.into_iter().map(|object| (object.key, object.etag)).collect())
}

async fn row(fleet: &Fleet, job: JobId) -> Result<PgRow> {
    let query = "SELECT * FROM analyses WHERE job_id = $1";
    Ok(sqlx::query(query).bind(job.0).fetch_one(fleet.database.pool()).await?)
}

/// Asks for an ended job again, as `enqueue --force` does.
async fn force(fleet: &Fleet, job: &Job) -> Result<()> {
    let batch = NewBatch { id: BatchId::from_name("again"), name: "again".into(), source: "test".into() };
    let wanted = fleet.database.register(&batch, std::slice::from_ref(job), true).await?;
    anyhow::ensure!(wanted == [job.job_id], "it should be published again");
    fleet.publisher.publish_job(job, Lane::Bulk).await?;
    Ok(fleet.database.mark_published(&wanted).await?)
}

/// What the producer prints for a command, and how the command ends.
async fn producer(fleet: &Fleet, arguments: &[&str]) -> Result<(String, Outcome)> {
    let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
    let mut out = Vec::new();
    let outcome = producer::run(&fleet.trial.settings, &cli, &mut out).await?;
    Ok((String::from_utf8(out)?, outcome))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_the_id_of_another_job_touches_no_row_and_no_object() -> Result<()> {
    let fleet = Fleet::start().await?;
    let done = fleet.job(fleet.upload("done.wav", speech::encoded("a.wav", &[])?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&done)).await?;
    assert_eq!(fleet.ended(done.job_id).await?.get::<String, _>("status"), "done");
    let failed = fleet.job(fleet.upload("empty.wav", Vec::new()).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&failed)).await?;
    assert_eq!(fleet.ended(failed.job_id).await?.get::<String, _>("failure_code"), "audio.empty");
    let before = (row(&fleet, done.job_id).await?, artifacts(&fleet, done.job_id).await?);
    // Given messages with the ids of those jobs, for an object that is not there, and with other options
    let mut stolen = [done.clone(), failed.clone(), done.clone()];
    stolen[0].object.key.push_str(".gone");
    stolen[1].object.key.push_str(".gone");
    stolen[2].options.embedding = false;
    for job in &stolen {
        fleet.publisher.publish_job(job, Lane::Bulk).await?;
    }
    // and one with an id that no row has
    let mut unknown = stolen[0].clone();
    unknown.job_id = JobId(uuid::Uuid::new_v4());
    fleet.publisher.publish_job(&unknown, Lane::Bulk).await?;
    // Then each is a dead letter of its own code
    let dead = DeadLetters::new(&fleet.trial.settings.amqp);
    let filter = Filter { code: Some("job.identity_mismatch".into()), ..Filter::default() };
    let begun = Instant::now();
    while dead.list(&filter, 10).await?.matching < 4 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "not all are dead letters");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // and rows and objects are as they were
    let now = row(&fleet, done.job_id).await?;
    for column in ["status", "state", "worker", "result_key"] {
        assert_eq!(before.0.get::<String, _>(column), now.get::<String, _>(column), "{column}");
    }
    assert_eq!((now.get::<i32, _>("attempts"), now.get::<Option<String>, _>("failure_code")), (1, None));
    assert_eq!(artifacts(&fleet, done.job_id).await?, before.1);
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, 2);
    // nor does a replay of such a letter queue the job whose id it has
    producer(&fleet, &["dlq", "replay", "--code", "job.identity_mismatch", "--yes"]).await?;
    dead_letter(&fleet, "job.identity_mismatch").await?;
    assert_eq!(row(&fleet, failed.job_id).await?.get::<String, _>("state"), "failed");
    // while its own letter does
    producer(&fleet, &["dlq", "replay", "--code", "audio.empty", "--yes"]).await?;
    until(&fleet, "SELECT max(attempts)::bigint FROM analyses", 2).await?;
    fleet.end().await
}

/// A worker that has begun a long job.
async fn at_work() -> Result<(Fleet, Job)> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.drain_timeout_s = 60;
    let job = fleet.job(fleet.upload("long.wav", speech::call(120)?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    fleet.start_worker();
    until(&fleet, "SELECT count(*) FROM analyses WHERE state = 'running'", 1).await?;
    Ok((fleet, job))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_was_overtaken_writes_and_deletes_nothing() -> Result<()> {
    let (mut fleet, job) = at_work().await?;
    // Given another worker takes the job over while the first one works, and ends it
    let other = fleet.database.begin_attempt(&job, "other").await?;
    let token = other.begun().context("the row is open")?.token;
    let s3 = fleet.trial.settings.s3.clone();
    let folder = s3.artifact_folder(job.job_id);
    for name in ["processed_audio.wav", "embedding.npy", "result.json"] {
        let bytes = format!("the other's {name}");
        fleet.store.put_bytes(s3.artifact_bucket(), &format!("{folder}{name}"), bytes, "text/plain").await?;
    }
    let before = artifacts(&fleet, job.job_id).await?;
    let failure = domain::Failure::new(domain::FailureCode::AudioNoSpeech, "as the other says");
    fleet.database.record_failed(&job, &failure, "other", Some(token)).await?;
    // When the first one is ready
    fleet.stop_worker().await?;
    // Then its result is dropped, and the other's row and artifacts are as they were
    let row = row(&fleet, job.job_id).await?;
    assert_eq!((row.get::<String, _>("status"), row.get::<String, _>("worker")), ("failed".into(), "other".into()));
    assert_eq!(row.get::<String, _>("failure_message"), "as the other says");
    assert_eq!(fleet.count("SELECT count(*) FROM segments").await?, 0);
    assert_eq!(artifacts(&fleet, job.job_id).await?, before);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_that_the_database_forgot_is_made_again() -> Result<()> {
    let (mut fleet, job) = at_work().await?;
    // Given a database that lost the beginning of the attempt, as after a failover to a replica that was behind
    let lost = "UPDATE analyses SET status = 'queued', attempt = NULL, attempts = 0, unfinished = 0";
    sqlx::query(lost).execute(fleet.database.pool()).await?;
    // Then the job, whose only message the worker has, is done all the same
    fleet.ended(job.job_id).await?;
    let row = row(&fleet, job.job_id).await?;
    assert_eq!((row.get::<String, _>("status"), row.get::<i32, _>("attempts")), ("done".into(), 1));
    fleet.stop_worker().await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_again_replaces_a_result_and_a_failure_leaves_it() -> Result<()> {
    let fleet = Fleet::start().await?;
    let object = fleet.upload("a.wav", speech::encoded("a.wav", &[])?).await?;
    let job = fleet.job(object.clone(), Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    let first = fleet.ended(job.job_id).await?;
    let old = artifacts(&fleet, job.job_id).await?;
    assert_eq!(old.len(), 3);
    // Asked for again, it gets other artifacts, and the old ones go
    force(&fleet, &job).await?;
    until(&fleet, "SELECT count(*) FROM analyses WHERE state = 'done' AND attempts = 2", 1).await?;
    let second = row(&fleet, job.job_id).await?;
    assert_ne!(first.get::<String, _>("result_key"), second.get::<String, _>("result_key"));
    fleet.report(&second).await?;
    let begun = Instant::now();
    while artifacts(&fleet, job.job_id).await?.len() != 3 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(30), "the replaced artifacts stay");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = artifacts(&fleet, job.job_id).await?;
    assert!(kept.iter().all(|(key, _)| old.iter().all(|(before, _)| before != key)), "{old:?} {kept:?}");
    // When the recording is gone and the job is asked for once more
    fleet.store.delete(&object.bucket, std::slice::from_ref(&object.key)).await?;
    force(&fleet, &job).await?;
    until(&fleet, "SELECT count(*) FROM analyses WHERE repeat_failure_code = 'object.not_found'", 1).await?;
    // Then the result is there with the failure beside it
    let third = row(&fleet, job.job_id).await?;
    assert_eq!((third.get::<String, _>("status"), third.get::<String, _>("state")), ("done".into(), "done".into()));
    for column in ["emotion", "result_key", "audio_key", "embedding_key"] {
        assert_eq!(second.get::<String, _>(column), third.get::<String, _>(column), "{column}");
    }
    assert_eq!(artifacts(&fleet, job.job_id).await?, kept);
    let (table, _) = producer(&fleet, &["results", "--batch", "again", "--failed"]).await?;
    assert!(table.contains("repetition failed: object.not_found"), "{table}");
    let (_, outcome) = producer(&fleet, &["wait", "--batch", "again", "--timeout", "5s"]).await?;
    assert_eq!(outcome, Outcome::SomeFailed);
    let (status, _) = producer(&fleet, &["status", "--batch", "again"]).await?;
    assert!(status.contains("done 1  failed 0  repetitions failed 1"), "{status}");
    dead_letter(&fleet, "object.not_found").await?;
    fleet.end().await
}

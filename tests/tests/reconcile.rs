//! Every job ends, whoever sets its message aside, and a message that is gone is published again.

use adapters::amqp::{DeadLetters, Filter, Lane, Topology, consume, depths};
use adapters::postgres::LostQuery;
use anyhow::{Context, Result, bail};
use clap::Parser;
use domain::{Failure, FailureCode, Job, JobId, ObjectRef};
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use producer::Outcome;
use producer::cli::Cli;
use secrecy::ExposeSecret;
use sqlx::Row;
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tests::database::TestDatabase;
use tests::fleet::{Fleet, Wish};
use tests::speech;
use tokio_util::sync::CancellationToken;

async fn channel(fleet: &Fleet) -> Result<(Connection, Channel)> {
    let url = fleet.trial.settings.amqp.url.expose_secret();
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    // Declares the queues that these tests publish to by hand, before a worker does.
    depths(&fleet.trial.settings.amqp, &[&fleet.trial.settings.model.name]).await?;
    Ok((connection, channel))
}

fn bulk(fleet: &Fleet) -> String {
    Topology::new(&fleet.trial.settings.amqp).jobs(&fleet.trial.bulk())
}

/// Publishes any body under a job's message id.
async fn publish(fleet: &Fleet, channel: &Channel, job: JobId, body: &[u8], expiration: Option<&str>) -> Result<()> {
    let mut properties = BasicProperties::default().with_delivery_mode(2).with_message_id(job.to_string().into());
    if let Some(milliseconds) = expiration {
        properties = properties.with_expiration(milliseconds.into());
    }
    let (options, queue) = (BasicPublishOptions::default(), bulk(fleet));
    channel.basic_publish("".into(), queue.as_str().into(), options, body, properties).await?.await?;
    Ok(())
}

async fn job(fleet: &Fleet, name: &str) -> Result<Job> {
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    Ok(fleet.job(fleet.upload(name, sound).await?, Wish::default()))
}

/// Registers jobs as published, whose messages never come.
async fn registered(fleet: &Fleet, jobs: &[Job]) -> Result<()> {
    let batch = adapters::postgres::NewBatch { id: jobs[0].batch_id, name: "test".into(), source: "test".into() };
    let wanted = fleet.database.register(&batch, jobs, false).await?;
    Ok(fleet.database.mark_published(&wanted).await?)
}

async fn producer(fleet: &Fleet, arguments: &[&str]) -> Result<(String, Outcome)> {
    let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
    let mut out = Vec::new();
    let outcome = producer::run(&fleet.trial.settings, &cli, &mut out).await?;
    Ok((String::from_utf8(out)?, outcome))
}

async fn until_dead(fleet: &Fleet, letters: usize) -> Result<()> {
    let (dead, begun) = (DeadLetters::new(&fleet.trial.settings.amqp), Instant::now());
    loop {
        let found = dead.list(&Filter::default(), 10).await?.total;
        if found == letters {
            return Ok(());
        }
        if begun.elapsed() > Duration::from_secs(60) {
            bail!("{found} dead letters, not {letters}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn code(fleet: &Fleet, job: JobId) -> Result<(String, Option<String>)> {
    let query = "SELECT status, failure_code FROM analyses WHERE job_id = $1";
    let row = sqlx::query(query).bind(job.0).fetch_one(fleet.database.pool()).await?;
    Ok((row.get("status"), row.get("failure_code")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_before_it_is_a_job_ends_its_row() -> Result<()> {
    let fleet = Fleet::start().await?;
    let jobs = [job(&fleet, "a.wav").await?, job(&fleet, "b.wav").await?, job(&fleet, "c.wav").await?];
    registered(&fleet, &jobs).await?;
    let (connection, channel) = channel(&fleet).await?;
    let large = vec![b' '; domain::job::MAX_MESSAGE_BYTES + 1];
    let cases: [(&[u8], &str); 3] =
        [(b"{\"v\":2}", "job.unknown_version"), (b"no job", "job.unreadable"), (&large, "job.unreadable")];
    for (job, (body, expected)) in jobs.iter().zip(cases) {
        publish(&fleet, &channel, job.job_id, body, None).await?;
        fleet.ended(job.job_id).await?;
        assert_eq!(code(&fleet, job.job_id).await?, ("failed".into(), Some(expected.into())));
    }
    // A good message of the job begins it all the same
    fleet.publisher.publish_job(&jobs[0], Lane::Bulk).await?;
    let begun = Instant::now();
    while code(&fleet, jobs[0].job_id).await?.0 != "done" {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "{:?}", code(&fleet, jobs[0].job_id).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // and a bad one does not undo what is done
    publish(&fleet, &channel, jobs[0].job_id, b"{\"v\":2}", None).await?;
    until_dead(&fleet, 4).await?;
    assert_eq!(code(&fleet, jobs[0].job_id).await?, ("done".into(), None));
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rabbitmq_sets_aside_or_an_operator_drops_ends_its_row() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let (connection, channel) = channel(&fleet).await?;
    let jobs = [job(&fleet, "often.wav").await?, job(&fleet, "late.wav").await?, job(&fleet, "dropped.wav").await?];
    registered(&fleet, &jobs).await?;
    // Given a message that no worker ever settles
    publish(&fleet, &channel, jobs[0].job_id, &jobs[0].to_json(), None).await?;
    let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
    let begun = Instant::now();
    while DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 1).await?.total == 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(120), "the delivery limit does not end");
        for _ in 0..60 {
            if let Some(got) = channel.basic_get(bulk(&fleet).as_str().into(), BasicGetOptions::default()).await? {
                got.delivery.acker.nack(requeue).await?;
            }
        }
    }
    // and two whose time passes
    publish(&fleet, &channel, jobs[1].job_id, &jobs[1].to_json(), Some("1")).await?;
    publish(&fleet, &channel, jobs[2].job_id, &jobs[2].to_json(), Some("1")).await?;
    until_dead(&fleet, 3).await?;
    // When one is dropped, and the others are found by the comparison
    let id = jobs[2].job_id.to_string();
    producer(&fleet, &["dlq", "drop", "--id", &id, "--yes"]).await?;
    assert_eq!(code(&fleet, jobs[2].job_id).await?, ("failed".into(), Some("job.expired".into())));
    let (said, outcome) = producer(&fleet, &["reconcile", "--silent-for", "0s"]).await?;
    assert_eq!(outcome, Outcome::Done);
    assert!(said.contains("failed    2,") && said.contains("published 0 "), "{said}");
    assert_eq!(code(&fleet, jobs[0].job_id).await?, ("failed".into(), Some("job.delivery_limit".into())));
    assert_eq!(code(&fleet, jobs[1].job_id).await?, ("failed".into(), Some("job.expired".into())));
    // Then the batch has ended
    let (_, outcome) = producer(&fleet, &["wait", "--batch", "test", "--timeout", "5s"]).await?;
    assert_eq!(outcome, Outcome::SomeFailed);
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

/// Publishes a message and has a worker's lease of it dead-lettered.
async fn dead_letter(fleet: &Fleet, channel: &Channel, job: &Job, body: &[u8], failure: &Failure) -> Result<()> {
    let stop = CancellationToken::new();
    let mut leases = consume(&fleet.trial.settings.amqp, &fleet.trial.bulk(), 1, stop.clone());
    publish(fleet, channel, job.job_id, body, None).await?;
    let lease = tokio::time::timeout(Duration::from_secs(60), leases.recv()).await?.context("no job came")?;
    lease.dead_letter(failure, "w").await?;
    stop.cancel();
    while leases.recv().await.is_some() {}
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_of_earlier_messages_do_not_fail_a_job_that_was_asked_for_again() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let (connection, channel) = channel(&fleet).await?;
    let mut jobs = [job(&fleet, "failed.wav").await?, job(&fleet, "done.wav").await?, job(&fleet, "no-job.wav").await?];
    registered(&fleet, &jobs).await?;
    // Given jobs that failed, one of them by a message that is no job, and one that was done afterwards
    let failure = Failure::new(FailureCode::AudioCorrupt, "frame 7 is broken");
    for job in &jobs[..2] {
        dead_letter(&fleet, &channel, job, &job.to_json(), &failure).await?;
        fleet.database.record_failed(job, &failure, "w", None).await?;
    }
    let refused = Failure::new(FailureCode::JobUnknownVersion, "version 2");
    dead_letter(&fleet, &channel, &jobs[2], b"{\"v\":2}", &refused).await?;
    assert!(fleet.database.set_aside(jobs[2].job_id, &refused, "w").await?);
    let done = "UPDATE analyses SET status = 'done', speech_s = 0, failure_code = NULL WHERE job_id = $1";
    sqlx::query(done).bind(jobs[1].job_id.0).execute(fleet.database.pool()).await?;
    until_dead(&fleet, 3).await?;
    // When they are asked for again, and wait longer than a job without news may
    for job in &mut jobs {
        job.submitted_at = chrono::Utc::now() + chrono::TimeDelta::seconds(2);
    }
    let batch = adapters::postgres::NewBatch { id: jobs[0].batch_id, name: "test".into(), source: "test".into() };
    let wanted = fleet.database.register(&batch, &jobs, true).await?;
    assert_eq!(wanted.len(), 3);
    for job in &jobs {
        fleet.publisher.publish_job(job, Lane::Bulk).await?;
    }
    fleet.database.mark_published(&wanted).await?;
    // then neither the comparison nor the removal of the old letters ends them
    let waiting = "SELECT count(*) FROM analyses WHERE state = 'queued' AND NOT set_aside
                      AND failure_code IS NULL AND repeat_failure_code IS NULL";
    let (said, _) = producer(&fleet, &["reconcile", "--silent-for", "0s"]).await?;
    assert!(said.contains("open      3 ") && said.contains("failed    0,"), "{said}");
    assert_eq!(fleet.count(waiting).await?, 3);
    let (said, _) = producer(&fleet, &["dlq", "drop", "--all", "--yes"]).await?;
    assert!(said.contains("3 dead letters deleted"), "{said}");
    assert_eq!(fleet.count(waiting).await?, 3);
    // but letters of the messages that they wait for do
    let queue = bulk(&fleet);
    channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
    for job in &jobs[..2] {
        publish(&fleet, &channel, job.job_id, &job.to_json(), Some("1")).await?;
    }
    until_dead(&fleet, 2).await?;
    let id = jobs[0].job_id.to_string();
    producer(&fleet, &["dlq", "drop", "--id", &id, "--yes"]).await?;
    assert_eq!(code(&fleet, jobs[0].job_id).await?, ("failed".into(), Some("job.expired".into())));
    let (said, _) = producer(&fleet, &["reconcile", "--silent-for", "0s"]).await?;
    assert!(said.contains("failed    1,") && said.contains("published 1 "), "{said}");
    let repeat = "SELECT count(*) FROM analyses WHERE state = 'done' AND repeat_failure_code = 'job.expired'";
    assert_eq!(fleet.count(repeat).await?, 1);
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_whose_messages_are_gone_are_published_again() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let (connection, channel) = channel(&fleet).await?;
    let mut jobs = Vec::new();
    for i in 0..5 {
        jobs.push(job(&fleet, &format!("{i}.wav")).await?);
    }
    fleet.enqueue(&jobs).await?;
    let reconcile = ["reconcile", "--silent-for", "0s"];
    // While they wait in their queue, nothing is lost
    let (said, _) = producer(&fleet, &reconcile).await?;
    assert!(said.contains("open      5 ") && said.contains("published 0 "), "{said}");
    // When the queue is purged, or deleted
    channel.queue_purge(bulk(&fleet).as_str().into(), QueuePurgeOptions::default()).await?;
    let (said, _) = producer(&fleet, &reconcile).await?;
    assert!(said.contains("published 5 "), "{said}");
    channel.queue_delete(bulk(&fleet).as_str().into(), QueueDeleteOptions::default()).await?;
    let (said, _) = producer(&fleet, &reconcile).await?;
    assert!(said.contains("published 5 "), "{said}");
    // and jobs that are not old enough are left alone
    channel.queue_purge(bulk(&fleet).as_str().into(), QueuePurgeOptions::default()).await?;
    let (said, _) = producer(&fleet, &["reconcile", "--silent-for", "1h"]).await?;
    assert!(said.contains("open      0 "), "{said}");
    // then a dispatcher publishes them by itself, and all are done
    fleet.trial.settings.dispatcher.reconcile_s = 1;
    fleet.trial.settings.dispatcher.reconcile_after_s = 2;
    fleet.trial.settings.dispatcher.health_addr = ([127, 0, 0, 1], 0).into();
    let (settings, stop) = (fleet.trial.settings.clone(), CancellationToken::new());
    let stopped = stop.clone();
    let dispatcher = tokio::spawn(async move { dispatcher::serve(&settings, |_| None, stopped).await });
    fleet.start_worker();
    for job in &jobs {
        fleet.ended(job.job_id).await?;
    }
    stop.cancel();
    dispatcher.await??;
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'done'").await?, 5);
    assert_eq!(
        fleet
            .count(
                "SELECT count(*) FROM (SELECT 1 FROM segments GROUP BY job_id, channel, start_s HAVING count(*) > 1) t"
            )
            .await?,
        0
    );
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_lost_jobs_each_is_published_once() -> Result<()> {
    const JOBS: usize = 1203;
    let fleet = Fleet::without_worker().await?;
    let (connection, channel) = channel(&fleet).await?;
    let object = |n| ObjectRef { bucket: "calls".into(), key: format!("lost/{n}.wav"), etag: Some("e1".into()) };
    let jobs: Vec<Job> = (0..JOBS).map(|n| fleet.job(object(n), Wish::default())).collect();
    registered(&fleet, &jobs).await?;
    let (said, _) = producer(&fleet, &["reconcile", "--silent-for", "0s"]).await?;
    assert!(said.contains(&format!("open      {JOBS} ")) && said.contains(&format!("published {JOBS} ")), "{said}");
    let (mut waiting, options) = (HashSet::new(), BasicGetOptions { no_ack: true });
    while let Some(message) = channel.basic_get(bulk(&fleet).as_str().into(), options).await? {
        assert!(waiting.insert(Job::from_json(&message.data)?.job_id), "published twice");
    }
    assert_eq!(waiting, jobs.iter().map(|job| job.job_id).collect());
    connection.close(200, "done".into()).await?;
    fleet.end().await
}

#[tokio::test]
async fn lost_jobs_in_a_long_queue_are_found_without_reading_the_history() -> Result<()> {
    const LOST: &str = include_str!("../../crates/adapters/src/postgres/jobs/lost.sql");
    // Given 20,000 analyses, one a second until two hours ago, and 400 jobs that were published ten seconds before the last
    // one of these or later, and have not begun
    const FILL: [&str; 4] = [
        "INSERT INTO recordings (id, bucket, key)
         SELECT gen_random_uuid(), 'calls', to_char(i, 'FM000000') FROM generate_series(1, 20400) AS i",
        "INSERT INTO analyses (job_id, recording_id, called_at, model_name, status, failure_code, submitted_at,
                               published_at, started_at, finished_at)
         SELECT gen_random_uuid(), id, created_at, 'm', 'failed', 'audio.empty', at, at, at + interval '1 s', at + interval '2 s'
           FROM (SELECT id, created_at, created_at - interval '2 h' - make_interval(secs => 20000 - key::integer) AS at
                   FROM recordings WHERE key::integer <= 20000) AS done",
        "INSERT INTO analyses (job_id, recording_id, called_at, model_name, submitted_at, published_at)
         SELECT gen_random_uuid(), id, created_at, 'm', at, at
           FROM (SELECT id, created_at, created_at - interval '2 h 10 s' + make_interval(secs => (key::integer - 20001) * 0.1) AS at
                   FROM recordings WHERE key::integer > 20000) AS waiting",
        "ANALYZE",
    ];
    let test = TestDatabase::create().await?;
    for statement in FILL {
        sqlx::query(statement).execute(test.database.pool()).await?;
    }
    let before = chrono::Utc::now() - chrono::TimeDelta::hours(1);
    let query = LostQuery {
        before,
        attempt: Duration::from_secs(60),
        retry: Duration::from_secs(60),
        empty_queues: Vec::new(),
        no_retries: false,
    };
    // then those are lost that a job published later has overtaken
    let silent = test.database.silent_jobs(&query, None, 500).await?;
    assert_eq!((silent.len(), silent.iter().filter(|silent| silent.lost).count()), (400, 100));
    // and nearly all pages that are read are those of the jobs themselves
    let explain = format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {LOST}");
    let plan: serde_json::Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain))
        .bind(before)
        .bind(60.0)
        .bind(60.0)
        .bind(None::<uuid::Uuid>)
        .bind(500_i64)
        .bind(Vec::<String>::new())
        .bind(false)
        .bind(Vec::<String>::new())
        .fetch_one(test.database.pool())
        .await?;
    let pages = |kind: &str| plan[0]["Plan"][kind].as_u64().context("the plan has its pages");
    let read = pages("Shared Hit Blocks")? + pages("Shared Read Blocks")?;
    assert!(read < 5_000, "{read} pages: {plan:#}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_producer_refuses_what_a_worker_would_and_enqueues_the_rest() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let good = fleet.upload("good.wav", speech::encoded("a.wav", &[])?).await?;
    let large = fleet.upload("large.wav", speech::encoded("a.wav", &[])?).await?;
    // Given call data that are each allowed, and together too long for a message
    let attributes: serde_json::Map<_, _> = (0..64).map(|i| (format!("a{i}"), "x".repeat(1024).into())).collect();
    let mut line = attributes;
    line.insert("key".into(), large.key.clone().into());
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("calls.jsonl");
    let lines = format!("{}\n{}\n", serde_json::Value::Object(line), serde_json::json!({ "key": good.key }));
    std::fs::write(&manifest, lines)?;
    let (bucket, path) = (format!("s3://{}", good.bucket), manifest.to_str().context("UTF-8")?.to_owned());
    let (said, outcome) = producer(&fleet, &["enqueue", &bucket, "--manifest", &path]).await?;
    assert_eq!(outcome, Outcome::LeftOut, "{said}");
    assert!(said.contains("1 left out") && said.contains("enqueued  1 "), "{said}");
    assert_eq!(fleet.count("SELECT count(*) FROM analyses").await?, 1);
    fleet.end().await
}

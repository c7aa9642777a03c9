//! Following, showing and replaying, as the operator does.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::amqp::{DeadLetters, Filter, Lane, Publisher, consume};
use adapters::postgres::{Artifacts, Database, NewBatch};
use adapters::s3::Store;
use clap::Parser;
use domain::report::{AudioFacts, ChannelReport, Segment, Timings};
use domain::{
    BatchId, CallData, Emotion, Failure, FailureCode, Granularity, Job, ModelIdentity, ObjectRef, Report, Role, Scores,
};
use producer::cli::Cli;
use producer::{Outcome, ProducerError};
use settings::Settings;
use std::time::Duration;
use tests::trial::Trial;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Runs the producer as its program does; gives what it printed.
async fn run(settings: &Settings, arguments: &[&str]) -> Result<(Outcome, String), ProducerError> {
    let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())
        .map_err(|e| ProducerError::Input(e.to_string()))?;
    let mut out = Vec::new();
    let outcome = producer::run(settings, &cli, &mut out).await?;
    Ok((outcome, String::from_utf8(out).unwrap()))
}

fn job(key: &str) -> Job {
    let object = ObjectRef { bucket: "calls".into(), key: key.into(), etag: Some("e".into()) };
    let options = domain::AnalysisOptions {
        model: "m".into(),
        channels: None,
        granularity: Granularity::Utterance,
        embedding: false,
    };
    let call = CallData { call_id: Some("c-1".into()), ..CallData::default() };
    Job::new(BatchId::from_name("night"), object, call, options, chrono::Utc::now())
}

async fn registered(trial: &mut Trial, keys: &[&str]) -> (Database, Vec<Job>) {
    let database = trial.database().await.unwrap();
    let jobs: Vec<Job> = keys.iter().map(|k| job(k)).collect();
    let batch = NewBatch { id: BatchId::from_name("night"), name: "night".into(), source: "test".into() };
    database.register(&batch, &jobs, false).await.unwrap();
    (database, jobs)
}

/// An angry customer of 83 percent, and an agent who is left out.
async fn done(database: &Database, job: &Job) {
    let mut p = [0.0; 9];
    p[Emotion::Angry.index()] = 0.83;
    p[Emotion::Neutral.index()] = 0.17;
    let scores = Scores::from_probabilities(p).unwrap();
    let segment = Segment { index: 0, start_s: 0.0, end_s: 4.0, emotion: Emotion::Angry, confidence: 0.83, scores };
    let channel = |number, role, scored: bool| ChannelReport {
        channel: Some(number),
        role,
        scored,
        level_dbfs: None,
        speech_s: if scored { 4.0 } else { 0.0 },
        scores: scored.then_some(scores),
        segments: if scored { vec![segment.clone()] } else { Vec::new() },
    };
    let report = Report {
        emotion: Some(Emotion::Angry),
        confidence: Some(0.83),
        scores: Some(scores),
        warnings: Vec::new(),
        granularity: Granularity::Utterance,
        timestamp: chrono::Utc::now(),
        job_id: job.job_id,
        batch_id: job.batch_id,
        object: job.object.clone(),
        call: job.call.clone(),
        model: ModelIdentity { name: "m".into(), version: "1".into(), sha256: "00".repeat(32) },
        audio: AudioFacts {
            container: "wav".into(),
            codec: "pcm_s16le".into(),
            sample_rate: 8000,
            channels: 2,
            duration_s: 65.0,
            bytes: 1000,
            bad_packets: 0,
            tracks: Vec::new(),
        },
        channels: vec![channel(0, Role::Agent, false), channel(1, Role::Customer, true)],
        frames: None,
        processed_audio: None,
        timings: Timings::default(),
    };
    let artifacts =
        Artifacts { bucket: "calls".into(), result_key: "r".into(), audio_key: Some("a".into()), embedding_key: None };
    database.begin_attempt(job, "w1").await.unwrap();
    database
        .record_done(&report, &artifacts, None, &[], "w1", tests::calls::token(database, report.job_id).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn waiting_ends_with_the_batch_and_its_code_tells_how() {
    let mut trial = Trial::new().unwrap();
    let (database, jobs) = registered(&mut trial, &["1.wav", "2.wav"]).await;
    done(&database, &jobs[0]).await;
    let (outcome, said) = run(&trial.settings, &["wait", "--timeout", "1s"]).await.unwrap();
    assert_eq!(outcome, Outcome::TimedOut);
    assert!(said.contains("1 done, 0 failed") && said.contains("1 are still open"), "{said}");

    let waiting = timeout(Duration::from_secs(20), run(&trial.settings, &["wait", "--batch", "night"]));
    let working = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        done(&database, &jobs[1]).await;
    };
    let (outcome, said) = tokio::join!(waiting, working).0.unwrap().unwrap();
    assert_eq!(outcome, Outcome::Done, "{said}");

    let (database2, failing) = (database.clone(), job("3.wav"));
    let batch = NewBatch { id: BatchId::from_name("night"), name: "night".into(), source: "test".into() };
    database2.register(&batch, std::slice::from_ref(&failing), false).await.unwrap();
    database2.record_failed(&failing, &Failure::new(FailureCode::AudioEmpty, "no bytes"), "w1", None).await.unwrap();
    let (outcome, said) = run(&trial.settings, &["wait"]).await.unwrap();
    assert_eq!((outcome, outcome.exit_code()), (Outcome::SomeFailed, 3), "{said}");
    let unknown = run(&trial.settings, &["wait", "--batch", "day"]).await.unwrap_err();
    assert!(unknown.exit_code() == 2 && unknown.to_string().contains("`day`"), "{unknown}");
    database.close().await;
    database2.close().await;
    trial.end().await.unwrap();
}

#[tokio::test]
async fn an_enqueue_waits_for_recordings_that_another_batch_holds() {
    let mut trial = Trial::new().unwrap();
    let database = trial.database().await.unwrap();
    Store::new(&trial.settings.s3).unwrap().ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.wav", "2.wav"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    let settings = trial.settings.clone();
    let source = [folder.path().to_str().unwrap(), "--prefix", &trial.keys];
    let enqueue = async |more: &[&str]| run(&settings, &[&["enqueue"], &source[..], more].concat()).await.unwrap();
    let (_, said) = enqueue(&["--batch", "first"]).await;
    assert!(said.contains("enqueued  2 in"), "{said}");

    let (outcome, said) = enqueue(&["--batch", "second", "--wait", "--timeout", "1s"]).await;
    assert_eq!(outcome, Outcome::TimedOut, "{said}");
    assert!(said.contains("2 of them are not analysed yet, in other batches"), "{said}");
    assert!(said.contains("in other batches: 0 done, 0 failed; 2 are still open"), "{said}");

    // A recording of its own is published once the open ones of the first batch are noted: from here on none is missed.
    std::fs::write(folder.path().join("3.wav"), "3.wav").unwrap();
    let stop = CancellationToken::new();
    let mut leases = consume(&settings.amqp, &Lane::Bulk.of(&settings.model.name), 3, stop.clone());
    let working = async {
        let mut taken = Vec::new();
        for _ in 0..3 {
            let lease = timeout(Duration::from_secs(20), leases.recv()).await.unwrap().unwrap();
            taken.push((Job::from_json(&lease.body).unwrap(), lease));
        }
        for (job, lease) in taken {
            if job.object.key.ends_with("2.wav") {
                let failure = Failure::new(FailureCode::AudioEmpty, "no bytes");
                database.record_failed(&job, &failure, "w1", None).await.unwrap();
            } else {
                done(&database, &job).await;
            }
            lease.ack().await.unwrap();
        }
    };
    let waiting = timeout(Duration::from_secs(30), enqueue(&["--batch", "second", "--wait"]));
    let ((outcome, said), ()) = tokio::join!(async { waiting.await.unwrap() }, working);
    assert_eq!(outcome, Outcome::SomeFailed, "{said}");
    assert!(said.contains("second: 1 done, 0 failed"), "{said}");
    assert!(said.contains("in other batches: 1 done, 1 failed\n"), "{said}");
    // What had ended before is known, and not waited for.
    let (outcome, said) = enqueue(&["--batch", "third", "--wait"]).await;
    assert!(outcome == Outcome::Done && !said.contains("other batches"), "{said}");
    stop.cancel();
    leases.closed().await;
    database.close().await;
    trial.end().await.unwrap();
}

#[tokio::test]
async fn results_are_a_table_json_lines_or_csv() {
    let mut trial = Trial::new().unwrap();
    let (database, jobs) = registered(&mut trial, &["通话/1.wav", "2.wav", "3.wav"]).await;
    let empty = NewBatch { id: BatchId::from_name("empty"), name: "empty".into(), source: "test".into() };
    let insert = "INSERT INTO batches (id, name, source, created_at) VALUES ($1, $2, $3, now() - interval '1 day')";
    sqlx::query(insert).bind(empty.id.0).bind(&empty.name).bind(&empty.source).execute(database.pool()).await.unwrap();
    done(&database, &jobs[0]).await;
    let failure = Failure::new(FailureCode::AudioCorrupt, "frame 7 is broken");
    database.record_failed(&jobs[1], &failure, "w1", None).await.unwrap();

    let (_, table) = run(&trial.settings, &["results"]).await.unwrap();
    let row =
        |name: &str| table.lines().find(|l| l.contains(name)).unwrap_or_else(|| panic!("{name}: {table}")).to_owned();
    for part in ["1:05", "😠 生气 angry", "83%", "████████░░", "agent not scored · customer 😠 83%"]
    {
        assert!(row("通话/1.wav").contains(part), "{part}: {table}");
    }
    assert!(row("2.wav").contains("✗ failed") && row("2.wav").contains("audio.corrupt: frame 7 is broken"), "{table}");
    assert!(row("3.wav").contains("… queued"), "{table}");

    let (_, failed) = run(&trial.settings, &["results", "--failed", "--format", "jsonl"]).await.unwrap();
    let lines: Vec<serde_json::Value> = failed.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (lines[0]["key"].as_str(), lines[0]["failure"]["code"].as_str()),
        (Some("2.wav"), Some("audio.corrupt"))
    );

    let (_, csv) = run(&trial.settings, &["results", "--format", "csv", "--limit", "2"]).await.unwrap();
    assert_eq!(csv.lines().count(), 3);
    assert!(csv.starts_with("\u{feff}job_id,bucket,key,call_id,status,emotion"), "{csv}");
    let (_, none) =
        run(&trial.settings, &["results", "--format", "csv", "--limit", "0", "--batch", "empty"]).await.unwrap();
    assert_eq!(none.lines().count(), 1, "a table without rows has its header: {none}");
    let cli = Cli::try_parse_from(["producer", "results", "--format", "csv"]).unwrap();
    let mut full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let unwritten = producer::run(&trial.settings, &cli, &mut full).await;
    assert!(matches!(&unwritten, Err(ProducerError::Input(why)) if why.contains("not complete")), "{unwritten:?}");
    let (_, limited) = run(&trial.settings, &["results", "--limit", "1"]).await.unwrap();
    assert!(limited.contains("and more"), "{limited}");
    database.close().await;
    trial.end().await.unwrap();
}

#[tokio::test]
async fn the_status_tells_of_batches_and_queues() {
    let mut trial = Trial::new().unwrap();
    let (database, jobs) = registered(&mut trial, &["1.wav", "2.wav"]).await;
    Publisher::new(&trial.settings.amqp).publish_job(&jobs[0], Lane::Interactive).await.unwrap();
    done(&database, &jobs[1]).await;
    let (_, said) = run(&trial.settings, &["status"]).await.unwrap();
    assert!(said.contains("1 of 2  done 1  failed 0  queued 1"), "{said}");
    assert!(said.contains("oldest job waits for 0:0"), "{said}");
    let queue = said.lines().find(|l| l.contains(".jobs.interactive")).unwrap();
    assert_eq!(queue.split_whitespace().nth(1), Some("1"), "{said}");
    database.close().await;
    trial.end().await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_shown_replayed_as_often_as_one_likes_and_dropped() {
    let mut trial = Trial::new().unwrap();
    let (database, jobs) = registered(&mut trial, &["1.wav", "2.wav", "3.wav"]).await;
    let publisher = Publisher::new(&trial.settings.amqp);
    let mut leases = consume(&trial.settings.amqp, &Lane::Bulk.of("m"), 4, CancellationToken::new());
    let codes = [FailureCode::StoreUnreachable, FailureCode::AudioCorrupt, FailureCode::StoreUnreachable];
    for (job, code) in jobs.iter().zip(codes) {
        publisher.publish_job(job, Lane::Bulk).await.unwrap();
        let failure = Failure::new(code, "it broke");
        database.begin_attempt(job, "w1").await.unwrap();
        let token = tests::calls::token(&database, job.job_id).await;
        database.record_failed(job, &failure, "w1", Some(token)).await.unwrap();
        let lease = timeout(Duration::from_secs(10), leases.recv()).await.unwrap().unwrap();
        lease.dead_letter(&failure, "w1").await.unwrap();
    }
    let settings = trial.settings.clone();
    let (_, list) = run(&settings, &["dlq", "list", "--batch", "night"]).await.unwrap();
    assert!(list.contains("3 shown, 3 match, 3 in all") && list.contains("audio.corrupt"), "{list}");
    let (_, shown) = run(&settings, &["dlq", "show", &jobs[1].job_id.to_string()]).await.unwrap();
    assert!(shown.contains("it broke") && shown.contains("\"key\": \"2.wav\""), "{shown}");
    for refused in [
        &["dlq", "replay"][..],
        &["dlq", "replay", "--code", "no.such"],
        &["dlq", "drop", "--all"],
        &["dlq", "show", "x"],
    ] {
        assert_eq!(run(&settings, refused).await.unwrap_err().exit_code(), 2, "{refused:?}");
    }

    let replay = ["dlq", "replay", "--code", "store.unreachable", "--yes"];
    assert!(run(&settings, &replay).await.unwrap().1.starts_with("2 jobs"));
    assert!(run(&settings, &replay).await.unwrap().1.starts_with("0 jobs"));
    let progress = database.batch_progress(&BatchId::from_name("night")).await.unwrap();
    assert_eq!((progress.queued, progress.failed), (2, 1));
    for _ in 0..2 {
        let lease = timeout(Duration::from_secs(10), leases.recv()).await.unwrap().unwrap();
        assert_ne!(Job::from_json(&lease.body).unwrap().object.key, "2.wav");
        lease.ack().await.unwrap();
    }
    assert!(run(&settings, &["dlq", "drop", "--newer-than", "1h", "--yes"]).await.unwrap().1.starts_with("1 dead"));
    let left = DeadLetters::new(&settings.amqp).list(&Filter::default(), 1).await.unwrap();
    assert_eq!(left.total, 0);
    drop(leases);
    database.close().await;
    trial.end().await.unwrap();
}

#[tokio::test]
async fn open_jobs_for_a_model_are_waited_for() {
    let mut trial = Trial::new().unwrap();
    let (database, jobs) = registered(&mut trial, &["a", "b", "c"]).await;
    let settings = trial.settings.clone();
    let wait = async |more: &[&str]| run(&settings, &[&["wait", "--model", "m"], more].concat()).await.unwrap();
    assert_eq!(wait(&[]).await.0, Outcome::Done, "what was never published is in no queue");
    database.mark_published(&jobs.iter().map(|job| job.job_id).collect::<Vec<_>>()).await.unwrap();

    let (outcome, printed) = wait(&["--timeout", "1s"]).await;
    assert_eq!((outcome, printed.as_str()), (Outcome::TimedOut, "3 jobs for m are open\n"));
    assert_eq!(wait(&["--at-most", "3"]).await.0, Outcome::Done);
    assert_eq!(run(&settings, &["wait", "--model", "other"]).await.unwrap().0, Outcome::Done);

    done(&database, &jobs[0]).await;
    let failure = Failure::new(FailureCode::AudioCorrupt, "x");
    database.record_failed(&jobs[1], &failure, "w", None).await.unwrap();
    let finishing = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        done(&database, &jobs[2]).await;
    };
    let ((outcome, printed), ()) = tokio::join!(wait(&["--timeout", "30s"]), finishing);
    assert_eq!((outcome, printed.as_str()), (Outcome::Done, "0 jobs for m are open\n"));
    trial.end().await.unwrap();
}

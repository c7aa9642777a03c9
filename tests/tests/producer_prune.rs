//! Retention and erasure: objects first, rows after, and nothing but what was meant.

use adapters::amqp::{DeadLetters, Filter, Lane, Publisher, consume};
use adapters::postgres::Database;
use adapters::s3::Store;
use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use clap::Parser;
use domain::AnalysisOptions;
use domain::report::Artifacts;
use domain::{BatchId, CallData, Emotion, Failure, FailureCode, Granularity, Job, ObjectRef};
use futures_util::TryStreamExt;
use producer::cli::Cli;
use producer::{Outcome, ProducerError};
use tests::calls::{Call, token};
use tests::proxy::{Mode, Proxy};
use tests::trial::Trial;
use tokio_util::sync::CancellationToken;

/// Services and what stands in them.
struct House {
    trial: Trial,
    database: Database,
    store: Store,
}

impl House {
    async fn open() -> Result<Self> {
        let mut trial = Trial::new()?;
        let database = trial.database().await?;
        let store = Store::new(&trial.settings.s3)?;
        store.ensure_bucket(&trial.settings.s3.bucket).await?;
        Ok(Self { trial, database, store })
    }

    async fn end(self) -> Result<()> {
        self.database.close().await;
        self.trial.end().await
    }

    /// A job of a recording that was just uploaded; the call id is its name.
    async fn job(&self, name: &str, days_ago: i64, model: &str) -> Result<Job> {
        let (bucket, key) = (self.trial.settings.s3.bucket.clone(), format!("{}{name}", self.trial.keys));
        let etag = Some(self.store.put_bytes(&bucket, &key, format!("sound of {name}"), "audio/wav").await?);
        let mut call = Call::new(name).data;
        call.started_at = Some(Utc::now() - TimeDelta::days(days_ago));
        let options = AnalysisOptions {
            model: model.into(),
            channels: None,
            granularity: Granularity::Utterance,
            embedding: true,
        };
        let object = ObjectRef { bucket, key, etag };
        Ok(Job::new(BatchId::from_name("night"), object, call, options, Utc::now()))
    }

    /// An analysed call, with its artifacts in the store.
    async fn analysed(&self, name: &str, days_ago: i64) -> Result<Job> {
        let job = self.job(name, days_ago, "small").await?;
        self.record(&job).await?;
        Ok(job)
    }

    async fn record(&self, job: &Job) -> Result<()> {
        let bucket = self.trial.settings.s3.bucket.clone();
        let folder = self.trial.settings.s3.artifact_folder(job.job_id);
        let [result_key, audio_key, embedding_key] =
            ["result.json", "processed_audio.wav", "embedding.npy"].map(|name| format!("{folder}{name}"));
        for key in [&result_key, &audio_key, &embedding_key] {
            self.store.put_bytes(&bucket, key, vec![7; 100], "application/octet-stream").await?;
        }
        let mut report = Call::new("x").with_timeline(&[(4.0, Emotion::Angry, 0.9), (4.0, Emotion::Sad, 0.8)]).report();
        (report.job_id, report.batch_id) = (job.job_id, job.batch_id);
        (report.object, report.call) = (job.object.clone(), job.call.clone());
        let artifacts =
            Artifacts { bucket, result_key, audio_key: Some(audio_key), embedding_key: Some(embedding_key) };
        self.database.begin_attempt(job, "w").await?;
        self.database
            .record_done(&report, &artifacts, None, &[], "w", token(&self.database, report.job_id).await)
            .await?;
        Ok(())
    }

    /// The analysis of a new version of a recording, with the same call id.
    async fn overwritten(&self, job: &Job, days_ago: i64) -> Result<Job> {
        let mut object = job.object.clone();
        object.etag = Some(self.store.put_bytes(&object.bucket, &object.key, "another sound", "audio/wav").await?);
        let call = CallData { started_at: Some(Utc::now() - TimeDelta::days(days_ago)), ..job.call.clone() };
        let newer = Job::new(job.batch_id, object, call, job.options.clone(), Utc::now());
        self.record(&newer).await?;
        Ok(newer)
    }

    /// How many objects each job has, its recording last.
    async fn objects(&self, job: &Job) -> Result<(usize, bool)> {
        let bucket = &self.trial.settings.s3.bucket;
        let folder = self.trial.settings.s3.artifact_folder(job.job_id);
        let artifacts: Vec<_> = self.store.list(bucket, &folder).try_collect().await?;
        Ok((artifacts.len(), self.store.head(bucket, &job.object.key).await?.is_some()))
    }

    async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.database.pool()).await?)
    }

    /// What `producer prune` printed, and how it ended.
    async fn prune(&self, arguments: &[&str]) -> (String, Result<Outcome, ProducerError>) {
        let arguments = [&["producer", "--no-wait-for-services", "prune"], arguments].concat();
        let cli = Cli::try_parse_from(arguments).expect("the test's arguments are right");
        let mut out = Vec::new();
        let outcome = producer::run(&self.trial.settings, &cli, &mut out).await;
        let text = String::from_utf8_lossy(&out).into_owned();
        println!("{text}");
        (text, outcome)
    }
}

const ROWS: &str = "SELECT count(*) FROM analyses";

#[tokio::test]
async fn old_calls_go_with_all_that_hangs_on_them_and_nothing_else_does() -> Result<()> {
    let house = House::open().await?;
    let mut old = Vec::new();
    for n in 0..5 {
        old.push(house.analysed(&format!("old{n}.wav"), 200 + n).await?);
    }
    let young = house.analysed("young.wav", 80).await?;
    let waiting = house.job("waiting.wav", 300, "small").await?;
    house.database.begin_attempt(&waiting, "w").await?;
    // It failed after it had uploaded: no row tells of the file
    let failed = house.job("failed.wav", 210, "small").await?;
    let left_over = format!("{}processed_audio.wav", house.trial.settings.s3.artifact_folder(failed.job_id));
    house.store.put_bytes(&failed.object.bucket, &left_over, vec![1], "audio/wav").await?;
    house.database.record_failed(&failed, &Failure::new(FailureCode::AudioCorrupt, "cut"), "w", None).await?;
    for statement in [
        "INSERT INTO alerts (job_id, called_at, rule, severity, group_key) SELECT job_id, called_at, 'r', 'info', 'g' FROM analyses WHERE status = 'done'",
        "INSERT INTO outbox (alert_id, destination, kind, payload) SELECT id, 'chat', 'fired', '{}' FROM alerts",
        "INSERT INTO reviews (job_id, reviewer, emotion) SELECT job_id, 'rita', 'sad' FROM analyses WHERE status = 'done'",
        "UPDATE outbox SET delivered_at = now() WHERE id % 2 = 0",
    ] {
        sqlx::query(statement).execute(house.database.pool()).await?;
    }

    let (text, outcome) = house.prune(&["--older-than", "90d", "--dry-run"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("would delete 6 analyses") && text.contains("5 alerts and 5 reviews"), "{text}");
    assert!(text.contains("kept      1 jobs that have not ended"), "{text}");
    let of_years = text.lines().filter_map(|line| line.split_once(" of 20")?.0.trim().parse::<u32>().ok());
    assert_eq!(of_years.sum::<u32>(), 6, "{text}");
    assert_eq!(house.count(ROWS).await?, 8);
    assert_eq!((house.objects(&old[0]).await?, house.objects(&failed).await?), ((3, true), (1, true)));

    let (text, outcome) = house.prune(&["--older-than", "90d", "--batch-size", "2"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("deleted   6 analyses with 5 alerts and 5 reviews; 6 recordings"), "{text}");
    assert!(text.contains("16 artifacts") && text.contains("0 recordings"), "{text}");
    assert!(text.contains("had not been delivered") && text.contains("empty months"), "{text}");
    for job in old.iter().chain([&failed]) {
        assert_eq!(house.objects(job).await?, (0, true), "the recording is the operator's");
    }
    assert_eq!(house.objects(&young).await?, (3, true));
    for (query, rows) in [
        (ROWS, 2), // the young one, and the one under way
        ("SELECT count(*) FROM recordings", 2),
        ("SELECT count(*) FROM segments", 2),
        ("SELECT count(*) FROM alerts", 1),
        ("SELECT count(*) FROM outbox", 1),
        ("SELECT count(*) FROM reviews", 1),
        ("SELECT count(*) FROM pg_inherits WHERE inhparent = 'segments'::regclass", 2), // undated, and the young one's
    ] {
        assert_eq!(house.count(query).await?, rows, "{query}");
    }
    let (text, outcome) = house.prune(&["--older-than", "90d"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("deleted   0 analyses") && !text.contains("empty months"), "{text}");
    house.end().await
}

#[tokio::test]
async fn recordings_go_only_when_asked_to_and_when_nothing_else_needs_them() -> Result<()> {
    let house = House::open().await?;
    let old = house.analysed("old.wav", 100).await?;
    let also = house.job("old.wav", 100, "large").await?;
    house.record(&also).await?;
    let shared = house.analysed("shared.wav", 100).await?;
    // A later analysis of a newer version of the same object, whose call data say another day
    house.overwritten(&shared, 3).await?;
    let changed = house.analysed("changed.wav", 100).await?;
    house.store.put_bytes(&changed.object.bucket, &changed.object.key, "another sound", "audio/wav").await?;

    // They were enqueued just now: the date in their call data alone deletes no recording, and a number that is wrong
    // confirms nothing
    let (text, outcome) = house.prune(&["--older-than", "30d", "--recordings", "--dry-run"]).await;
    assert!(outcome? == Outcome::Done && text.contains("would delete 0 analyses"), "{text}");
    assert!(text.contains("kept      3 recordings") && text.contains("--confirm 3"), "{text}");
    let (text, outcome) = house.prune(&["--older-than", "30d", "--recordings"]).await;
    assert!(outcome? == Outcome::Done && text.contains("deleted   0 analyses"), "{text}");
    assert!(text.contains("--confirm 3"), "{text}");
    let (_, outcome) = house.prune(&["--older-than", "30d", "--recordings", "--confirm", "4"]).await;
    assert!(
        matches!(&outcome, Err(ProducerError::Input(why)) if why.contains("there are 3 recordings")),
        "{outcome:?}"
    );
    assert_eq!((house.count(ROWS).await?, house.objects(&old).await?), (5, (3, true)));
    // One was enqueued long ago as well: it needs no confirmation
    let dated = house.analysed("dated.wav", 100).await?;
    sqlx::query("UPDATE recordings SET created_at = now() - interval '99 days' WHERE key LIKE '%dated.wav'")
        .execute(house.database.pool())
        .await?;
    let (text, outcome) = house.prune(&["--older-than", "30d", "--recordings"]).await;
    assert!(outcome? == Outcome::Done && text.contains("deleted   1 analyses"), "{text}");
    assert_eq!((house.objects(&dated).await?, house.objects(&old).await?), ((0, false), (3, true)));

    let (text, outcome) =
        house.prune(&["--older-than", "30d", "--recordings", "--confirm", "3", "--batch-size", "1"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("12 artifacts"), "{text}");
    assert!(text.contains("2 recordings that were replaced by another version"), "{text}");
    assert_eq!(house.objects(&old).await?, (0, false));
    assert_eq!(house.objects(&also).await?, (0, false));
    assert!(house.objects(&shared).await?.1, "the later analysis needs it");
    assert_eq!(house.objects(&changed).await?, (0, true));
    house.end().await
}

#[tokio::test]
async fn of_an_object_that_was_overwritten_the_last_version_goes_with_its_analyses() -> Result<()> {
    let house = House::open().await?;
    // By the dates of their call data, the versions are deleted in either order
    for (name, newer_days_ago) in [("c-20", 98), ("c-21", 102)] {
        let first = house.analysed(&format!("{name}.wav"), 100).await?;
        let newer = house.overwritten(&first, newer_days_ago).await?;
        let (text, outcome) = house.prune(&["--call", name, "--recordings"]).await;
        assert_eq!(outcome?, Outcome::Done);
        assert!(text.contains("deleted   2 analyses") && !text.contains("replaced by another"), "{text}");
        assert_eq!((house.objects(&first).await?, house.objects(&newer).await?), ((0, false), (0, false)), "{name}");
    }
    // The same in batches of one
    for (name, newer_days_ago) in [("c-22", 98), ("c-23", 102)] {
        let first = house.analysed(&format!("{name}.wav"), 100).await?;
        let newer = house.overwritten(&first, newer_days_ago).await?;
        let arguments = ["--older-than", "90d", "--recordings", "--confirm", "2", "--batch-size", "1"];
        assert_eq!(house.prune(&arguments).await.1?, Outcome::Done);
        assert_eq!((house.objects(&first).await?, house.objects(&newer).await?), ((0, false), (0, false)), "{name}");
    }
    assert_eq!(house.count(ROWS).await?, 0);
    house.end().await
}

#[tokio::test]
async fn a_date_that_no_call_can_have_deletes_nothing() -> Result<()> {
    let house = House::open().await?;
    for (n, time) in ["0001-01-01T00:00:00Z", "0026-11-22T02:05:00Z", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z"]
        .into_iter()
        .enumerate()
    {
        let mut job = house.job(&format!("clock{n}.wav"), 0, "small").await?;
        job.call.started_at = Some(time.parse()?);
        house.record(&job).await?;
    }
    let mut job = house.job("undated.wav", 0, "small").await?;
    job.call.started_at = None;
    // A program that publishes jobs itself may have a wrong clock too
    job.submitted_at = "1999-01-01T00:00:00Z".parse()?;
    house.record(&job).await?;
    let (text, outcome) = house.prune(&["--older-than", "1d", "--recordings"]).await;
    assert!(outcome? == Outcome::Done && text.contains("deleted   0 analyses"), "{text}");
    assert_eq!((house.count(ROWS).await?, house.objects(&job).await?), (5, (3, true)));

    // They are as old as the day on which they were enqueued
    sqlx::query("UPDATE recordings SET created_at = now() - interval '2 days'").execute(house.database.pool()).await?;
    let (text, outcome) = house.prune(&["--older-than", "1d", "--recordings", "--dry-run"]).await;
    assert!(outcome? == Outcome::Done && text.contains("would delete 5 analyses"), "{text}");
    assert!(text.contains("1 without a time in the call data: by the day"), "{text}");
    assert!(text.contains("4 with an implausible time in the call data"), "{text}");
    let (_, outcome) = house.prune(&["--older-than", "1d", "--recordings"]).await;
    assert_eq!((outcome?, house.count(ROWS).await?, house.objects(&job).await?), (Outcome::Done, 0, (0, false)));
    house.end().await
}

#[tokio::test]
async fn a_crash_between_objects_and_rows_is_made_good_by_repeating() -> Result<()> {
    let house = House::open().await?;
    let old = house.analysed("old.wav", 100).await?;
    // A lock on what is deleted with the row holds the last step back; the objects are gone by then, and the database ends the
    // connection that waits.
    let mut lock = house.database.begin().await?;
    sqlx::query("SELECT FROM channels FOR UPDATE").execute(&mut *lock).await?;
    let crash = async {
        loop {
            let ended: Option<bool> = sqlx::query_scalar(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                  WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%WITH pruned%'",
            )
            .fetch_optional(house.database.pool())
            .await?;
            if ended.is_some() {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let ((_, outcome), crashed) = tokio::join!(house.prune(&["--older-than", "90d"]), crash);
    crashed?;
    assert!(matches!(outcome, Err(ProducerError::Service(f)) if f.code == FailureCode::DatabaseUnreachable));
    lock.rollback().await?;
    assert_eq!(house.objects(&old).await?, (0, true), "objects go first");
    assert_eq!(house.count(ROWS).await?, 1, "the row is how the rest is found again");

    let (text, outcome) = house.prune(&["--older-than", "90d"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("deleted   1 analyses") && text.contains(" 0 artifacts"), "{text}");
    assert_eq!(house.count(ROWS).await?, 0);
    house.end().await
}

#[tokio::test]
async fn what_the_store_does_not_delete_keeps_its_row() -> Result<()> {
    let mut house = House::open().await?;
    let jobs = [house.analysed("a.wav", 100).await?, house.analysed("b.wav", 101).await?];
    // One job's artifacts are where we may do nothing
    sqlx::query("UPDATE analyses SET artifact_bucket = 'no-such-bucket' WHERE job_id = $1")
        .bind(jobs[1].job_id.0)
        .execute(house.database.pool())
        .await?;
    let (text, outcome) = house.prune(&["--older-than", "90d", "--batch-size", "1"]).await;
    assert!(matches!(outcome, Err(ProducerError::Service(f)) if f.code == FailureCode::StoreDenied));
    assert!(text.contains("deleted   1 analyses") && text.contains("kept      1 jobs"), "{text}");
    assert_eq!(house.count("SELECT count(*) FROM analyses WHERE artifact_bucket = 'no-such-bucket'").await?, 1);
    assert_eq!((house.count(ROWS).await?, house.objects(&jobs[0]).await?), (1, (0, true)));

    // And the whole store answers 503 to everything but the first question
    let c = house.analysed("c.wav", 100).await?;
    let upstream: url::Url = house.trial.settings.s3.endpoint.parse()?;
    let proxy = Proxy::to(([127, 0, 0, 1], upstream.port().context("the stack's store has a port")?).into()).await?;
    let direct = std::mem::replace(&mut house.trial.settings.s3.endpoint, format!("http://{}", proxy.address));
    proxy.set(Mode::Unavailable);
    let (_, outcome) = house.prune(&["--older-than", "90d"]).await;
    assert!(matches!(outcome, Err(ProducerError::Service(f)) if f.code == FailureCode::StoreUnreachable));
    assert_eq!((house.count(ROWS).await?, house.objects(&c).await?), (2, (3, true)));
    house.trial.settings.s3.endpoint = direct;
    house.end().await
}

#[tokio::test]
async fn one_call_is_erased_wherever_it_stands() -> Result<()> {
    let house = House::open().await?;
    let publisher = Publisher::new(&house.trial.settings.amqp);
    let erased = house.analysed("c-17.wav", 2).await?;
    let mut failed = house.job("c-17b.wav", 2, "small").await?;
    let mut waiting = house.job("c-17c.wav", 2, "small").await?;
    for job in [&mut failed, &mut waiting] {
        job.call.call_id = Some("c-17".into());
    }
    let other = house.analysed("c-18.wav", 2).await?;
    // The failed one is a dead letter too, and so is somebody else's
    let stranger = house.job("c-19.wav", 2, "small").await?;
    let stop = CancellationToken::new();
    let mut leases = consume(&house.trial.settings.amqp, &Lane::Bulk.of("small"), 1, stop.clone());
    let corrupt = Failure::new(FailureCode::AudioCorrupt, "cut");
    for job in [&failed, &stranger] {
        publisher.publish_job(job, Lane::Bulk).await?;
        house.database.record_failed(job, &corrupt, "w", None).await?;
        leases.recv().await.context("a lease")?.dead_letter(&corrupt, "w").await?;
    }
    stop.cancel();
    leases.closed().await;
    house.database.begin_attempt(&waiting, "w").await?;

    let (text, outcome) = house.prune(&["--call", "c-17", "--recordings", "--dry-run"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("would delete 2 analyses") && house.count(ROWS).await? == 5, "{text}");

    let (text, outcome) = house.prune(&["--call", "c-17", "--recordings"]).await;
    assert_eq!(outcome?, Outcome::Incomplete, "one job of it has not ended");
    assert!(text.contains("deleted   2 analyses") && text.contains("1 dead letters"), "{text}");
    assert!(text.contains("kept      1 jobs that have not ended"), "{text}");
    assert_eq!((house.objects(&erased).await?, house.objects(&failed).await?), ((0, false), (0, false)));
    assert!(house.objects(&waiting).await?.1, "it is still needed");
    let letters = DeadLetters::new(&house.trial.settings.amqp).list(&Filter::default(), 10).await?;
    assert_eq!(letters.letters.iter().map(|l| l.id.clone()).collect::<Vec<_>>(), [stranger.job_id.to_string()]);

    let (_, outcome) = house.prune(&["--call", "c-17", "--recordings", "--even-unfinished"]).await;
    assert_eq!(outcome?, Outcome::Done);
    assert_eq!(house.objects(&waiting).await?, (0, false));
    assert_eq!(house.count("SELECT count(*) FROM recordings WHERE call_id = 'c-17'").await?, 0);
    assert_eq!((house.count(ROWS).await?, house.objects(&other).await?), (2, (3, true)));
    // Nobody by that name is no error: it is how one looks whether all is gone
    let (text, outcome) = house.prune(&["--call", "c-17"]).await;
    assert!(outcome? == Outcome::Done && text.contains("deleted   0 analyses"), "{text}");
    publisher.close().await;
    house.end().await
}

#[test]
fn an_age_must_be_given_and_make_sense() {
    for (arguments, said) in [
        (vec![], "--older-than"),
        (vec!["--older-than", "90"], "90d?"),
        (vec!["--older-than", "0d"], "at least 1d"),
        (vec!["--older-than", "forever"], "is not an age like 90d"),
        (vec!["--older-than", "999999d"], "at most"),
        (vec!["--older-than", "90d", "--call", "c"], "cannot be used with"),
        (vec!["--older-than", "90d", "--even-unfinished"], "cannot be used with"),
        (vec!["--older-than", "90d", "--batch-size", "0"], "1..=10000"),
        (vec!["--older-than", "90d", "--confirm", "3"], "--recordings"),
        (vec!["--call", "c", "--recordings", "--confirm", "3"], "cannot be used with"),
    ] {
        let error = Cli::try_parse_from([vec!["producer", "prune"], arguments.clone()].concat());
        let error = error.expect_err(&format!("{arguments:?}")).to_string();
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

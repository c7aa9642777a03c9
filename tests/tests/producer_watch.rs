//! `producer watch` on a bucket that receives recordings, on real services.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::postgres::Database;
use adapters::s3::Store;
use domain::Job;
use futures_util::stream::{self, StreamExt};
use producer::ProducerError;
use producer::enqueue::JobArgs;
use producer::watch::{WatchArgs, WatchSummary};
use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::trial::Trial;
use tests::watching::{once, source};

async fn trial() -> (Trial, Database, Store) {
    let mut trial = Trial::new().unwrap();
    let database = trial.database().await.unwrap();
    let store = Store::new(&trial.settings.s3).unwrap();
    store.ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
    (trial, database, store)
}

async fn end(trial: Trial, database: Database) {
    database.close().await;
    trial.end().await.unwrap();
}

async fn put(trial: &Trial, store: &Store, name: &str) {
    let key = format!("{}{name}", trial.keys);
    store.put_bytes(&trial.settings.s3.bucket, &key, format!("sound of {name}"), "audio/wav").await.unwrap();
}

async fn look(trial: &Trial, args: &WatchArgs) -> Result<WatchSummary, ProducerError> {
    once(&trial.settings, args).await
}

fn names(trial: &Trial, jobs: &[Job]) -> Vec<String> {
    jobs.iter().map(|job| job.object.key.strip_prefix(&trial.keys).unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_recording_is_enqueued_once_however_often_the_watcher_starts() {
    let (trial, database, store) = trial().await;
    for name in ["b.wav", "通话 1+2.mp3", "notes.txt", "folder/"] {
        put(&trial, &store, name).await;
    }
    let args = source(&trial);
    let first = look(&trial, &args).await.unwrap();
    assert_eq!((first.enqueued, first.known, first.full_listings, first.left_out), (2, 0, 1, 0), "{first:?}");
    // The second start remembers the first one's listing, and finds what came before and behind it since.
    put(&trial, &store, "a.wav").await;
    put(&trial, &store, "z.wav").await;
    let second = look(&trial, &args).await.unwrap();
    assert_eq!((second.enqueued, second.known, second.full_listings), (2, 2, 0), "{second:?}");
    let third = look(&trial, &args).await.unwrap();
    assert_eq!((third.enqueued, third.known), (0, 4), "{third:?}");
    // A changed object is another recording, and other options are other jobs.
    store.put_bytes(&trial.settings.s3.bucket, &format!("{}b.wav", trial.keys), "other", "audio/wav").await.unwrap();
    assert_eq!(look(&trial, &args).await.unwrap().enqueued, 1);
    let job = JobArgs { granularity: domain::Granularity::Frame, ..JobArgs::default() };
    let frames = WatchArgs { job, ..args };
    let frames = look(&trial, &frames).await.unwrap();
    assert_eq!((frames.enqueued, frames.full_listings), (4, 1), "{frames:?}");

    let jobs = trial.queued().await.unwrap();
    let mut found = names(&trial, &jobs);
    found.dedup();
    assert_eq!((jobs.len(), found), (9, ["a.wav", "b.wav", "z.wav", "通话 1+2.mp3"].map(str::to_owned).to_vec()));
    let batch = database.latest_batch().await.unwrap().unwrap();
    assert!(batch.name.ends_with(&chrono::Utc::now().format(" %Y-%m-%d").to_string()), "{}", batch.name);
    end(trial, database).await;
}

#[tokio::test]
async fn late_keys_in_old_places_are_found_by_the_listing_of_the_whole_prefix_and_new_ones_without_it() {
    let (mut trial, database, store) = trial().await;
    // As for a bucket of old recordings: none was written lately.
    trial.settings.watch.overlap_s = 60;
    let keys: Vec<String> = (0..2_300).map(|i| format!("2026/11/{:02}/{i:05}.wav", 10 + i / 250)).collect();
    let puts = keys.iter().map(|name| put(&trial, &store, name)).collect::<Vec<_>>();
    stream::iter(puts).buffer_unordered(16).collect::<Vec<_>>().await;
    let args = source(&trial);
    assert_eq!(look(&trial, &args).await.unwrap().enqueued, 2_300);
    // What the watcher would remember tomorrow: that recordings come behind these.
    let last = format!("{}{}", trial.keys, keys.last().unwrap());
    let yesterday = "UPDATE watches SET range_after = ARRAY[$1], range_until = ARRAY[NULL]::text[]";
    sqlx::query(yesterday).bind(last).execute(database.pool()).await.unwrap();

    put(&trial, &store, "2026/11/20/uuid.wav").await;
    put(&trial, &store, "2026/11/11/late.wav").await;
    let quick = look(&trial, &args).await.unwrap();
    assert_eq!((quick.enqueued, quick.listed, quick.full_listings), (1, 1, 0), "{quick:?}");
    let second = Some(Duration::from_secs(1));
    let all = WatchArgs { full_interval: second, interval: second, ..args };
    sqlx::query("UPDATE watches SET listed_at = now() - interval '1 minute'").execute(database.pool()).await.unwrap();
    let full = look(&trial, &all).await.unwrap();
    assert_eq!((full.enqueued, full.listed, full.full_listings), (1, 2_302, 1), "{full:?}");
    end(trial, database).await;
}

#[tokio::test]
async fn what_is_written_again_and_again_is_left_until_it_rests() {
    let (trial, database, store) = trial().await;
    let rest = Duration::from_secs(4);
    let args = WatchArgs { rest: Some(rest), once: false, interval: Some(Duration::from_secs(1)), ..source(&trial) };
    let watching = tests::watching::Watching::start(&trial.settings, &args);
    let key = format!("{}growing.wav", trial.keys);
    let mut last = Instant::now();
    for length in 1..=6 {
        store.put_bytes(&trial.settings.s3.bucket, &key, "x".repeat(length), "audio/wav").await.unwrap();
        last = Instant::now();
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    while trial.waiting().await.unwrap() == 0 {
        assert!(last.elapsed() < Duration::from_secs(60), "it rests, and is not enqueued");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The store tells times in whole seconds.
    assert!(last.elapsed() + Duration::from_secs(1) >= rest, "enqueued after {:?}", last.elapsed());
    let summary = watching.stop().await.unwrap();
    assert_eq!(summary.enqueued, 1, "{summary:?}");
    let jobs = trial.queued().await.unwrap();
    let now = store.head(&trial.settings.s3.bucket, &key).await.unwrap().unwrap();
    assert_eq!((jobs.len(), jobs[0].object.etag.clone()), (1, now.etag), "only the last version");
    end(trial, database).await;
}

#[tokio::test]
async fn a_bad_key_is_left_out_and_the_others_are_enqueued() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "good.wav").await;
    // The store allows no longer keys; with the trial's own prefix this one is longer than a job may have.
    let long = format!(
        "{}.wav",
        ["x".repeat(200), "y".repeat(200), "z".repeat(200), "w".repeat(200), "v".repeat(190)].join("/")
    );
    let key = format!("{}{long}", trial.keys);
    let too_long = store.put_bytes(&trial.settings.s3.bucket, &key, "sound", "audio/wav").await.is_ok();
    let summary = look(&trial, &source(&trial)).await.unwrap();
    let left_out = u64::from(too_long && key.len() > domain::job::MAX_KEY_BYTES);
    assert_eq!((summary.enqueued, summary.left_out), (1, left_out), "{summary:?}");
    end(trial, database).await;
}

#[tokio::test]
async fn a_pruned_recording_is_not_taken_for_a_new_one() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "old.wav").await;
    let args = source(&trial);
    assert_eq!(look(&trial, &args).await.unwrap().enqueued, 1);
    sqlx::query("DELETE FROM recordings").execute(database.pool()).await.unwrap();
    let again = look(&trial, &args).await.unwrap();
    assert_eq!((again.enqueued, again.pruned), (0, 1), "{again:?}");
    // Named by a person who insists, it is taken.
    let mut named = producer::cli::EnqueueArgs::of(args.source.clone());
    named.batch = Some("again".into());
    named.force = true;
    let meter = std::sync::Arc::new(producer::meter::Meter::silent());
    let policy = adapters::retry::RetryPolicy::NEVER;
    assert_eq!(producer::enqueue::enqueue(&trial.settings, &named, policy, meter).await.unwrap().enqueued, 1);
    assert_eq!(look(&trial, &args).await.unwrap().known, 1);
    end(trial, database).await;
}

#[tokio::test]
async fn recordings_older_than_wanted_are_left_alone() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "old.wav").await;
    let age = Duration::from_secs(10);
    tokio::time::sleep(age + Duration::from_millis(100)).await;
    put(&trial, &store, "new.wav").await;
    let args = WatchArgs { newer_than: Some(age), ..source(&trial) };
    let summary = look(&trial, &args).await.unwrap();
    assert_eq!((summary.enqueued, summary.known), (1, 0), "{summary:?}");
    assert_eq!(names(&trial, &trial.queued().await.unwrap()), ["new.wav"]);
    assert_eq!(look(&trial, &source(&trial)).await.unwrap().enqueued, 1);
    end(trial, database).await;
}

#[tokio::test]
async fn several_watchers_at_once_publish_each_recording_once() {
    let (trial, database, store) = trial().await;
    let args = WatchArgs { once: false, interval: Some(Duration::from_secs(1)), ..source(&trial) };
    let watchers: Vec<_> = (0..3).map(|_| tests::watching::Watching::start(&trial.settings, &args)).collect();
    let keys: Vec<String> = (0..300).map(|i| format!("{}-{i}.wav", uuid::Uuid::new_v4())).collect();
    let puts = keys.iter().map(|name| put(&trial, &store, name)).collect::<Vec<_>>();
    stream::iter(puts).buffer_unordered(4).collect::<Vec<_>>().await;
    let begun = Instant::now();
    while trial.waiting().await.unwrap() < 300 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} are enqueued", trial.waiting().await.unwrap());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut enqueued = 0;
    for watcher in watchers {
        enqueued += watcher.stop().await.unwrap().enqueued;
    }
    assert_eq!((enqueued, trial.waiting().await.unwrap()), (300, 300));
    end(trial, database).await;
}

/// A watcher as a process of its own.
fn process(trial: &Trial, args: &[&str]) -> Child {
    use secrecy::ExposeSecret;
    let mut command = Command::new(tests::programs::path("producer").unwrap());
    command.arg("watch").arg(format!("s3://{}/{}", trial.settings.s3.bucket, trial.keys)).args(args);
    command
        .env("EMOFLEET__AMQP__PREFIX", &trial.settings.amqp.prefix)
        .env("EMOFLEET__S3__ARTIFACT_PREFIX", &trial.settings.s3.artifact_prefix)
        .env("EMOFLEET__POSTGRES__URL", trial.settings.postgres.url.expose_secret());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Sends SIGTERM and returns what the process printed, once it has ended by itself.
fn terminate(child: Child) -> std::process::Output {
    let done = Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert!(done.success());
    child.wait_with_output().unwrap()
}

async fn published(database: &Database) -> i64 {
    let query = "SELECT count(*) FROM analyses WHERE published_at IS NOT NULL";
    sqlx::query_scalar(query).fetch_one(database.pool()).await.unwrap()
}

/// Recordings arrive while the watcher is killed twice, in the middle of its work.
async fn killed_twice(recordings: usize) {
    let (trial, database, store) = trial().await;
    tests::programs::built("producer").unwrap();
    let args = ["--interval", "1s", "--rest", "0"];
    let begun = Instant::now();
    let arriving = async {
        let names: Vec<String> = (0..recordings).map(|i| format!("{}/{}.wav", i % 7, uuid::Uuid::new_v4())).collect();
        let puts = names.iter().map(|name| put(&trial, &store, name)).collect::<Vec<_>>();
        stream::iter(puts).buffer_unordered(4).collect::<Vec<_>>().await;
        begun.elapsed()
    };
    let watching = async {
        for share in [recordings / 5, recordings / 2] {
            let mut watcher = process(&trial, &args);
            while published(&database).await < i64::try_from(share).unwrap() {
                assert!(begun.elapsed() < Duration::from_secs(600), "{} are enqueued", published(&database).await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            watcher.kill().unwrap();
            watcher.wait().unwrap();
        }
        process(&trial, &args)
    };
    let (arrived, watcher) = tokio::join!(arriving, watching);
    // One more, so that the last watcher is at work before it is stopped.
    put(&trial, &store, "0/late.wav").await;
    let recordings = recordings + 1;
    while published(&database).await < i64::try_from(recordings).unwrap() {
        assert!(begun.elapsed() < Duration::from_secs(600), "{} are enqueued", published(&database).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = begun.elapsed();
    let said = terminate(watcher);
    assert_eq!(said.status.code(), Some(0), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(String::from_utf8_lossy(&said.stdout).contains("watched   s3://"), "{said:?}");

    let jobs = trial.queued().await.unwrap();
    let distinct: HashSet<_> = jobs.iter().map(|job| job.job_id).collect();
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM analyses").fetch_one(database.pool()).await.unwrap();
    println!(
        "{recordings} recordings arrived in {:.1} s; all enqueued after {:.1} s, by a watcher killed twice; \
         {} messages for {} jobs, {rows} rows",
        arrived.as_secs_f64(),
        took.as_secs_f64(),
        jobs.len(),
        distinct.len()
    );
    assert_eq!((distinct.len(), rows), (recordings, i64::try_from(recordings).unwrap()));
    // A watcher that is killed between the broker's confirmation and its note of it sends those jobs again.
    assert!(jobs.len() <= recordings + 2 * adapters::postgres::JOBS_PER_CHUNK, "{} messages", jobs.len());
    end(trial, database).await;
}

#[tokio::test]
async fn a_watcher_killed_twice_enqueues_each_of_hundreds_once() {
    killed_twice(600).await;
}

#[tokio::test]
#[ignore = "a measurement: cargo nextest run -p emofleet-tests --test producer_watch --run-ignored only --no-capture"]
async fn a_watcher_killed_twice_enqueues_each_of_five_thousand_once() {
    killed_twice(5_000).await;
}

//! Counts and requests of a large enqueue; how fast it is, beside the requests that it saves.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::postgres::Database;
use adapters::retry::RetryPolicy;
use adapters::s3::Store;
use futures_util::stream::{self, StreamExt};
use producer::Summary;
use producer::cli::EnqueueArgs;
use producer::enqueue::enqueue;
use producer::meter::Meter;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tests::trial::Trial;

/// As many requests for single keys as a manifest had in flight, when it sent one for each line.
const LOOKUPS: usize = 32;
/// As many uploads as a folder had in flight, when each began with a request for its key.
const UPLOADS: usize = 8;

struct House {
    trial: Trial,
    database: Database,
    store: Store,
    folder: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let mut trial = Trial::new().unwrap();
        let database = trial.database().await.unwrap();
        let store = Store::new(&trial.settings.s3).unwrap();
        store.ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
        Self { trial, database, store, folder: tempfile::tempdir().unwrap() }
    }

    fn bucket(&self) -> &str {
        &self.trial.settings.s3.bucket
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.trial.keys)
    }

    async fn put(&self, names: &[String]) {
        let puts = names.iter().map(|name| async move {
            self.store.put_bytes(self.bucket(), &self.key(name), name.as_bytes(), "audio/wav").await.unwrap()
        });
        stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16).collect::<Vec<_>>().await;
    }

    fn files(&self, names: &[String]) -> PathBuf {
        let root = self.folder.path().join("recordings");
        for name in names {
            let path = root.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name.repeat(200)).unwrap();
        }
        root
    }

    /// A manifest of `lines` lines about these names, in turn.
    fn manifest(&self, names: &[String], lines: usize) -> PathBuf {
        let mut text = String::from("key,call_id,agent,remark\n");
        for line in 0..lines {
            let name = line % names.len();
            writeln!(text, "{},c-{name},a{},line {line}", names[name], line / names.len()).unwrap();
        }
        let path = self.folder.path().join("calls.csv");
        std::fs::write(&path, text).unwrap();
        path
    }

    async fn enqueue(&self, args: &EnqueueArgs) -> Summary {
        enqueue(&self.trial.settings, args, RetryPolicy::NEVER, Arc::new(Meter::silent())).await.unwrap()
    }

    fn of_prefix(&self, manifest: &Path) -> EnqueueArgs {
        let source = format!("s3://{}/{}", self.bucket(), self.trial.keys);
        EnqueueArgs { manifest: Some(manifest.to_owned()), ..EnqueueArgs::of(source) }
    }

    fn of_folder(&self, root: &Path) -> EnqueueArgs {
        EnqueueArgs { prefix: Some(self.trial.keys.clone()), ..EnqueueArgs::of(root.to_string_lossy()) }
    }

    async fn end(self) {
        self.database.close().await;
        self.trial.end().await.unwrap();
    }
}

fn names(count: usize, folders: usize) -> Vec<String> {
    (0..count).map(|i| format!("{:02}/{i:05}.wav", i % folders)).collect()
}

#[tokio::test]
async fn lines_about_the_same_recording_are_one_recording_and_the_last_one_counts() {
    let house = House::new().await;
    let all = names(120, 2);
    house.put(&all[..100]).await;
    house.put(&["other.wav".to_owned()]).await;
    // Ten lines of each recording; twenty recordings are not there.
    let manifest = house.manifest(&all, 1_200);
    let summary = house.enqueue(&house.of_prefix(&manifest)).await;
    assert_eq!((summary.listed, summary.enqueued, summary.known), (100, 100, 0), "{summary:?}");
    assert_eq!((summary.repeated_lines, summary.skipped_lines), (900, 200), "{summary:?}");
    let again = house.enqueue(&house.of_prefix(&manifest)).await;
    assert_eq!((again.listed, again.enqueued, again.known), (100, 0, 100), "{again:?}");
    let agents: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT agent FROM recordings").fetch_all(house.database.pool()).await.unwrap();
    assert_eq!(agents, ["a9"]);
    // A listing and requests for single keys find the same objects: the same jobs.
    let few = house.manifest(&all[..5], 5);
    let few = EnqueueArgs { batch: Some("few".into()), ..house.of_prefix(&few) };
    let summary = house.enqueue(&few).await;
    assert_eq!((summary.listed, summary.known), (5, 5), "{summary:?}");
    house.end().await;
}

#[tokio::test]
async fn a_large_folder_is_compared_with_one_listing_and_changed_files_are_sent_again() {
    let house = House::new().await;
    let all = names(200, 3);
    let root = house.files(&all);
    let first = house.enqueue(&house.of_folder(&root)).await;
    assert_eq!((first.listed, first.uploaded, first.enqueued), (200, 200, 200), "{first:?}");
    std::fs::write(root.join(&all[7]), "other sound").unwrap();
    std::fs::write(root.join("new.wav"), "new sound").unwrap();
    let second = house.enqueue(&house.of_folder(&root)).await;
    assert_eq!((second.listed, second.uploaded, second.enqueued, second.known), (201, 2, 2, 199), "{second:?}");
    house.end().await;
}

#[tokio::test]
#[ignore = "a measurement: cargo nextest run --release -p emofleet-tests --test producer_speed --run-ignored only --no-capture"]
async fn speed_of_a_folder_and_of_a_manifest() {
    let house = House::new().await;
    let scale = if cfg!(debug_assertions) { 1 } else { 10 };
    let all = names(1_000 * scale, 10);
    let root = house.files(&all);
    let files = all.len() as f64;

    // What each file took before: a request for its key, then the upload.
    let begun = Instant::now();
    let before = all[..all.len() / 2].iter().map(|name| {
        let (house, path) = (&house, root.join(name));
        async move {
            let key = house.key(&format!("before/{name}"));
            assert!(house.store.head(house.bucket(), &key).await.unwrap().is_none());
            house.store.put_file(house.bucket(), &key, &path, "audio/wav").await.unwrap();
        }
    });
    stream::iter(before.collect::<Vec<_>>()).buffer_unordered(UPLOADS).collect::<Vec<_>>().await;
    let requests = files / 2.0 / begun.elapsed().as_secs_f64();
    let summary = house.enqueue(&house.of_folder(&root)).await;
    assert_eq!(summary.enqueued, all.len() as u64, "{summary:?}");
    println!(
        "folder: {:.0} files/s, enqueued; {requests:.0}/s only to ask for each and upload it, {UPLOADS} at a time",
        summary.rate()
    );

    let lines = 10 * all.len();
    let manifest = house.manifest(&all, lines);
    let begun = Instant::now();
    let heads =
        all.iter().map(|name| async { house.store.head(house.bucket(), &house.key(name)).await.unwrap().unwrap() });
    stream::iter(heads.collect::<Vec<_>>()).buffered(LOOKUPS).collect::<Vec<_>>().await;
    let requests = files / begun.elapsed().as_secs_f64();
    for (what, batch) in [("known", "1"), ("new", "2")] {
        let mut args = EnqueueArgs { batch: Some(batch.into()), ..house.of_prefix(&manifest) };
        args.job.no_embedding = what == "new";
        let summary = house.enqueue(&args).await;
        assert_eq!(
            (summary.listed, summary.repeated_lines),
            (all.len() as u64, (lines - all.len()) as u64),
            "{summary:?}"
        );
        println!(
            "manifest: {lines} lines, {} {what} recordings: {:.0} lines/s; {requests:.0}/s only to ask for each line's key, {LOOKUPS} at a time",
            summary.listed,
            lines as f64 / summary.took.as_secs_f64()
        );
    }
    house.end().await;
}

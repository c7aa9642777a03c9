//! Call data that reaches a watcher beside, before or after its recording, on real services.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::postgres::Database;
use adapters::s3::Store;
use domain::{ChannelLayout, Role};
use producer::watch::{WatchArgs, WatchSummary};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::trial::Trial;
use tests::watching::{Watching, once, source};

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

async fn put(trial: &Trial, store: &Store, name: &str, content: &str) {
    let key = format!("{}{name}", trial.keys);
    store.put_bytes(&trial.settings.s3.bucket, &key, content.to_owned(), "application/octet-stream").await.unwrap();
}

/// Call id and agent of a recording, as stored.
async fn call(trial: &Trial, database: &Database, name: &str) -> Option<Call> {
    let query = "SELECT call_id, agent FROM recordings WHERE key = $1";
    let row = sqlx::query_as(query).bind(format!("{}{name}", trial.keys));
    row.fetch_optional(database.pool()).await.unwrap()
}

type Call = (Option<String>, Option<String>);

fn said(call_id: &str, agent: &str) -> Call {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (text(call_id), text(agent))
}

async fn look(trial: &Trial, args: &WatchArgs) -> WatchSummary {
    once(&trial.settings, args).await.unwrap()
}

#[tokio::test]
async fn sidecars_give_call_data_and_roles_in_either_spelling() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "1.wav", "one").await;
    let json = r#"{"key":"1.wav","Call ID":"c-1","agent":"a7","started_at":"2026-11-22 17:30","channel_0":"agent","channel_1":"customer","Produkt":"Strom"}"#;
    put(&trial, &store, "1.json", json).await;
    put(&trial, &store, "通话 2.mp3", "two").await;
    put(&trial, &store, "通话 2.mp3.json", "\u{feff}{\"call_id\": \"c-2\"}").await;
    let zone = Some("Asia/Shanghai".parse().unwrap());
    let args = WatchArgs { sidecars: true, timezone: zone, ..source(&trial) };
    let first = look(&trial, &args).await;
    assert_eq!((first.enqueued, first.left_out, first.corrected), (2, 0, 0), "{first:?}");
    let jobs = trial.queued().await.unwrap();
    assert_eq!(jobs[0].call.call_id.as_deref(), Some("c-1"));
    assert_eq!(jobs[0].call.started_at.unwrap().to_rfc3339(), "2026-11-22T09:30:00+00:00");
    assert_eq!(jobs[0].call.attributes, BTreeMap::from([("Produkt".to_owned(), "Strom".to_owned())]));
    let roles = BTreeMap::from([(0, Role::Agent), (1, Role::Customer)]);
    assert_eq!(jobs[0].options.channels, Some(ChannelLayout::Roles(roles)));
    assert_eq!(jobs[1].call.call_id.as_deref(), Some("c-2"));
    // A restart reads none of it again, and enqueues nothing.
    let again = look(&trial, &args).await;
    assert_eq!((again.enqueued, again.known, again.corrected), (0, 2, 0), "{again:?}");
    end(trial, database).await;
}

#[tokio::test]
async fn a_recording_waits_for_its_call_data_then_goes_without_and_what_comes_later_is_applied() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "a.wav", "a").await;
    let patient = WatchArgs { sidecars: true, grace: Some(Duration::from_hours(1)), ..source(&trial) };
    let waiting = look(&trial, &patient).await;
    assert_eq!((waiting.enqueued, waiting.waiting), (0, 1), "{waiting:?}");
    let args = WatchArgs { grace: Some(Duration::ZERO), ..patient.clone() };
    assert_eq!(look(&trial, &args).await.enqueued, 1);
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("", "")));

    put(&trial, &store, "a.json", r#"{"call_id":"c-1","agent":"a7"}"#).await;
    let late = look(&trial, &patient).await;
    assert_eq!((late.enqueued, late.corrected), (0, 1), "{late:?}");
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "a7")));
    put(&trial, &store, "a.json", r#"{"call_id":"c-1","agent":"a8"}"#).await;
    assert_eq!(look(&trial, &patient).await.corrected, 1);
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "a8")));
    assert_eq!(look(&trial, &patient).await.corrected, 0);
    // Other roles are another job on the recording.
    put(&trial, &store, "a.json", r#"{"call_id":"c-1","channel_0":"customer"}"#).await;
    let roles = look(&trial, &patient).await;
    assert_eq!((roles.enqueued, roles.corrected), (1, 1), "{roles:?}");
    end(trial, database).await;
}

#[tokio::test]
async fn a_wrong_sidecar_leaves_out_its_recording_until_it_is_corrected() {
    let (trial, database, store) = trial().await;
    for (name, json) in [
        ("a", "{\"call_id\": \"c-1\""),
        ("b", r#"{"started_at":"yesterday"}"#),
        ("c", r#"{"channel_1":"agent","channel_2":"customer"}"#),
        ("d", r#"{"key":"other.wav","call_id":"c-4"}"#),
        ("e", r#"["call_id"]"#),
        ("good", r#"{"call_id":"c-5"}"#),
    ] {
        put(&trial, &store, &format!("{name}.wav"), name).await;
        put(&trial, &store, &format!("{name}.json"), json).await;
    }
    let args = WatchArgs { sidecars: true, ..source(&trial) };
    let summary = look(&trial, &args).await;
    assert_eq!((summary.enqueued, summary.left_out), (1, 5), "{summary:?}");
    put(&trial, &store, "a.json", r#"{"call_id":"c-1"}"#).await;
    let corrected = look(&trial, &args).await;
    assert_eq!((corrected.enqueued, corrected.left_out), (1, 4), "{corrected:?}");
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "")));
    end(trial, database).await;
}

#[tokio::test]
async fn a_manifest_that_grows_gives_call_data_before_and_after_its_recordings() {
    let (trial, database, store) = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.csv");
    std::fs::write(&path, "key,call_id,agent\na.wav,c-1,a7\nlater.wav,c-3,a9\nb.wav,c-2,").unwrap();
    put(&trial, &store, "a.wav", "a").await;
    put(&trial, &store, "b.wav", "b").await;
    let args = WatchArgs { manifest: Some(path.to_string_lossy().into_owned()), ..source(&trial) };
    let first = look(&trial, &args).await;
    assert_eq!((first.enqueued, first.corrected, first.left_out), (2, 0, 0), "{first:?}");
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "a7")));
    assert_eq!(call(&trial, &database, "b.wav").await, Some(said("c-2", "")), "a file at rest is read to its end");

    // Lines are appended: a correction, one that is wrong, one that came before its recording.
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("a8\na.wav,c-1,a1\na.wav,c-1,a2\nc.wav,c-9\n");
    std::fs::write(&path, text).unwrap();
    put(&trial, &store, "later.wav", "later").await;
    let second = look(&trial, &args).await;
    assert_eq!((second.enqueued, second.corrected, second.left_out), (1, 2, 1), "{second:?}");
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "a2")), "the last line counts");
    assert_eq!(call(&trial, &database, "b.wav").await, Some(said("c-2", "a8")));
    assert_eq!(call(&trial, &database, "later.wav").await, Some(said("c-3", "a9")));
    let third = look(&trial, &args).await;
    assert_eq!((third.enqueued, third.corrected, third.known), (0, 0, 3), "{third:?}");

    // The same from the store, by a watcher that runs: the recording waits for its line.
    let key = format!("{}calls.jsonl", trial.keys);
    put(&trial, &store, "calls.jsonl", "{\"key\":\"a.wav\",\"agent\":\"a3\"}\n").await;
    let manifest = format!("s3://{}/{key}", trial.settings.s3.bucket);
    let args = WatchArgs {
        manifest: Some(manifest),
        once: false,
        grace: Some(Duration::from_hours(1)),
        interval: Some(Duration::from_secs(1)),
        ..args
    };
    let watching = Watching::start(&trial.settings, &args);
    put(&trial, &store, "z.wav", "z").await;
    let begun = std::time::Instant::now();
    let until = async |name: &str, expected: Call| {
        while call(&trial, &database, name).await.as_ref() != Some(&expected) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{name} is not {expected:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    until("a.wav", said("c-1", "a3")).await;
    assert_eq!(call(&trial, &database, "z.wav").await, None);
    put(
        &trial,
        &store,
        "calls.jsonl",
        "{\"key\":\"a.wav\",\"agent\":\"a3\"}\n{\"key\":\"z.wav\",\"call_id\":\"c-z\"}\n",
    )
    .await;
    until("z.wav", said("c-z", "")).await;
    let summary = watching.stop().await.unwrap();
    assert_eq!((summary.enqueued, summary.corrected), (1, 1), "{summary:?}");
    end(trial, database).await;
}

#[tokio::test]
async fn a_manifest_that_can_not_be_copied_ends_the_watch_before_a_recording_goes_without_call_data() {
    let (trial, database, store) = trial().await;
    put(&trial, &store, "1.wav", "one").await;
    let folder = tempfile::tempdir().unwrap();
    let manifest = folder.path().join("today.csv");
    std::fs::write(&manifest, "key,agent\n1.wav,a7\n").unwrap();
    let bucket = format!("s3://{}/{}", trial.settings.s3.bucket, trial.keys);
    let mut watch = std::process::Command::new(tests::programs::built("producer").unwrap());
    watch.env_clear().envs(tests::programs::environment(&trial)).env("TMPDIR", folder.path().join("missing"));
    watch.args(["watch", &bucket, "--once", "--rest", "0", "--grace", "0", "--manifest"]).arg(&manifest);
    let said = watch.output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(2) && text.contains("missing") && text.contains("set TMPDIR"), "{text}");
    assert_eq!(call(&trial, &database, "1.wav").await, None);
    end(trial, database).await;
}

#[tokio::test]
async fn lines_of_a_manifest_about_another_bucket_are_left_out_and_counted() {
    let (trial, database, store) = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.csv");
    let (bucket, keys) = (&trial.settings.s3.bucket, &trial.keys);
    // Both name the same key; the line of the other bucket is the later one.
    let text = format!("key,call_id,agent\ns3://{bucket}/{keys}a.wav,c-1,a1\ns3://another/{keys}a.wav,c-9,a9\n");
    std::fs::write(&path, &text).unwrap();
    put(&trial, &store, "a.wav", "a").await;
    put(&trial, &store, "b.wav", "b").await;
    let args = WatchArgs { manifest: Some(path.to_string_lossy().into_owned()), ..source(&trial) };
    let first = look(&trial, &args).await;
    assert_eq!((first.enqueued, first.left_out), (2, 1), "{first:?}");
    assert_eq!(call(&trial, &database, "a.wav").await, Some(said("c-1", "a1")));
    // Appended for a recording that is enqueued already.
    std::fs::write(&path, format!("{text}s3://another/{keys}b.wav,c-8,a8\n")).unwrap();
    let second = look(&trial, &args).await;
    assert_eq!((second.enqueued, second.corrected, second.left_out), (0, 0, 2), "{second:?}");
    assert_eq!(call(&trial, &database, "b.wav").await, Some(said("", "")));
    end(trial, database).await;
}

#[tokio::test]
async fn half_a_line_of_a_manifest_that_is_being_written_is_no_call_data() {
    let (trial, database, store) = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.csv");
    put(&trial, &store, "a.wav", "a").await;
    put(&trial, &store, "b.wav", "b").await;
    assert_eq!(look(&trial, &source(&trial)).await.enqueued, 2);
    let half = |who| format!("key,call_id,agent,note\na.wav,c-1,{who}7,\"one\ntwo\"\nb.wav,c-2,{who}8,\"one\n");
    std::fs::write(&path, half("a")).unwrap();
    put(&trial, &store, "calls.csv", &half("s")).await;
    let in_store = format!("s3://{}/{}calls.csv", trial.settings.s3.bucket, trial.keys);
    for (manifest, agents) in [(path.to_string_lossy().into_owned(), ["a7", "a8"]), (in_store, ["s7", "s8"])] {
        let args = WatchArgs {
            manifest: Some(manifest),
            once: false,
            rest: Some(Duration::from_hours(1)),
            interval: Some(Duration::from_secs(1)),
            ..source(&trial)
        };
        let watching = Watching::start(&trial.settings, &args);
        let begun = std::time::Instant::now();
        let until = async |name: &str, expected: Call| {
            while call(&trial, &database, name).await.as_ref() != Some(&expected) {
                assert!(begun.elapsed() < Duration::from_secs(60), "{name} is not {expected:?}");
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        let before = call(&trial, &database, "b.wav").await;
        until("a.wav", said("c-1", agents[0])).await;
        assert_eq!(call(&trial, &database, "b.wav").await, before, "its line is not whole");
        let whole = format!("{}two\"\n", half(&agents[0][..1]));
        if agents[0] == "a7" {
            std::fs::write(&path, whole).unwrap();
        } else {
            put(&trial, &store, "calls.csv", &whole).await;
        }
        until("b.wav", said("c-2", agents[1])).await;
        let summary = watching.stop().await.unwrap();
        assert_eq!((summary.enqueued, summary.left_out), (0, 0), "{summary:?}");
    }
    end(trial, database).await;
}

#[tokio::test]
async fn a_sidecar_in_a_folder_that_is_larger_than_memory_leaves_out_its_recording() {
    let (trial, database, _) = trial().await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["1.wav", "2.wav"] {
        std::fs::write(folder.path().join(name), name).unwrap();
    }
    // Without a block on the disk.
    std::fs::File::create(folder.path().join("1.wav.json")).unwrap().set_len(1 << 36).unwrap();
    std::fs::write(folder.path().join("2.json"), r#"{"call_id":"c-2"}"#).unwrap();
    let args = WatchArgs {
        sidecars: true,
        prefix: Some(trial.keys.clone()),
        ..WatchArgs { source: folder.path().to_string_lossy().into_owned(), ..source(&trial) }
    };
    let first = look(&trial, &args).await;
    assert_eq!((first.enqueued, first.left_out), (1, 1), "{first:?}");
    assert_eq!(call(&trial, &database, "2.wav").await, Some(said("c-2", "")));
    // It is looked at again when it has changed.
    std::fs::write(folder.path().join("1.wav.json"), r#"{"call_id":"c-1"}"#).unwrap();
    assert_eq!(look(&trial, &args).await.enqueued, 1);
    assert_eq!(call(&trial, &database, "1.wav").await, Some(said("c-1", "")));
    end(trial, database).await;
}

#[tokio::test]
async fn a_watched_folder_is_uploaded_with_its_call_data_when_its_files_rest() {
    let (trial, database, _) = trial().await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    };
    write("in/1.wav", "one");
    write("in/1.wav.json", r#"{"call_id":"c-1"}"#);
    write("notes.txt", "none");
    let rest = Duration::from_secs(2);
    let args = WatchArgs {
        sidecars: true,
        once: false,
        rest: Some(rest),
        grace: Some(rest),
        interval: Some(Duration::from_secs(1)),
        prefix: Some(trial.keys.clone()),
        ..WatchArgs::of(folder.path().to_string_lossy())
    };
    let watching = Watching::start(&trial.settings, &args);
    let begun = std::time::Instant::now();
    let mut grown = String::new();
    for _ in 0..8 {
        grown.push_str("more sound");
        write("in/2.wav", &grown);
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    while trial.waiting().await.unwrap() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "the folder is not enqueued");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let summary = watching.stop().await.unwrap();
    assert_eq!((summary.enqueued, summary.left_out), (2, 0), "{summary:?}");
    assert_eq!(call(&trial, &database, "in/1.wav").await, Some(said("c-1", "")));
    let jobs = trial.queued().await.unwrap();
    let store = Store::new(&trial.settings.s3).unwrap();
    let object = store.head(&trial.settings.s3.bucket, &jobs[1].object.key).await.unwrap().unwrap();
    assert_eq!((object.bytes, &object.etag), (grown.len() as u64, &jobs[1].object.etag), "the whole file, once");

    // A restart uploads and enqueues nothing; a corrected file is applied.
    let args = WatchArgs { once: true, rest: Some(Duration::ZERO), grace: Some(Duration::ZERO), ..args };
    let again = look(&trial, &args).await;
    assert_eq!((again.enqueued, again.corrected, again.known), (0, 0, 2), "{again:?}");
    write("in/2.json", r#"{"call_id":"c-2"}"#);
    assert_eq!(look(&trial, &args).await.corrected, 1);
    assert_eq!(call(&trial, &database, "in/2.wav").await, Some(said("c-2", "")));
    end(trial, database).await;
}

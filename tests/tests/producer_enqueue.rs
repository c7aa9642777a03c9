//! What the producer puts into the queue, from every kind of source, on real services.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::amqp::{consume, depths};
use adapters::postgres::Database;
use adapters::retry::RetryPolicy;
use domain::{BatchId, ChannelLayout, FailureCode, Granularity, Job, Role};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use producer::cli::EnqueueArgs;
use producer::enqueue::JobArgs;
use producer::enqueue::enqueue;
use producer::meter::Meter;
use producer::{ProducerError, Summary};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tests::proxy::{Mode, Proxy};
use tests::trial::Trial;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

async fn run(trial: &Trial, args: &EnqueueArgs) -> Result<Summary, ProducerError> {
    enqueue(&trial.settings, args, RetryPolicy::NEVER, Arc::new(Meter::silent())).await
}

/// A source on the trial's own keys.
fn from_prefix(trial: &Trial) -> EnqueueArgs {
    EnqueueArgs::of(format!("s3://{}/{}", trial.settings.s3.bucket, trial.keys))
}

fn folder(files: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in files {
        let path = folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, format!("sound of {file}")).unwrap();
    }
    folder
}

async fn trial() -> (Trial, Database) {
    let mut trial = Trial::new().unwrap();
    let database = trial.database().await.unwrap();
    let store = adapters::s3::Store::new(&trial.settings.s3).unwrap();
    store.ensure_bucket(&trial.settings.s3.bucket).await.unwrap();
    (trial, database)
}

async fn end(trial: Trial, database: Database) {
    database.close().await;
    trial.end().await.unwrap();
}

async fn waiting(trial: &Trial) -> u32 {
    let model = &trial.settings.model.name;
    let depths = depths(&trial.settings.amqp, &[model]).await.unwrap();
    depths.into_iter().find(|d| d.queue.ends_with(&format!(".jobs.bulk.{model}"))).unwrap().messages
}

/// Takes all jobs out of the queue.
async fn jobs(trial: &Trial) -> Vec<Job> {
    let count = waiting(trial).await;
    let stop = CancellationToken::new();
    let mut leases = consume(&trial.settings.amqp, &trial.bulk(), 100, stop.clone());
    let mut jobs = Vec::new();
    for _ in 0..count {
        let lease = timeout(Duration::from_secs(20), leases.recv()).await.unwrap().unwrap();
        jobs.push(Job::from_json(&lease.body).unwrap());
        lease.ack().await.unwrap();
    }
    stop.cancel();
    leases.closed().await;
    jobs.sort_by(|a, b| a.object.key.cmp(&b.object.key));
    jobs
}

#[tokio::test]
async fn a_folder_is_uploaded_and_the_same_folder_again_adds_nothing() {
    let (trial, database) = trial().await;
    let folder = folder(&["a b.wav", "sub/通话.mp3", "notes.txt", ".hidden.wav"]);
    let mut args = EnqueueArgs::of(folder.path().to_string_lossy());
    args.prefix = Some(trial.keys.clone());

    let first = run(&trial, &args).await.unwrap();
    assert_eq!((first.listed, first.uploaded, first.enqueued, first.known, first.not_audio), (2, 2, 2, 0, 1));
    let again = run(&trial, &args).await.unwrap();
    assert_eq!((again.listed, again.uploaded, again.enqueued, again.known), (2, 0, 0, 2));
    // The uploaded objects as a source are the same jobs.
    let as_prefix = run(&trial, &from_prefix(&trial)).await.unwrap();
    assert_eq!((as_prefix.listed, as_prefix.enqueued, as_prefix.known), (2, 0, 2));
    assert_eq!(as_prefix.batch, first.batch);

    let jobs = jobs(&trial).await;
    let keys: Vec<_> = jobs.iter().map(|j| j.object.key.strip_prefix(&trial.keys).unwrap()).collect();
    assert_eq!(keys, ["a b.wav", "sub/通话.mp3"]);
    assert!(
        jobs.iter()
            .all(|j| j.object.etag.is_some() && j.options.embedding && j.batch_id == BatchId::from_name(&first.batch))
    );
    end(trial, database).await;
}

#[tokio::test]
async fn a_file_that_was_uploaded_in_parts_is_not_uploaded_again() {
    let (mut trial, database) = trial().await;
    trial.settings.s3.part_mib = 5;
    let folder = folder(&[]);
    std::fs::write(folder.path().join("long.wav"), vec![7; 6 * 1024 * 1024]).unwrap();
    let mut args = EnqueueArgs::of(folder.path().to_string_lossy());
    args.prefix = Some(trial.keys.clone());
    assert_eq!(run(&trial, &args).await.unwrap().uploaded, 1);
    let again = run(&trial, &args).await.unwrap();
    assert_eq!((again.uploaded, again.known), (0, 1));
    let mut other = vec![7; 6 * 1024 * 1024];
    other[6_000_000] = 8;
    std::fs::write(folder.path().join("long.wav"), other).unwrap();
    assert_eq!(run(&trial, &args).await.unwrap().uploaded, 1, "another content");
    end(trial, database).await;
}

#[tokio::test]
async fn a_key_that_does_not_exist_is_an_error_and_an_empty_prefix_is_none() {
    let (trial, database) = trial().await;
    let empty = run(&trial, &from_prefix(&trial)).await.unwrap();
    assert_eq!(empty.listed, 0);
    let missing = EnqueueArgs::of(format!("s3://{}/{}nothere.wav", trial.settings.s3.bucket, trial.keys));
    let refused = run(&trial, &missing).await.unwrap_err().to_string();
    assert!(refused.contains("nothere.wav") && refused.contains("no such object"), "{refused}");
    end(trial, database).await;
}

#[tokio::test]
async fn a_changed_file_is_uploaded_again_and_is_another_job() {
    let (trial, database) = trial().await;
    let folder = folder(&["a.wav"]);
    let mut args = EnqueueArgs::of(folder.path().join("a.wav").to_string_lossy());
    args.prefix = Some(trial.keys.clone());
    assert_eq!(run(&trial, &args).await.unwrap().enqueued, 1);
    std::fs::write(folder.path().join("a.wav"), "sound of b.wav").unwrap();
    let changed = run(&trial, &args).await.unwrap();
    assert_eq!((changed.uploaded, changed.enqueued), (1, 1));
    let jobs = jobs(&trial).await;
    assert_eq!(jobs[0].object.key, jobs[1].object.key);
    assert_ne!(jobs[0].object.etag, jobs[1].object.etag);
    end(trial, database).await;
}

#[tokio::test]
async fn other_options_are_another_job_and_force_asks_again() {
    let (trial, database) = trial().await;
    let folder = folder(&["a.wav"]);
    let mut args = EnqueueArgs::of(folder.path().to_string_lossy());
    args.prefix = Some(trial.keys.clone());
    assert_eq!(run(&trial, &args).await.unwrap().enqueued, 1);
    let job = JobArgs {
        granularity: Granularity::Frame,
        channels: Some(ChannelLayout::Mix),
        no_embedding: true,
        ..JobArgs::default()
    };
    let frames = EnqueueArgs { job, ..args.clone() };
    assert_eq!(run(&trial, &frames).await.unwrap().enqueued, 1);
    let queued = jobs(&trial).await;
    let framed = queued.iter().find(|j| j.options.granularity == Granularity::Frame).unwrap();
    assert_eq!((framed.options.channels.as_ref(), framed.options.embedding), (Some(&ChannelLayout::Mix), false));

    // One has failed since: only that one is open to force, which makes it a job to do again.
    let failure = domain::Failure::new(domain::FailureCode::AudioCorrupt, "broken");
    database.record_failed(framed, &failure, "w", None).await.unwrap();
    assert_eq!(run(&trial, &frames).await.unwrap().enqueued, 0);
    let forced = run(&trial, &EnqueueArgs { force: true, ..frames }).await.unwrap();
    assert_eq!(forced.enqueued, 1);
    let progress = database.batch_progress(&BatchId::from_name(&forced.batch)).await.unwrap();
    assert_eq!((progress.queued, progress.failed), (2, 0));
    end(trial, database).await;
}

#[tokio::test]
async fn a_listing_of_many_pages_is_enqueued_without_artifacts_and_folders() {
    let (mut trial, database) = trial().await;
    trial.settings.s3.artifact_prefix = format!("{}artifacts", trial.keys);
    let store = adapters::s3::Store::new(&trial.settings.s3).unwrap();
    let mut names: Vec<String> = (0..1_100).map(|i| format!("{i:05}.wav")).collect();
    names.extend(["artifacts/x/processed_audio.wav".into(), "artifacts-not.wav".into(), "readme.txt".into()]);
    let puts = names.iter().map(|name| format!("{}{name}", trial.keys)).map(|key| {
        let (store, bucket) = (store.clone(), trial.settings.s3.bucket.clone());
        async move { store.put_bytes(&bucket, &key, key.as_bytes(), "audio/wav").await }
    });
    stream::iter(puts.collect::<Vec<_>>()).buffer_unordered(16).try_collect::<Vec<_>>().await.unwrap();

    let dry = run(&trial, &EnqueueArgs { dry_run: true, ..from_prefix(&trial) }).await.unwrap();
    assert_eq!((dry.listed, dry.not_audio, dry.enqueued), (1_101, 1, 0));
    assert_eq!(database.batches(10).await.unwrap(), []);

    let summary = run(&trial, &from_prefix(&trial)).await.unwrap();
    assert_eq!((summary.listed, summary.enqueued, summary.not_audio), (1_101, 1_101, 1));
    assert_eq!(waiting(&trial).await, 1_101);
    let all = run(&trial, &EnqueueArgs { all: true, ..from_prefix(&trial) }).await.unwrap();
    assert_eq!((all.listed, all.enqueued, all.known), (1_102, 1, 1_101));
    end(trial, database).await;
}

async fn put(trial: &Trial, names: &[&str]) {
    let store = adapters::s3::Store::new(&trial.settings.s3).unwrap();
    for name in names {
        let key = format!("{}{name}", trial.keys);
        store.put_bytes(&trial.settings.s3.bucket, &key, name.as_bytes(), "audio/wav").await.unwrap();
    }
}

fn manifest(folder: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[tokio::test]
async fn a_manifests_columns_travel_with_the_job_from_csv_and_from_json_lines() {
    let (trial, database) = trial().await;
    put(&trial, &["1.wav", "通话 2.wav"]).await;
    let folder = tempfile::tempdir().unwrap();
    let csv = "\u{feff}key;call_id;agent;team;customer;started_at;channel_0;channel_1;Produkt\n\
               1.wav;c-1;a7;blue;k9;2026-11-22 09:30;agent;customer;Strom\n\
               \"通话 2.wav\";c-2;;;;;;;\n";
    let json = "{\"key\":\"1.wav\",\"call_id\":\"c-1\",\"agent\":\"a7\",\"team\":\"blue\",\"customer\":\"k9\",\
                \"started_at\":\"2026-11-22T09:30:00Z\",\"channel_0\":\"agent\",\"channel_1\":\"customer\",\
                \"attributes\":{\"Produkt\":\"Strom\"}}\n\n{\"key\":\"通话 2.wav\",\"call_id\":\"c-2\"}\n";
    for (name, text) in [("calls.csv", csv), ("calls.jsonl", json)] {
        let mut args = from_prefix(&trial);
        args.manifest = Some(manifest(folder.path(), name, text));
        // Another option, so that the second manifest gives new jobs.
        args.job.no_embedding = name.ends_with("jsonl");
        let summary = run(&trial, &args).await.unwrap();
        assert_eq!(
            (summary.batch.as_str(), summary.listed, summary.enqueued, summary.skipped_lines),
            ("calls", 2, 2, 0)
        );
        let jobs = jobs(&trial).await;
        let call = &jobs[0].call;
        assert_eq!(call.call_id.as_deref(), Some("c-1"));
        assert_eq!(
            (call.agent.as_deref(), call.team.as_deref(), call.customer.as_deref()),
            (Some("a7"), Some("blue"), Some("k9"))
        );
        assert_eq!(call.started_at.unwrap().to_rfc3339(), "2026-11-22T09:30:00+00:00");
        assert_eq!(call.attributes, BTreeMap::from([("Produkt".to_owned(), "Strom".to_owned())]));
        let roles = BTreeMap::from([(0, Role::Agent), (1, Role::Customer)]);
        assert_eq!(jobs[0].options.channels, Some(ChannelLayout::Roles(roles)));
        assert_eq!((jobs[1].call.call_id.as_deref(), jobs[1].options.channels.as_ref()), (Some("c-2"), None));
        assert!(jobs[1].call.attributes.is_empty());
    }
    end(trial, database).await;
}

#[tokio::test]
async fn a_wrong_line_is_left_out_and_counted_or_refuses_the_manifest_with_strict() {
    let (trial, database) = trial().await;
    put(&trial, &["1.wav"]).await;
    let folder = tempfile::tempdir().unwrap();
    let text = "key,started_at,channel_0\n1.wav,,\n1.wav,yesterday,\n,x,\n1.wav,,boss\n1.wav\ngone.wav,,\n";
    let path = manifest(folder.path(), "calls.csv", text);
    let mut args = EnqueueArgs { manifest: Some(path.clone()), strict: true, ..from_prefix(&trial) };
    let error = run(&trial, &args).await.unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let said = error.to_string();
    for (line, what) in [(3, "yesterday"), (4, "time"), (5, "boss"), (6, "1 fields")] {
        let begin = format!("{}:{line}: ", path.display());
        let told =
            said.lines().find(|l| l.starts_with(&begin)).unwrap_or_else(|| panic!("line {line} is not in: {said}"));
        assert!(told.contains(what), "{told}");
    }
    assert!(said.contains("4 of 6 lines are wrong"), "{said}");
    assert_eq!(waiting(&trial).await, 0);

    args.strict = false;
    let summary = run(&trial, &args).await.unwrap();
    assert_eq!((summary.enqueued, summary.skipped_lines), (1, 5));

    for (name, text) in
        [("a.csv", "file,agent\nx,y\n"), ("b.csv", "key,KEY\nx,y\n"), ("c.csv", ""), ("d.csv", "key,started_at\nx,y\n")]
    {
        let args = EnqueueArgs { manifest: Some(manifest(folder.path(), name, text)), ..from_prefix(&trial) };
        assert_eq!(run(&trial, &args).await.unwrap_err().exit_code(), 2, "{name}");
    }
    end(trial, database).await;
}

#[tokio::test]
async fn an_object_of_a_manifest_that_is_denied_is_left_out_and_a_store_that_denies_all_ends_the_command() {
    let (mut trial, database) = trial().await;
    put(&trial, &["1.wav", "forbidden.wav", "2.wav"]).await;
    let endpoint = trial.settings.s3.endpoint.clone();
    let proxy = Proxy::to(endpoint.trim_start_matches("http://").parse().unwrap()).await.unwrap();
    trial.settings.s3.endpoint = format!("http://{}", proxy.address);
    let folder = tempfile::tempdir().unwrap();
    let path = manifest(folder.path(), "calls.csv", "key\n1.wav\nforbidden.wav\n2.wav\n");
    let args = EnqueueArgs { manifest: Some(path), ..from_prefix(&trial) };
    let denied = |to| Mode::Answer { to, status: "403 Forbidden", kind: "application/xml", body: "" };
    // Every object of the bucket is denied, with the bucket as well and without.
    for all in ["", ".wav"] {
        proxy.set(denied(all));
        let error = run(&trial, &args).await.unwrap_err();
        let is_denied = matches!(&error, ProducerError::Service(failure) if failure.code == FailureCode::StoreDenied);
        assert!(is_denied, "{all}: {error}");
    }
    proxy.set(denied("forbidden.wav"));
    let summary = run(&trial, &args).await.unwrap();
    assert_eq!((summary.enqueued, summary.skipped_lines), (2, 1), "{summary:?}");
    trial.settings.s3.endpoint = endpoint;
    end(trial, database).await;
}

#[tokio::test]
async fn a_file_name_that_is_not_utf8_costs_that_file_only() {
    use std::os::unix::ffi::OsStrExt;
    let (trial, database) = trial().await;
    let folder = folder(&["a.wav", "b.wav"]);
    std::fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"A\xcd\xa8\xbb\xb0.wav")), "x").unwrap();
    let args = EnqueueArgs { prefix: Some(trial.keys.clone()), ..EnqueueArgs::of(folder.path().to_string_lossy()) };
    let summary = run(&trial, &args).await.unwrap();
    assert_eq!((summary.enqueued, summary.left_out), (2, 1));
    end(trial, database).await;
}

#[tokio::test]
async fn a_manifest_of_a_local_folder_uploads_what_it_names() {
    let (trial, database) = trial().await;
    let folder = folder(&["in/1.wav", "in/2.wav", "secret.wav"]);
    let text = "key,call_id\n1.wav,c-1\n../secret.wav,c-2\n3.wav,c-3\n";
    let path = manifest(folder.path(), "calls.csv", text);
    let args = EnqueueArgs {
        manifest: Some(path),
        prefix: Some(trial.keys.clone()),
        ..EnqueueArgs::of(folder.path().join("in").to_string_lossy())
    };
    let summary = run(&trial, &args).await.unwrap();
    assert_eq!((summary.uploaded, summary.enqueued, summary.skipped_lines), (1, 1, 2));
    assert_eq!(jobs(&trial).await[0].call.call_id.as_deref(), Some("c-1"));
    end(trial, database).await;
}

#[tokio::test]
async fn an_enqueue_that_is_cut_off_goes_on_where_it_ended() {
    let (mut trial, database) = trial().await;
    let names: Vec<String> = (0..600).map(|i| format!("{i}.wav")).collect();
    let folder = folder(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut args = EnqueueArgs::of(folder.path().to_string_lossy());
    args.prefix = Some(trial.keys.clone());

    // The broker is reached through a proxy that breaks the first time.
    let mut url: url::Url = secrecy::ExposeSecret::expose_secret(&trial.settings.amqp.url).parse().unwrap();
    let proxy = Proxy::to(([127, 0, 0, 1], url.port().unwrap()).into()).await.unwrap();
    let direct = trial.settings.amqp.url.clone();
    url.set_port(Some(proxy.address.port())).unwrap();
    trial.settings.amqp.url = url.to_string().into();
    trial.settings.amqp.confirm_timeout_s = 1;
    // No connection is long enough for all messages, however fast the machine.
    proxy.set(Mode::CutRequestsAfter(50_000));
    let first = async {
        let enqueuing = enqueue(&trial.settings, &args, RetryPolicy::NEVER, Arc::new(Meter::silent()));
        let breaking = async {
            // As soon as some are known to the database, the broker goes away.
            while database.batches(1).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            proxy.set(Mode::Cut);
        };
        tokio::join!(enqueuing, breaking).0
    };
    assert_eq!(first.await.unwrap_err().exit_code(), 1);

    trial.settings.amqp.url = direct;
    // On a busy machine the broker takes longer to confirm than the first run was to wait.
    trial.settings.amqp.confirm_timeout_s = 60;
    let second = run(&trial, &args).await.unwrap();
    // How much of the folder was uploaded before the end depends on the speed of both services.
    assert_eq!(second.listed, 600);
    assert_eq!(second.known + second.enqueued, 600);
    let mut ids: Vec<_> = jobs(&trial).await.into_iter().map(|j| j.job_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 600, "every job is in the queue");
    assert_eq!(run(&trial, &args).await.unwrap().enqueued, 0);
    end(trial, database).await;
}

#[tokio::test]
async fn services_that_are_away_are_waited_for_or_told_at_once() {
    let (mut trial, database) = trial().await;
    let folder = folder(&["a.wav"]);
    let mut args = EnqueueArgs::of(folder.path().to_string_lossy());
    args.prefix = Some(trial.keys.clone());
    let mut url: url::Url = secrecy::ExposeSecret::expose_secret(&trial.settings.amqp.url).parse().unwrap();
    let proxy = Proxy::to(([127, 0, 0, 1], url.port().unwrap()).into()).await.unwrap();
    proxy.set(Mode::Cut);
    let direct = trial.settings.amqp.url.clone();
    url.set_port(Some(proxy.address.port())).unwrap();
    trial.settings.amqp.url = url.to_string().into();

    let error = run(&trial, &args).await.unwrap_err();
    assert!(error.exit_code() == 1 && error.to_string().starts_with("broker.unreachable"), "{error}");
    let patient = enqueue(&trial.settings, &args, RetryPolicy::ENDLESS, Arc::new(Meter::silent()));
    let coming = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        proxy.set(Mode::Pass);
    };
    assert_eq!(tokio::join!(patient, coming).0.unwrap().enqueued, 1);
    trial.settings.amqp.url = direct;
    end(trial, database).await;
}

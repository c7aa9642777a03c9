//! The console under load: a huge upload, uploads beside a full bulk queue, and what the way through the fleet costs. The figures
//! are printed; `docs/console.md` has them.

use ::speech::{AnalysisControl, Analyzer};
use adapters::amqp::Lane;
use adapters::postgres::NewBatch;
use anyhow::{Context, Result, ensure};
use domain::{AnalysisOptions, BatchId, Granularity, Job, ObjectRef};
use futures_util::{StreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Client};
use serde_json::Value;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::console::Console;
use tests::fleet::Wish;
use tests::programs;
use tests::speech as voices;
use tests::trial::Trial;

/// Bulk jobs that wait while people upload.
const BULK: usize = 10_000;
/// Those among them whose recordings are stored: more than are done meanwhile.
const STORED: usize = 1000;
/// Uploads at once.
const UPLOADS: usize = 50;

/// A process that ends with the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Five seconds of speech.
fn five_seconds() -> Result<Vec<u8>> {
    voices::encoded("a.wav", &["-ar", "16000", "-t", "5"])
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

async fn send(client: &Client, url: &str, wav: &[u8]) -> Result<Duration> {
    let form = Form::new().part("audio", Part::bytes(wav.to_vec()).file_name("a.wav"));
    let begun = Instant::now();
    let answer = client.post(url).multipart(form).send().await?;
    let (status, body) = (answer.status(), answer.json::<Value>().await?);
    ensure!(status == 200 && body["emotion"].is_string(), "{status} {body}");
    Ok(begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_200_mb_is_refused_in_flat_memory() -> Result<()> {
    const CHUNK: usize = 1 << 20;
    const CHUNKS: usize = 200;
    let trial = Trial::new()?;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    drop(listener);
    let mut command = Command::new(programs::built("console")?);
    command.arg("serve").env_clear().envs(programs::environment(&trial)).stdin(Stdio::null()).stdout(Stdio::null());
    command.env("EMOFLEET__CONSOLE__ADDR", address.to_string());
    let console = Killed(command.spawn()?);
    let (client, live) = (Client::new(), format!("http://{address}/live"));
    for _ in 0..200 {
        if client.get(&live).send().await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // A page first, so that what every request needs is there.
    client.get(format!("http://{address}/api")).send().await?;
    let before = peak_mib(console.0.id())?;
    let chunk = axum::body::Bytes::from(vec![7_u8; CHUNK]);
    let body = stream::iter((0..CHUNKS).map(move |_| Ok::<_, std::io::Error>(chunk.clone())));
    let audio = Part::stream_with_length(Body::wrap_stream(body), (CHUNK * CHUNKS) as u64).file_name("a.wav");
    let answer = client
        .post(format!("http://{address}/api/predict/"))
        .multipart(Form::new().part("audio", audio))
        .send()
        .await?;
    assert_eq!(answer.status().as_u16(), 413);
    assert_eq!(answer.json::<Value>().await?["code"], "request.too_large");
    let grown = peak_mib(console.0.id())? - before;
    println!("200 MB posted: 413; peak memory {before:.1} MiB before, {grown:.1} MiB more after");
    assert!(grown < 24.0, "{grown} MiB more");
    // JSON of many small values takes little more than its text.
    let values = "[],".repeat((13 << 20) / 3);
    for body in
        [format!("{{\"data\": [{values}[]]}}"), format!("{{\"data\": [[{values}[]], {{\"x\": [{values}[]]}}]}}")]
    {
        let bytes = body.len();
        let post = client.post(format!("http://{address}/api/predict/")).header("content-type", "application/json");
        let status = post.body(body).send().await?.status();
        assert_eq!(status.as_u16(), if bytes > 14 << 20 { 413 } else { 422 });
    }
    let grown = peak_mib(console.0.id())? - before;
    println!("13 MB of JSON posted: {grown:.1} MiB more than before");
    assert!(grown < 72.0, "{grown} MiB more");
    Ok(())
}

/// The most memory that a process has had, MiB.
fn peak_mib(process: u32) -> Result<f64> {
    let mut status = String::new();
    std::fs::File::open(format!("/proc/{process}/status"))?.read_to_string(&mut status)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("a peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_uploads_at_once_do_not_wait_for_ten_thousand_bulk_jobs() -> Result<()> {
    // On a busy machine the last of them waits for minutes.
    let mut console = Console::without_worker(|settings| settings.console.predict_wait_s = 600).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let (client, wav, url) = (Client::new(), five_seconds()?, console.at("/api/predict/"));
    send(&client, &url, &wav).await?;
    let burst = async || -> Result<Vec<Duration>> {
        let sends = (0..UPLOADS).map(|_| send(&client, &url, &wav));
        stream::iter(sends).buffer_unordered(UPLOADS).collect::<Vec<_>>().await.into_iter().collect()
    };
    let mut alone = burst().await?;

    // The bulk lane: the same file under many keys. Those behind them name objects that are never reached.
    let (fleet, wav_bytes) = (&console.fleet, &wav);
    let uploads = (0..STORED).map(|i| async move { fleet.upload(&format!("bulk-{i}.wav"), wav_bytes.clone()).await });
    let stored: Vec<_> = stream::iter(uploads).buffer_unordered(8).collect().await;
    let mut objects = stored.into_iter().collect::<Result<Vec<_>>>()?;
    let first = objects[0].clone();
    objects.extend((STORED..BULK).map(|i| ObjectRef { key: format!("{}-{i}", first.key), ..first.clone() }));
    let batch = NewBatch { id: BatchId::from_name("bulk"), name: "bulk".into(), source: "test".into() };
    let jobs: Vec<Job> =
        objects.into_iter().map(|object| Job { batch_id: batch.id, ..fleet.job(object, Wish::default()) }).collect();
    console.fleet.database.register(&batch, &jobs, false).await?;
    for published in console.fleet.publisher.publish_jobs(&jobs, Lane::Bulk).await {
        published?;
    }
    let done = async || {
        console.fleet.count("SELECT count(*) FROM analyses a JOIN batches b ON b.id = a.batch_id WHERE b.name = 'bulk' AND a.status = 'done'").await
    };
    // The worker is busy with them.
    while done().await? == 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let before = done().await?;
    let mut beside = burst().await?;
    let after = done().await?;
    let figures = |times: &mut Vec<Duration>| (percentile(times, 0.5).as_millis(), percentile(times, 0.95).as_millis());
    let ((p50, p95), (p50_beside, p95_beside)) = (figures(&mut alone), figures(&mut beside));
    println!(
        "{UPLOADS} uploads at once: p50 {p50} ms, p95 {p95} ms; beside {BULK} bulk jobs: p50 {p50_beside} ms, p95 {p95_beside} ms; {} bulk jobs done meanwhile",
        after - before
    );
    // Not behind them, and the bulk lane goes on.
    assert!(usize::try_from(after)? < BULK / 2, "{after} bulk jobs were done first");
    assert!(p95_beside < p95 * 8 + 2000, "{p95_beside} ms beside bulk jobs, {p95} ms alone");
    console.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_through_the_fleet_costs_little_beside_the_analysis() -> Result<()> {
    const TIMES: usize = 30;
    let console = Console::start().await?;
    let (client, wav, url) = (Client::new(), five_seconds()?, console.at("/api/predict/"));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("a.wav");
    std::fs::write(&path, &wav)?;
    // What `worker analyze` does for each file, in this process as the worker is.
    let analyzer = Arc::new(Analyzer::load(&console.fleet.trial.settings.speech())?);
    let model = console.fleet.trial.settings.model.name.clone();
    let (mut fleet, mut alone) = (Vec::new(), Vec::new());
    for round in 0..=TIMES {
        let through = send(&client, &url, &wav).await?;
        let begun = Instant::now();
        let (analyzer, path, out) = (analyzer.clone(), path.clone(), folder.path().join(round.to_string()));
        std::fs::create_dir(&out)?;
        let options = AnalysisOptions {
            channels: None,
            granularity: Granularity::Utterance,
            embedding: true,
            model: model.clone(),
        };
        tokio::task::spawn_blocking(move || analyzer.analyze(&path, &options, &out, &AnalysisControl::default()))
            .await??;
        // The first of both warms up.
        if round > 0 {
            fleet.push(through);
            alone.push(begun.elapsed());
        }
    }
    let figures = |times: &mut Vec<Duration>| (percentile(times, 0.5).as_millis(), percentile(times, 0.95).as_millis());
    let ((p50, p95), (p50_alone, p95_alone)) = (figures(&mut fleet), figures(&mut alone));
    println!(
        "5 s of speech: through the console p50 {p50} ms, p95 {p95} ms; `worker analyze` p50 {p50_alone} ms, p95 {p95_alone} ms"
    );
    assert!(p50 < p50_alone * 3 + 500, "{p50} ms through the fleet, {p50_alone} ms alone");
    console.end().await
}

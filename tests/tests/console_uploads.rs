//! What the console stores of an upload: an object, a row and a message, or nothing; once for each idempotency key.

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use reqwest::multipart::{Form, Part};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use settings::Settings;
use std::time::{Duration, Instant};
use tests::console::Console;
use tests::fleet::Fleet;
use tests::own_broker::OwnBroker;
use tests::proxy::{Mode, Proxy};
use tests::speech;
use tests::trial::Trial;
use tokio::task::JoinHandle;

const SOON: Duration = Duration::from_secs(60);

fn client() -> Client {
    Client::builder().redirect(Policy::none()).timeout(Duration::from_secs(100)).build().expect("a client")
}

fn form() -> Result<Form> {
    Ok(Form::new().part("audio", Part::bytes(speech::encoded("a.wav", &["-ar", "16000"])?).file_name("a.wav")))
}

/// Uploads a recording with the page's form.
fn upload(console: &Console) -> Result<JoinHandle<reqwest::Result<Response>>> {
    Ok(tokio::spawn(client().post(console.at("/recognise")).multipart(form()?).send()))
}

/// Sends a recording with an idempotency key, and does not wait for the result.
fn predict(console: &Console, key: &str) -> Result<JoinHandle<reqwest::Result<Response>>> {
    let request = client().post(console.at("/api/v1/predictions")).multipart(form()?);
    Ok(tokio::spawn(request.header("prefer", "respond-async").header("idempotency-key", key).send()))
}

async fn job_of(accepted: Response) -> Result<String> {
    let (status, body) = (accepted.status(), accepted.text().await?);
    ensure!(status == StatusCode::ACCEPTED, "{status} {body}");
    Ok(serde_json::from_str::<Value>(&body)?["job_id"].as_str().context("a job")?.to_owned())
}

/// Recordings that the console has in the store.
async fn objects(console: &Console) -> Result<usize> {
    let settings = &console.fleet.trial.settings;
    let found: Vec<_> = console.fleet.store.list(&settings.s3.bucket, &settings.console.upload_prefix).collect().await;
    Ok(found.into_iter().collect::<Result<Vec<_>, _>>()?.len())
}

async fn until_objects(console: &Console, count: usize) -> Result<()> {
    let begun = Instant::now();
    loop {
        let found = objects(console).await?;
        if found == count {
            return Ok(());
        }
        ensure!(begun.elapsed() < SOON, "{found} objects instead of {count}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_counted(console: &Console, query: &'static str, count: i64) -> Result<()> {
    let begun = Instant::now();
    while console.fleet.count(query).await? != count {
        ensure!(begun.elapsed() < SOON, "not {count}: {query}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn run(console: &Console, statement: &'static str) -> Result<()> {
    sqlx::raw_sql(statement).execute(console.fleet.database.pool()).await?;
    Ok(())
}

#[tokio::test]
async fn an_upload_that_gets_no_row_leaves_no_object() -> Result<()> {
    let (broker, url) = Proxy::before(Settings::load()?.amqp.url.expose_secret()).await?;
    let console = Console::without_worker(|s| s.amqp.url = SecretString::from(url)).await?;
    // Given a broker that is away, nothing is uploaded.
    broker.set(Mode::Cut);
    assert_eq!(upload(&console)?.await??.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(objects(&console).await?, 0);
    broker.set(Mode::Pass);
    // Given a database that refuses the row, what was uploaded is deleted.
    run(&console, "ALTER TABLE recordings RENAME TO gone").await?;
    assert_eq!(upload(&console)?.await??.status(), StatusCode::SERVICE_UNAVAILABLE);
    run(&console, "ALTER TABLE gone RENAME TO recordings").await?;
    until_objects(&console, 0).await?;
    // With both, it is stored.
    assert_eq!(upload(&console)?.await??.status(), StatusCode::SEE_OTHER);
    assert_eq!(objects(&console).await?, 1);
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 1);
    console.end().await
}

#[tokio::test]
async fn an_upload_whose_sender_hangs_up_gets_its_row() -> Result<()> {
    let (store, endpoint) = Proxy::before(&Settings::load()?.s3.endpoint).await?;
    let console = Console::without_worker(|s| s.s3.endpoint = endpoint).await?;
    // When the sender hangs up between object and row
    store.set(Mode::Slow(Duration::from_secs(3)));
    let sending = upload(&console)?;
    until_objects(&console, 1).await?;
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 0, "the store has not answered yet");
    sending.abort();
    assert!(sending.await.is_err_and(|error| error.is_cancelled()));
    // Then the row is written and the job published all the same
    until_counted(&console, "SELECT count(*) FROM analyses WHERE published_at IS NOT NULL", 1).await?;
    assert_eq!(objects(&console).await?, 1);
    store.set(Mode::Pass);
    console.end().await
}

#[tokio::test]
async fn a_request_that_is_repeated_while_it_is_still_stored_is_one_job() -> Result<()> {
    let (store, endpoint) = Proxy::before(&Settings::load()?.s3.endpoint).await?;
    let mut console = Console::without_worker(|s| s.s3.endpoint = endpoint).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    // Given a first request that takes longer than its key is reserved
    store.set(Mode::Slow(Duration::from_secs(8)));
    let first = predict(&console, "k")?;
    until_objects(&console, 1).await?;
    run(&console, "UPDATE console_requests SET created_at = now() - interval '2 minutes'").await?;
    // When the same request comes again
    let second = predict(&console, "k")?;
    until_objects(&console, 2).await?;
    store.set(Mode::Pass);
    // Then both are the same job, of which one object is left
    assert_eq!(job_of(first.await??).await?, job_of(second.await??).await?);
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 1);
    until_objects(&console, 1).await?;
    console.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_short_of_memory_uploads_are_refused_and_a_repeated_request_is_one_job() -> Result<()> {
    let broker = OwnBroker::start()?;
    let mut trial = Trial::new()?;
    trial.settings.amqp.url = broker.settings()?.url;
    let mut console = Console::on(Fleet::on(trial).await?, |_| {}).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    job_of(predict(&console, "before")?.await??).await?;
    broker.control(&["set_vm_memory_high_watermark", "0.000001"])?;
    // The first one finds out: it has its row, and its message waits.
    let begun = Instant::now();
    let job = job_of(predict(&console, "k")?.await??).await?;
    ensure!(begun.elapsed() < SOON, "the sender waited for the broker: {:?}", begun.elapsed());
    assert_eq!(objects(&console).await?, 2);
    // Others are refused before anything of them is stored.
    let begun = Instant::now();
    let refused = predict(&console, "other")?.await??;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Value>().await?["code"], "broker.unreachable");
    ensure!(begun.elapsed() < Duration::from_secs(30), "refused after {:?}", begun.elapsed());
    assert_eq!(objects(&console).await?, 2);
    let ready: Value = client().get(console.at("/ready")).send().await?.json().await?;
    assert_eq!(ready["missing"], serde_json::json!(["rabbitmq"]));
    // The same request again is the same job, however much later.
    run(&console, "UPDATE console_requests SET created_at = now() - interval '2 minutes'").await?;
    assert_eq!(job_of(predict(&console, "k")?.await??).await?, job);
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses").await?, 2);
    broker.control(&["set_vm_memory_high_watermark", "0.6"])?;
    until_counted(&console, "SELECT count(*) FROM analyses WHERE status = 'done'", 2).await?;
    console.end().await
}

//! What costs memory, disk or connections is done few times at once, and nobody waits long for a service that does not answer.

use anyhow::{Context, Result, ensure};
use reqwest::multipart::{Form, Part};
use reqwest::{Client, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use settings::Settings;
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tests::console::Console;
use tests::proxy::{Mode, Proxy};
use tests::speech;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A console with a worker, whose store is behind a proxy, and a prediction.
async fn predicted(granularity: &'static str) -> Result<(Console, Proxy, String)> {
    let (store, endpoint) = Proxy::before(&Settings::load()?.s3.endpoint).await?;
    let mut console = Console::without_worker(|s| s.s3.endpoint = endpoint).await?;
    console.fleet.start_worker();
    console.worker_ready().await?;
    let body = console.predict(speech::encoded("a.wav", &["-ar", "16000"])?, &[("granularity", granularity)]).await?;
    let job = body["job_id"].as_str().context("a job")?.to_owned();
    Ok((console, store, job))
}

/// Asks so often at once; gives status and body of each answer, as they come.
fn ask(console: &Console, path: &str, times: usize) -> JoinSet<Result<(StatusCode, Vec<u8>)>> {
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let request = Client::new().get(console.at(path));
        asking.spawn(async move {
            let answer = request.send().await?;
            Ok((answer.status(), answer.bytes().await?.to_vec()))
        });
    }
    asking
}

/// The first answer, while those before it are held up, is a refusal; the others are answered once the store is as fast as ever.
async fn one_is_refused(mut asking: JoinSet<Result<(StatusCode, Vec<u8>)>>, store: &Proxy) -> Result<Vec<Vec<u8>>> {
    let (status, body) = asking.join_next().await.context("an answer")???;
    let body = String::from_utf8_lossy(&body);
    ensure!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("request.busy"), "{status} {body:.300}");
    store.set(Mode::Pass);
    let mut bodies = Vec::new();
    while let Some(answer) = asking.join_next().await {
        let (status, body) = answer??;
        ensure!(status == StatusCode::OK, "{status} {}", String::from_utf8_lossy(&body));
        bodies.push(body);
    }
    Ok(bodies)
}

/// Makes the stored result of an analysis some megabytes long.
async fn lengthen(console: &Console, row: &PgRow) -> Result<()> {
    let mut json = console.fleet.artifact(row, "result_key").await?;
    json.resize(json.len() + (5 << 20), b' ');
    let (bucket, key): (String, String) = (row.try_get("artifact_bucket")?, row.try_get("result_key")?);
    console.fleet.store.put_bytes(&bucket, &key, json, "application/json").await?;
    Ok(())
}

#[tokio::test]
async fn large_results_are_read_few_at_once() -> Result<()> {
    let (console, store, job) = predicted("frame").await?;
    // Given a result of some megabytes
    let row = sqlx::query("SELECT * FROM analyses").fetch_one(console.fleet.database.pool()).await?;
    lengthen(&console, &row).await?;
    // When three ask for its frames, and the store is slow
    store.set(Mode::Slow(Duration::from_millis(100)));
    let path = format!("/api/v1/analyses/{job}/frames");
    let bodies = one_is_refused(ask(&console, &path, 3), &store).await?;
    assert_eq!(bodies.len(), 2);
    let frames: Value = serde_json::from_slice(&bodies[0])?;
    let count = frames["rows"].as_array().context("rows")?.len();
    assert!(count > 50 && frames["step"] == 1 && frames["labels"].as_array().map(Vec::len) == Some(9));
    // And the third is answered in its turn, joined and cut
    let few = console.get(&format!("{path}?points=20&from=0.5")).await?;
    let rows = few["rows"].as_array().context("rows")?;
    assert!((1..=40).contains(&rows.len()), "{}", rows.len());
    assert!(rows.iter().all(|row| row["t"].as_f64().is_some_and(|t| t >= 0.5)));
    assert!(few["step"].as_u64().is_some_and(|step| step > 1));
    console.end().await
}

#[tokio::test]
async fn large_predictions_are_in_memory_few_at_once() -> Result<()> {
    let (console, store, _) = predicted("frame").await?;
    let recording = speech::encoded("b.wav", &["-ar", "16000"])?;
    let post = |console: &Console| {
        let audio = Part::bytes(recording.clone()).file_name("b.wav");
        let form = Form::new().part("audio", audio).text("granularity", "frame");
        let request = Client::new().post(console.at("/api/v1/predictions")).header("Idempotency-Key", "again");
        async move {
            let answer = request.multipart(form).send().await?;
            Ok::<_, anyhow::Error>((answer.status(), answer.bytes().await?.to_vec()))
        }
    };
    // Given a prediction with frames, some megabytes of it
    let (status, first) = post(&console).await?;
    ensure!(status == StatusCode::OK, "{status} {}", String::from_utf8_lossy(&first));
    let job: Value = serde_json::from_slice(&first)?;
    let row = sqlx::query("SELECT * FROM analyses WHERE job_id = $1::text::uuid").bind(job["job_id"].as_str());
    let row = row.fetch_one(console.fleet.database.pool()).await?;
    lengthen(&console, &row).await?;
    // When it is asked for three times at once, and the store is slow
    store.set(Mode::Slow(Duration::from_millis(100)));
    let mut asking = JoinSet::new();
    for _ in 0..3 {
        asking.spawn(post(&console));
    }
    let bodies = one_is_refused(asking, &store).await?;
    // Then two are answered, from disk, with what a small one would have.
    assert_eq!(bodies.len(), 2);
    let again: Value = serde_json::from_slice(&bodies[0])?;
    assert_eq!((&again["frames"], &again["segments"]), (&job["frames"], &job["segments"]));
    console.end().await
}

#[tokio::test]
async fn large_frames_are_sent_few_at_once_however_slowly_they_are_read() -> Result<()> {
    let (console, _store, job) = predicted("frame").await?;
    // Given frames that no buffer of a connection holds
    let row = sqlx::query("SELECT * FROM analyses").fetch_one(console.fleet.database.pool()).await?;
    let mut report: Value = serde_json::from_slice(&console.fleet.artifact(&row, "result_key").await?)?;
    let scores = report["frames"]["segments"][0]["scores"].as_array_mut().context("scores")?;
    *scores = scores.iter().cycle().take(150_000).cloned().collect();
    let (bucket, key): (String, String) = (row.try_get("artifact_bucket")?, row.try_get("result_key")?);
    console.fleet.store.put_bytes(&bucket, &key, serde_json::to_vec(&report)?, "application/json").await?;
    // When four ask for them and don't read the answers
    let path = format!("/api/v1/analyses/{job}/frames");
    let mut unread = Vec::new();
    for _ in 0..4 {
        let answer = Client::new().get(console.at(&path)).send().await?;
        assert_eq!(answer.status(), StatusCode::OK);
        unread.push(answer);
    }
    // Then a fifth is refused until they are gone.
    let (status, body) = ask(&console, &path, 1).join_next().await.context("an answer")???;
    let body = String::from_utf8_lossy(&body);
    assert!(status == StatusCode::SERVICE_UNAVAILABLE && body.contains("request.busy"), "{status} {body:.300}");
    drop(unread);
    let begun = Instant::now();
    while ask(&console, &path, 1).join_next().await.context("an answer")???.0 != StatusCode::OK {
        ensure!(begun.elapsed() < Duration::from_secs(30), "nothing is sent any more");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    console.end().await
}

#[tokio::test]
async fn archives_are_made_few_at_once() -> Result<()> {
    let (console, store, job) = predicted("utterance").await?;
    store.set(Mode::Slow(Duration::from_secs(3)));
    let bodies = one_is_refused(ask(&console, &format!("/api/v1/analyses/{job}/artifacts.zip"), 9), &store).await?;
    assert_eq!(bodies.len(), 8);
    assert!(bodies.iter().all(|body| body.starts_with(b"PK") && body == &bodies[0]));
    // Nothing is held by those that have been sent.
    for _ in 0..9 {
        let again = ask(&console, &format!("/api/v1/analyses/{job}/artifacts.zip"), 1).join_next().await;
        assert_eq!(again.context("an answer")???.0, StatusCode::OK);
    }
    console.end().await
}

#[tokio::test]
async fn a_broker_that_says_nothing_holds_nobody_up_for_long() -> Result<()> {
    let (broker, url) = Proxy::before(Settings::load()?.amqp.url.expose_secret()).await?;
    let console = Console::without_worker(|s| s.amqp.url = SecretString::from(url)).await?;
    broker.set(Mode::Stall);
    let begun = Instant::now();
    let mut asking = ask(&console, "/api/v1/stats/queues", 6);
    while let Some(answer) = asking.join_next().await {
        let (status, body) = answer??;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{}", String::from_utf8_lossy(&body));
    }
    // One after the other, with the client's own patience, they would wait for a minute and a half.
    ensure!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    broker.set(Mode::Pass);
    console.end().await
}

#[tokio::test]
async fn readiness_asks_the_services_no_more_than_once_a_second() -> Result<()> {
    // A store that counts its requests.
    let (listener, requests) = (TcpListener::bind(("127.0.0.1", 0)).await?, Arc::new(AtomicUsize::new(0)));
    let endpoint = format!("http://{}", listener.local_addr()?);
    let counting = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counting = counting.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await?);
                }
                counting.fetch_add(1, Ordering::SeqCst);
                let answer =
                    b"HTTP/1.1 200 OK\r\nx-amz-request-id: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                stream.write_all(answer).await
            });
        }
    });
    let mut real = String::new();
    let mut console = Console::without_worker(|s| {
        real = std::mem::replace(&mut s.s3.endpoint, endpoint);
        s.s3.attempts = 1;
    })
    .await?;
    let begun = Instant::now();
    let mut asking = ask(&console, "/ready", 30);
    while let Some(answer) = asking.join_next().await {
        let (status, body) = answer??;
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
    }
    let (asked, seconds) = (requests.load(Ordering::SeqCst), begun.elapsed().as_secs() as usize);
    ensure!((1..=seconds + 1).contains(&asked), "{asked} requests in {seconds} s");
    console.fleet.trial.settings.s3.endpoint = real;
    console.end().await
}

//! Starting before the services, saying what is missing, and stopping in stages.

use anyhow::{Context, Result, bail};
use domain::FailureCode;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Row;
use std::time::{Duration, Instant};
use tests::captured::Captured;
use tests::fleet::{Fleet, Wish};
use tests::proxy::{Mode, Proxy};
use tests::speech;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use url::Url;

/// Puts a proxy before the service in `url`; gives it and the new URL.
async fn behind(url: &str) -> Result<(Proxy, String)> {
    let mut url: Url = url.parse()?;
    let port = url.port().context("the test stack's URLs have ports")?;
    let proxy = Proxy::to(([127, 0, 0, 1], port).into()).await?;
    if url.set_port(Some(proxy.address.port())).is_err() {
        bail!("{url} takes no port");
    }
    Ok((proxy, url.to_string()))
}

/// Status and body of a page.
async fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("an HTTP answer")?.parse()?;
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// Asks until the page answers with this status; gives the body.
async fn until(port: u16, path: &str, status: u16) -> Result<String> {
    let begun = Instant::now();
    loop {
        let answer = get(port, path).await;
        match answer {
            Ok((found, body)) if found == status => return Ok(body),
            answer if begun.elapsed() > Duration::from_secs(60) => bail!("{path} is not {status}: {answer:?}"),
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_waits_for_its_services_and_says_which_one_is_missing() -> Result<()> {
    // given services that are not there yet
    let mut fleet = Fleet::without_worker().await?;
    let port = free_port()?;
    let settings = &mut fleet.trial.settings;
    settings.worker.health_addr = ([127, 0, 0, 1], port).into();
    settings.amqp.reconnect_max_s = 1;
    let (postgres, url) = behind(settings.postgres.url.expose_secret()).await?;
    settings.postgres.url = SecretString::from(url);
    let (broker, url) = behind(settings.amqp.url.expose_secret()).await?;
    settings.amqp.url = SecretString::from(url);
    postgres.set(Mode::Cut);
    // when a worker starts
    fleet.start_worker();
    // then it is live, not ready, and does not end
    until(port, "/live", 200).await?;
    let body = until(port, "/ready", 503).await?;
    assert!(body.contains("\"start\""), "{body}");
    // and goes on when they come
    postgres.set(Mode::Pass);
    until(port, "/ready", 200).await?;
    let row = fleet.put_through("a.wav", speech::encoded("a.wav", &[])?, Wish::default()).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    // and tells which one went away
    broker.set(Mode::Cut);
    let body = until(port, "/ready", 503).await?;
    assert!(body.contains("rabbitmq") && !body.contains("postgres"), "{body}");
    broker.set(Mode::Pass);
    postgres.set(Mode::Cut);
    let body = until(port, "/ready", 503).await?;
    assert!(body.contains("postgres") || body.contains("rabbitmq"), "{body}");
    postgres.set(Mode::Pass);
    until(port, "/ready", 200).await?;
    let page = get(port, "/metrics").await?.1;
    assert!(page.contains("emofleet_worker_jobs_done_total 1"), "{page}");
    assert!(page.contains("emofleet_worker_jobs_in_flight 0"), "{page}");
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_without_a_temporary_folder_ends_and_names_the_setting() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.temp_dir = "/nonexistent/emofleet".into();
    let ended = worker::service::run(fleet.trial.settings.clone(), worker::pipeline::Stop::default());
    let error = tokio::time::timeout(Duration::from_secs(60), ended).await?.expect_err("it must not take jobs");
    assert!(error.to_string().contains("worker.temp_dir"), "{error:#}");
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_waits_for_tables_that_are_not_migrated_yet() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let port = free_port()?;
    fleet.trial.settings.worker.health_addr = ([127, 0, 0, 1], port).into();
    let pool = fleet.database.pool().clone();
    sqlx::query("ALTER TABLE _sqlx_migrations RENAME TO not_yet").execute(&pool).await?;
    assert_eq!(fleet.database.check_schema().await.map_err(|f| f.code), Err(FailureCode::DatabaseNotMigrated));
    fleet.start_worker();
    until(port, "/ready", 503).await?;
    sqlx::query("ALTER TABLE not_yet RENAME TO _sqlx_migrations").execute(&pool).await?;
    until(port, "/ready", 200).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_a_service_refuses_stops_with_advice() -> Result<()> {
    let wrong_password = |url: &SecretString| -> Result<SecretString> {
        let mut url: Url = url.expose_secret().parse()?;
        anyhow::ensure!(url.set_password(Some("wrong")).is_ok(), "{url} takes no password");
        Ok(SecretString::from(url.to_string()))
    };
    let mut fleet = Fleet::without_worker().await?;
    let right = fleet.trial.settings.clone();
    for (service, code) in [
        ("amqp", "broker.refused"),
        ("postgres", "database.refused"),
        ("s3", "store.denied"),
        ("bucket", "store.denied"),
    ] {
        let settings = &mut fleet.trial.settings;
        *settings = right.clone();
        match service {
            "amqp" => settings.amqp.url = wrong_password(&right.amqp.url)?,
            "postgres" => settings.postgres.url = wrong_password(&right.postgres.url)?,
            "s3" => settings.s3.secret_key = "wrong".to_owned().into(),
            _ => settings.s3.bucket = "no-such-bucket-here".into(),
        }
        fleet.start_worker();
        let error = fleet.worker_ended().await.expect_err(service).to_string();
        let advice = FailureCode::from_code(code).context("a code")?.advice();
        assert!(error.starts_with(code) && error.contains(advice), "{service}: {error}");
    }
    fleet.trial.settings = right;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_worker_finishes_what_it_has_and_leaves_the_rest() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.drain_timeout_s = 60;
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    let mut jobs = Vec::new();
    for i in 0..40 {
        jobs.push(fleet.job(fleet.upload(&format!("{i}.wav"), sound.clone()).await?, Wish::default()));
    }
    fleet.enqueue(&jobs).await?;
    fleet.start_worker();
    fleet.ended(jobs[0].job_id).await?;
    fleet.stop_worker().await?;
    // Nothing is left half done, and not everything was waited for.
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status NOT IN ('queued', 'done')").await?, 0);
    let left = fleet.count("SELECT count(*) FROM analyses WHERE status = 'queued'").await?;
    assert!(left > 0, "the worker should have stopped before the batch's end");
    // Another worker does the rest, each once.
    fleet.start_worker();
    for job in &jobs {
        fleet.ended(job.job_id).await?;
    }
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'done' AND attempts = 1").await?, 40);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn past_the_drain_deadline_jobs_in_flight_are_requeued_whole() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    fleet.trial.settings.worker.drain_timeout_s = 0;
    let job = fleet.job(fleet.upload("long.wav", speech::call(480)?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    fleet.start_worker();
    let running = "SELECT count(*) FROM analyses WHERE status = 'running'";
    while fleet.count(running).await? == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    let begun = Instant::now();
    fleet.stop_worker().await?;
    assert!(begun.elapsed() < Duration::from_secs(20), "requeued in {:?}", begun.elapsed());
    assert_eq!(fleet.count(running).await?, 0);
    assert_eq!(fleet.count("SELECT count(*) FROM segments").await?, 0);
    // The interrupted attempt is not held against the job.
    assert_eq!(fleet.count("SELECT unfinished::bigint FROM analyses").await?, 0);
    fleet.start_worker();
    let row = fleet.ended(job.job_id).await?;
    assert_eq!(row.get::<String, _>("status"), "done");
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_logged_about_a_job_is_in_its_span() -> Result<()> {
    // given a log in JSON
    let log = Captured::default();
    let writer = log.clone();
    tracing_subscriber::fmt().json().with_writer(move || writer.clone()).init();
    // when a job is done
    let fleet = Fleet::start().await?;
    let job = fleet.job(fleet.upload("a.wav", speech::encoded("a.wav", &[])?).await?, Wish::default());
    fleet.enqueue(std::slice::from_ref(&job)).await?;
    fleet.ended(job.job_id).await?;
    fleet.end().await?;
    // then its events are in one span, which has what they have in common
    let events = log.events()?;
    let job_id = job.job_id.to_string();
    let (of_job, others): (Vec<_>, Vec<_>) = events.iter().partition(|event| event["span"]["job_id"] == job_id);
    let done = of_job.iter().find(|event| event["fields"]["message"] == "done").context("it is done")?;
    let span = &done["span"];
    assert_eq!((&span["name"], &span["lane"], &span["attempt"]), (&"job".into(), &"bulk".into(), &1.into()), "{done}");
    assert_eq!(span["batch"], job.batch_id.to_string(), "{done}");
    assert_eq!(span["trace_id"], job.job_id.0.simple().to_string(), "{done}");
    // and no event repeats its identity, or names it elsewhere
    assert!(of_job.iter().all(|event| !event["fields"].to_string().contains(&job_id)), "{of_job:?}");
    assert!(others.iter().all(|event| !event.to_string().contains(&job_id)), "{others:?}");
    Ok(())
}

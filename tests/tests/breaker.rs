//! A refusal that meets every job is no job's fault: the worker stops taking jobs, says which service refuses, and goes on
//! when it works. No job loses an attempt or a retry by it, and none becomes a dead letter.

use adapters::amqp::{DeadLetters, Filter};
use adapters::postgres::{Attempt, NewBatch};
use anyhow::{Context, Result, bail};
use domain::Job;
use secrecy::{ExposeSecret, SecretString};
use sqlx::AssertSqlSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tests::fleet::{Fleet, Wish};
use tests::proxy::{Mode, Proxy};
use tests::small_disk::SmallDisk;
use tests::speech;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use url::Url;
use worker::pipeline::Breaker;

const JOBS: usize = 8;

/// A page for people, as a load balancer gives it while a service is maintained.
const PAGE: &str = "<!DOCTYPE html><html><body>We are back soon.</body></html>";
const DENIED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
const KEY_DISABLED: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>KMS.DisabledException</Code><Message>disabled</Message></Error>";

/// Jobs of good recordings, registered and not published.
async fn jobs(fleet: &Fleet, name: &str) -> Result<Vec<Job>> {
    let mut jobs = Vec::new();
    let sound = speech::encoded("a.wav", &["-ar", "16000"])?;
    for i in 0..JOBS {
        let object = fleet.upload(&format!("{name}/{i}.wav"), sound.clone()).await?;
        jobs.push(fleet.job(object, Wish::default()));
    }
    Ok(jobs)
}

async fn ready(port: u16) -> Result<(u16, String)> {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).context("an HTTP answer")?.parse()?;
    Ok((status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// Waits until `/ready` has this status and names this service, if any.
async fn until_ready(port: u16, status: u16, named: &str) -> Result<String> {
    let begun = Instant::now();
    loop {
        match ready(port).await {
            Ok((found, body)) if found == status && body.contains(named) => return Ok(body),
            answer if begun.elapsed() > Duration::from_secs(90) => {
                bail!("/ready is not {status} with `{named}`: {answer:?}")
            }
            _ => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// All jobs are done, at their first attempt and without a retry; there is no dead letter.
async fn unharmed(fleet: &Fleet, jobs: &[Job], fault: &str) -> Result<()> {
    for job in jobs {
        fleet.ended(job.job_id).await?;
    }
    let harmed =
        "SELECT count(*) FROM analyses WHERE status <> 'done' OR attempts <> 1 OR retries <> 0 OR unfinished <> 0";
    assert_eq!(fleet.count(harmed).await?, 0, "{fault}");
    let dead = DeadLetters::new(&fleet.trial.settings.amqp).list(&Filter::default(), 10).await?;
    assert_eq!(dead.total, 0, "{fault}: {:?}", dead.letters);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_every_job_harms_none() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    // Given a worker with a role of its own
    let role = format!("worker_{}", uuid::Uuid::new_v4().simple());
    let admin = fleet.database.pool().clone();
    let run = async |sql: String| sqlx::raw_sql(AssertSqlSafe(sql)).execute(&admin).await;
    run(format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'first'; GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
         GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}; GRANT ALL ON ALL FUNCTIONS IN SCHEMA public TO {role}"
    ))
    .await?;
    let mut url: Url = fleet.trial.settings.postgres.url.expose_secret().parse()?;
    anyhow::ensure!(url.set_username(&role).is_ok() && url.set_password(Some("first")).is_ok(), "{url}");
    let settings = &mut fleet.trial.settings;
    settings.postgres.url = SecretString::from(url.to_string());
    settings.worker.health_addr = ([127, 0, 0, 1], port).into();
    fleet.start_worker();
    until_ready(port, 200, "").await?;
    let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'");
    let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&admin).await?;
    let faults = [
        (
            "a right is missing",
            format!("REVOKE UPDATE ON analyses FROM {role}"),
            format!("GRANT UPDATE ON analyses TO {role}"),
        ),
        ("the role may not log in", format!("ALTER ROLE {role} NOLOGIN; {cut}"), format!("ALTER ROLE {role} LOGIN")),
        (
            "a table is missing",
            "ALTER TABLE segments RENAME TO gone".into(),
            "ALTER TABLE gone RENAME TO segments".into(),
        ),
        (
            "the server is read-only",
            format!("ALTER ROLE {role} IN DATABASE {database} SET default_transaction_read_only = on; {cut}"),
            format!("ALTER ROLE {role} IN DATABASE {database} RESET default_transaction_read_only; {cut}"),
        ),
    ];
    for (number, (fault, breaks, repairs)) in faults.into_iter().enumerate() {
        let jobs = jobs(&fleet, &number.to_string()).await?;
        run(breaks).await.with_context(|| fault.to_owned())?;
        fleet.enqueue(&jobs).await?;
        // When it refuses, the worker says so, and does nothing
        let body = until_ready(port, 503, "\"postgres\"").await?;
        println!("{fault}: {body}");
        run(repairs).await.with_context(|| fault.to_owned())?;
        // Then all is done once it works
        unharmed(&fleet, &jobs, fault).await?;
        until_ready(port, 200, "").await?;
    }
    fleet.stop_worker().await?;
    run(format!("DROP OWNED BY {role}; DROP ROLE {role}")).await?;
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_every_job_harms_none() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let upstream = fleet.trial.settings.s3.endpoint.trim_start_matches("http://").parse()?;
    let proxy = Proxy::to(upstream).await?;
    let settings = &mut fleet.trial.settings;
    settings.s3.endpoint = format!("http://{}", proxy.address);
    settings.worker.health_addr = ([127, 0, 0, 1], port).into();
    fleet.start_worker();
    until_ready(port, 200, "").await?;
    // Recordings, and not what a bucket lists or the object that is written to ask the store.
    let recordings = ".wav";
    for (number, (fault, to, status, kind, body)) in [
        ("a page with 200 for everything", "", "200 OK", "text/html", PAGE),
        ("403 for everything", "", "403 Forbidden", "application/xml", DENIED),
        ("a page with 403 for everything", "", "403 Forbidden", "text/html", PAGE),
        ("a page with 404 for everything", "", "404 Not Found", "text/html", PAGE),
        ("503 for everything", "", "503 Service Unavailable", "text/html", PAGE),
        ("500 for each recording", recordings, "500 Internal Server Error", "text/html", PAGE),
        ("the key of the bucket is disabled", recordings, "400 Bad Request", "application/xml", KEY_DISABLED),
    ]
    .into_iter()
    .enumerate()
    {
        let jobs = jobs(&fleet, &number.to_string()).await?;
        proxy.set(Mode::Answer { to, status, kind, body });
        fleet.enqueue(&jobs).await?;
        let said = until_ready(port, 503, "\"s3\"").await?;
        println!("{fault}: {said}");
        // Nothing is taken any more
        let paused = Instant::now();
        while fleet.count("SELECT count(*) FROM analyses WHERE state = 'running'").await? > 0 {
            anyhow::ensure!(paused.elapsed() < Duration::from_secs(60), "{fault}: jobs stay in flight");
            sleep(Duration::from_millis(100)).await;
        }
        proxy.set(Mode::Pass);
        unharmed(&fleet, &jobs, fault).await?;
        until_ready(port, 200, "").await?;
    }
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_object_that_is_denied_stops_only_its_own_job() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let upstream = fleet.trial.settings.s3.endpoint.trim_start_matches("http://").parse()?;
    let proxy = Proxy::to(upstream).await?;
    fleet.trial.settings.s3.endpoint = format!("http://{}", proxy.address);
    let jobs = jobs(&fleet, "mixed").await?;
    let object = fleet.upload("mixed/forbidden.wav", speech::encoded("a.wav", &["-ar", "16000"])?).await?;
    let denied = fleet.job(object, Wish::default());
    proxy.set(Mode::Answer { to: "forbidden.wav", status: "403 Forbidden", kind: "application/xml", body: DENIED });
    fleet.start_worker();
    fleet.enqueue(std::slice::from_ref(&denied)).await?;
    fleet.enqueue(&jobs).await?;
    for job in &jobs {
        fleet.ended(job.job_id).await?;
    }
    // It used its retries up, and is a dead letter with the true reason
    fleet.ended(denied.job_id).await?;
    let failed =
        "SELECT count(*) FROM analyses WHERE status = 'failed' AND failure_code = 'store.denied' AND retries > 1";
    assert_eq!(fleet.count(failed).await?, 1);
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'done'").await?, JOBS as i64);
    proxy.set(Mode::Pass);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_denied_stops_only_its_own_jobs() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let upstream = fleet.trial.settings.s3.endpoint.trim_start_matches("http://").parse()?;
    let proxy = Proxy::to(upstream).await?;
    fleet.trial.settings.s3.endpoint = format!("http://{}", proxy.address);
    let mut jobs = jobs(&fleet, "open").await?;
    let mut denied = Vec::new();
    for name in ["legal/1.wav", "legal/2.wav"] {
        let object = fleet.upload(name, speech::encoded("a.wav", &["-ar", "16000"])?).await?;
        denied.push(fleet.job(object, Wish::default()));
    }
    proxy.set(Mode::Answer { to: "/legal/", status: "403 Forbidden", kind: "application/xml", body: DENIED });
    fleet.start_worker();
    // A recording that was read shows that not all are denied.
    let first = jobs.remove(0);
    fleet.enqueue(std::slice::from_ref(&first)).await?;
    fleet.ended(first.job_id).await?;
    fleet.enqueue(&denied).await?;
    fleet.enqueue(&jobs).await?;
    for job in jobs.iter().chain(&denied) {
        fleet.ended(job.job_id).await?;
    }
    let failed =
        "SELECT count(*) FROM analyses WHERE status = 'failed' AND failure_code = 'store.denied' AND retries > 1";
    assert_eq!(fleet.count(failed).await?, 2);
    assert_eq!(fleet.count("SELECT count(*) FROM analyses WHERE status = 'done'").await?, JOBS as i64);
    proxy.set(Mode::Pass);
    fleet.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_that_fails_every_job_harms_none() -> Result<()> {
    let mut fleet = Fleet::without_worker().await?;
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let disk = SmallDisk::mount()?;
    let settings = &mut fleet.trial.settings;
    settings.worker.temp_dir = disk.folder().into();
    settings.worker.health_addr = ([127, 0, 0, 1], port).into();
    fleet.start_worker();
    until_ready(port, 200, "").await?;
    // Given a disk without a byte left
    disk.fill()?;
    let jobs = jobs(&fleet, "full").await?;
    fleet.enqueue(&jobs).await?;
    // Then the worker says so, and no job is harmed once there is room
    let body = until_ready(port, 503, "\"disk\"").await?;
    assert!(body.contains("worker.no_space"), "{body}");
    // Room that came while a job in flight fails for want of it would be a reason to retry that job.
    let begun = Instant::now();
    while fleet.count("SELECT count(*) FROM analyses WHERE state = 'running'").await? > 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(60), "a job stays in flight");
        sleep(Duration::from_millis(100)).await;
    }
    disk.empty()?;
    unharmed(&fleet, &jobs, "a full disk").await?;
    until_ready(port, 200, "").await?;
    fleet.stop_worker().await?;
    fleet.end().await
}

#[tokio::test]
async fn an_attempt_is_given_back_though_the_breaker_has_closed() -> Result<()> {
    let fleet = Fleet::without_worker().await?;
    let job = jobs(&fleet, "owed").await?.remove(0);
    let batch = NewBatch { id: job.batch_id, name: "owed".into(), source: "test".into() };
    fleet.database.register(&batch, std::slice::from_ref(&job), false).await?;
    let Attempt::Begin(begun) = fleet.database.begin_attempt(&job, "w").await? else { bail!("not begun") };
    let unfinished = "SELECT count(*) FROM analyses WHERE unfinished = 1";
    assert_eq!(fleet.count(unfinished).await?, 1);
    // Given a breaker that is closed again when the worker learns that the database was not told of an attempt
    let (database, store) = (fleet.database.clone(), fleet.store.clone());
    let breaker = Arc::new(Breaker::new(&fleet.trial.settings, "w", database, store, Arc::default()));
    let stop = CancellationToken::new();
    let watching = tokio::spawn({
        let (breaker, stop) = (breaker.clone(), stop.clone());
        async move { breaker.watch(&stop).await }
    });
    breaker.owe(job.job_id, begun.token);
    // Then the attempt does not count
    let begun = Instant::now();
    while fleet.count(unfinished).await? > 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_secs(30), "the attempt stays counted");
        sleep(Duration::from_millis(20)).await;
    }
    assert!(*breaker.gate().borrow());
    stop.cancel();
    watching.await?;
    fleet.end().await
}

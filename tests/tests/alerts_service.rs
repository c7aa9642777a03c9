//! The dispatcher as a service: health, metrics, and no start with an invalid alert file.

use adapters::postgres::Database;
use anyhow::{Context, Result};
use clap::Parser;
use dispatcher::serve;
use domain::Emotion;
use domain::alert::Rulebook;
use producer::cli::Cli;
use settings::Settings;
use std::time::{Duration, Instant};
use tests::calls::Call;
use tests::proxy::{Mode, Proxy};
use tests::trial::Trial;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

const RULES: &str = "[[rule]]\nname = \"every-call\"\nseverity = \"info\"\nwhen = { min_speech = \"0s\" }\n";

/// Status and body of a page.
async fn page(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).context("no status")?;
    Ok((status, answer))
}

/// Reads a page until it is as expected.
async fn until(port: u16, path: &str, expected: impl Fn(u16, &str) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let seen = page(port, path).await;
        match &seen {
            Ok((status, body)) if expected(*status, body) => return Ok(()),
            _ if begun.elapsed() > Duration::from_secs(60) => anyhow::bail!("{path} stays {seen:?}"),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

#[tokio::test]
async fn health_and_metrics_show_missing_services_pending_and_delivered_messages() -> Result<()> {
    let mut trial = Trial::new()?;
    let database = trial.database().await?;
    let rules = settings::alert_file::parse(RULES)?;
    let mut settings = trial.settings.clone();
    let port = free_port().await?;
    settings.dispatcher.health_addr = ([127, 0, 0, 1], port).into();
    settings.amqp.confirm_timeout_s = 1;
    settings.amqp.reconnect_max_s = 1;
    let (broker, direct) = proxied(&mut settings).await?;
    broker.set(Mode::Cut);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (settings, stop) = (settings.clone(), stop.clone());
        async move { serve(&settings, |_| None, stop).await }
    });
    until(port, "/live", |status, _| status == 200).await?;
    until(port, "/ready", |status, body| status == 503 && body.contains("\"rabbitmq\"")).await?;

    // An alert that fires meanwhile is pending, and shown in the metrics
    fire(&database, &rules, "a.wav").await?;
    until(port, "/metrics", |_, body| body.contains("emofleet_alerts_waiting{destination=\"amqp\"} 1\n")).await?;
    until(port, "/metrics", |_, body| body.contains("undelivered_total{destination=\"amqp\",how=\"failed\"}")).await?;
    broker.set(Mode::Pass);
    until(port, "/ready", |status, _| status == 200).await?;
    until(port, "/metrics", |_, body| {
        body.contains("emofleet_alerts_waiting{destination=\"amqp\"} 0\n")
            && body.contains("emofleet_alerts_delivered_total{destination=\"amqp\"} 1\n")
    })
    .await?;

    // A second one on the same machine needs its own address, and the error says so
    let error = serve(&settings, |_| None, CancellationToken::new()).await.expect_err("the address is taken");
    assert!(error.to_string().contains("set `dispatcher.health_addr`"), "{error:#}");
    stop.cancel();
    running.await??;
    drop(direct);
    database.close().await;
    trial.end().await
}

/// Puts a proxy before the broker; gives the URL that leads past it too.
async fn proxied(settings: &mut Settings) -> Result<(Proxy, String)> {
    use secrecy::{ExposeSecret, SecretString};
    let direct = settings.amqp.url.expose_secret().to_owned();
    let mut url: url::Url = direct.parse()?;
    let proxy = Proxy::to(([127, 0, 0, 1], url.port().unwrap_or(5672)).into()).await?;
    url.set_port(Some(proxy.address.port())).map_err(|()| anyhow::anyhow!("the URL takes no port"))?;
    settings.amqp.url = SecretString::from(url.to_string());
    Ok((proxy, direct))
}

async fn fire(database: &Database, rules: &Rulebook, key: &str) -> Result<()> {
    let call = Call::new(key).with_timeline(&[(5.0, Emotion::Angry, 0.9)]);
    database.begin_attempt(&call.job(), "w").await?;
    call.record(database, rules).await?;
    Ok(())
}

/// Six errors, each on its own line.
const WRONG: &str = r#"[groups]
upset = ["angry", "furious"]

[[rule]]
name = "Angry Customer"
severity = "catastrophic"
when = { role = "boss", emotion = "angry" }
cooldown = "soon"

[[destination]]
name = "chat"
service = "pigeon"
"#;

/// The places of these errors.
const PLACES: [&str; 6] =
    ["wrong.toml:2:", "wrong.toml:5:", "wrong.toml:6:", "wrong.toml:7:", "wrong.toml:8:", "wrong.toml:12:"];

#[tokio::test]
async fn every_program_reports_each_error_of_the_alert_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("wrong.toml");
    std::fs::write(&path, WRONG)?;
    // No service is at this address: a program that connects first fails with another error
    let mut settings = Settings::from_toml("[postgres]\nurl = \"postgres://127.0.0.1:1/none\"")?;
    settings.alerts.rules.clone_from(&path);
    settings.dispatcher.health_addr = ([127, 0, 0, 1], 0).into();
    settings.worker.health_addr = ([127, 0, 0, 1], 0).into();

    let mut errors = Vec::new();
    let dispatcher = serve(&settings, |_| None, CancellationToken::new()).await;
    errors.push(("dispatcher", dispatcher.expect_err("wrong rules").to_string()));
    let worker = Box::pin(worker::service::run(settings.clone(), worker::pipeline::Stop::default())).await;
    errors.push(("worker run", worker.expect_err("wrong rules").to_string()));
    let path = path.to_string_lossy();
    let cli = Cli::try_parse_from(["producer", "--no-wait-for-services", "alerts", "test", path.as_ref()])?;
    let tested = producer::run(&settings, &cli, &mut Vec::new()).await;
    errors.push(("producer alerts test", tested.expect_err("wrong rules").to_string()));
    for (program, error) in errors {
        for place in PLACES {
            assert!(error.contains(place), "{program} does not report {place}\n{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn programs_start_without_a_wrong_rule_and_the_check_refuses_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("half.toml");
    std::fs::write(&path, format!("{WRONG}\n[[rule]]\nname = \"good\"\nwhen = {{ team = \"7\" }}\n"))?;
    let mut settings = Settings::load()?;
    settings.alerts.rules.clone_from(&path);
    settings.worker.health_addr = ([127, 0, 0, 1], 0).into();
    dispatcher::Dispatcher::open(&settings, |_| None)?;
    let stop = worker::pipeline::Stop::default();
    stop.taking.cancel();
    Box::pin(worker::service::run(settings.clone(), stop)).await?;
    for arguments in [&["alerts", "check"][..], &["alerts", "check", &path.to_string_lossy()]] {
        let cli = Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
        let refused = producer::run(&settings, &cli, &mut Vec::new()).await.expect_err("six errors");
        assert_eq!(refused.exit_code(), 2);
        assert!(
            PLACES[..5].iter().all(|place| refused.to_string().contains(&place.replace("wrong", "half"))),
            "{refused}"
        );
    }
    Ok(())
}

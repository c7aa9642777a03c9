//! End to end: real workers, killed with -9 while they work, several dispatchers, receivers
//! that answer 429 and 500, stall, check signatures and enforce limits. Every alert arrives, once.

use anyhow::Result;
use dispatcher::Dispatcher;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use tests::fleet::{Fleet, Wish};
use tests::ledger::{Entry, Ledger};
use tests::receiver::{Fault, Receiver, SECRET};
use tests::rig::Rig;
use tests::speech;
use tokio_util::sync::CancellationToken;

const JOBS: usize = 80;

/// Fires on every call; each call is a group of its own.
const RULES: &str = r#"
[[rule]]
name = "every-call"
severity = "info"
when = { min_speech = "0s" }

[[destination]]
name = "webhook"
service = "webhook"
url_env = "URL_webhook"
secret_env = "SECRET"

[[destination]]
name = "dingtalk"
service = "dingtalk"
url_env = "URL_dingtalk"
secret_env = "SECRET"
per_minute = 20
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_alert_arrives_once_while_workers_are_killed_and_receivers_fail() -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("alerts.toml");
    std::fs::write(&path, RULES)?;
    rig.environment.insert("EMOFLEET__ALERTS__RULES".into(), path.to_string_lossy().into_owned());
    rig.direct.alerts.rules = path;
    rig.direct.dispatcher.console_url = "https://console.example".into();
    rig.direct.dispatcher.timeout_s = 1;
    rig.direct.dispatcher.retry_max_s = 5;

    let receiver = Receiver::start().await?;
    // DingTalk's own limit, and its ban in effect: an offence fails the test.
    receiver.limit("dingtalk", 20);
    let trouble = [Fault::Status(500), Fault::Stall, Fault::RetryAfter(1), Fault::Status(503), Fault::Stall];
    receiver.faults("webhook", &trouble.repeat(2));
    receiver.faults("dingtalk", &trouble[..2]);
    let stop = CancellationToken::new();
    let mut dispatchers = Vec::new();
    for _ in 0..2 {
        let base = receiver.url.clone();
        let variable = move |name: &str| match name.strip_prefix("URL_") {
            Some(service) => Some(format!("{base}/{service}/{service}")),
            None => Some(SECRET.to_owned()),
        };
        dispatchers.push(tokio::spawn(Dispatcher::open(&rig.direct, variable)?.run(stop.clone())));
    }

    let speech = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:1.6"])?;
    let entries = vec![Entry { bytes: speech, code: None }; JOBS];
    let ledger = Ledger::hand_in(&rig, "alerts", &entries).await?;
    for _ in 0..2 {
        rig.start_worker()?;
    }
    for kill in 0..6 {
        ledger.until(&rig, (kill + 1) * JOBS / 10).await?;
        rig.kill_worker(kill)?;
        rig.start_worker()?;
    }
    ledger.until(&rig, JOBS).await?;
    rig.kill_workers()?;
    let audit = ledger.audit(&rig).await?;
    assert!(audit.repeated > 0, "no job was repeated: the kills had no effect");

    let jobs: Vec<String> =
        sqlx::query_scalar("SELECT job_id::text FROM analyses").fetch_all(rig.database.pool()).await?;
    let all = |receiver: &Receiver, name: &str| receiver.mentions(name, &jobs).iter().all(|n| *n >= 1);
    receiver.until(Duration::from_secs(240), |r| all(r, "webhook") && all(r, "dingtalk")).await?;
    let mut messages_by_job: BTreeMap<String, usize> = BTreeMap::new();
    for arrival in receiver.arrivals("webhook") {
        for alert in arrival.body["alerts"].as_array().into_iter().flatten() {
            *messages_by_job.entry(alert["job_id"].to_string()).or_default() += 1;
        }
    }
    assert_eq!((messages_by_job.len(), messages_by_job.values().copied().max()), (JOBS, Some(1)));
    assert!(receiver.mentions("dingtalk", &jobs).iter().all(|n| *n == 1));
    assert_eq!(receiver.violations(), Vec::<String>::new());
    let messages = receiver.arrivals("dingtalk").len();
    println!("{JOBS} alerts, {} jobs begun more than once; DingTalk had {messages} messages", audit.repeated);
    stop.cancel();
    for dispatcher in dispatchers {
        dispatcher.await??;
    }
    Ok(())
}

/// A copy of the default model whose card advises this for alerts on anger. The card is not part of the verified hash.
fn model_that_advises(alerts: serde_json::Value) -> Result<tempfile::TempDir> {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default");
    let folder = tempfile::tempdir()?;
    std::fs::copy(default.join("model.onnx"), folder.path().join("model.onnx"))?;
    let mut card: serde_json::Value = serde_json::from_slice(&std::fs::read(default.join("model.json"))?)?;
    card["alerts"] = alerts;
    std::fs::write(folder.path().join("model.json"), card.to_string())?;
    Ok(folder)
}

#[tokio::test]
async fn a_worker_takes_the_built_in_rules_numbers_from_its_model() -> Result<()> {
    let recording = speech::encoded("a.wav", &["-ar", "16000", "-bitexact"])?;
    // Every segment has at least a score of 0, and none has more than 1.
    for (threshold, fired) in [(0.0, 1), (1.0, 0)] {
        let model = model_that_advises(serde_json::json!({ "angry": { "threshold": threshold, "in_a_row": 1 } }))?;
        let fleet = Fleet::start_with(|settings| settings.model.dir = model.path().to_owned()).await?;
        let channels = Some("0=customer".parse().map_err(anyhow::Error::msg)?);
        let row = fleet.put_through("a.wav", recording.clone(), Wish { channels, ..Wish::default() }).await?;
        assert_eq!(sqlx::Row::get::<String, _>(&row, "status"), "done");
        let alerts = fleet.count("SELECT count(*) FROM alerts WHERE rule = 'customer-angry'").await?;
        assert_eq!(alerts, fired, "threshold {threshold}");
        fleet.end().await?;
    }
    Ok(())
}

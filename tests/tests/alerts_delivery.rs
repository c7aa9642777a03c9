//! From the outbox to receivers that check signatures, enforce limits and fail.

use adapters::postgres::{ClaimOutcome, ClaimRequest, Database, DestinationStatus, NewBatch};
use adapters::webhook::{self, SecretUse};
use anyhow::Result;
use dispatcher::Dispatcher;
use domain::alert::Rulebook;
use domain::{BatchId, Emotion};
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use secrecy::ExposeSecret;
use std::time::{Duration, Instant};
use tests::calls::Call;
use tests::receiver::{Fault, Receiver, SECRET};
use tests::trial::Trial;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(30);

/// A database, a receiver and rules with one destination per service, named like it.
struct Stage {
    trial: Trial,
    database: Database,
    rules: Rulebook,
    receiver: Receiver,
    folder: tempfile::TempDir,
    dispatchers: Vec<(CancellationToken, JoinHandle<Result<()>>)>,
    calls: usize,
}

impl Stage {
    /// `extra` is added to each destination.
    async fn set(services: &[&str], extra: &str) -> Result<Self> {
        let mut rules = "[[rule]]\nname = \"customer-angry\"\nseverity = \"critical\"\n\
            when = { role = \"customer\", emotion = \"angry\", score = 0.6 }\n"
            .to_owned();
        for name in services {
            let service = webhook::find(name).or(webhook::find("webhook")).expect("registered");
            rules.push_str(&format!(
                "[[destination]]\nname = \"{name}\"\nservice = \"{}\"\nurl_env = \"URL_{name}\"\n{extra}\n",
                service.name()
            ));
            if service.secret() != SecretUse::Unsupported {
                rules += "secret_env = \"SECRET\"\n";
            }
        }
        let (mut trial, folder) = (Trial::new()?, tempfile::tempdir()?);
        let path = folder.path().join("alerts.toml");
        std::fs::write(&path, &rules)?;
        trial.settings.alerts.rules = path;
        trial.settings.dispatcher.console_url = "https://console.example/".into();
        trial.settings.dispatcher.timeout_s = 1;
        trial.settings.dispatcher.retry_max_s = 3;
        trial.settings.postgres.max_connections = 8;
        let database = trial.database().await?;
        let rules = settings::alert_file::parse(&rules)?;
        let receiver = Receiver::start().await?;
        Ok(Self { trial, database, rules, receiver, folder, dispatchers: Vec::new(), calls: 0 })
    }

    fn dispatcher(&self) -> Result<Dispatcher> {
        let base = self.receiver.url.clone();
        Dispatcher::open(&self.trial.settings, move |name| match name.strip_prefix("URL_") {
            Some("dead") => Some("http://127.0.0.1:9/nobody".into()),
            Some(name) => {
                let service = webhook::find(name).map_or("webhook", |service| service.name());
                Some(format!("{base}/{service}/{name}?access_token=t"))
            }
            None => Some(SECRET.into()),
        })
    }

    fn dispatch(&mut self) -> Result<()> {
        let stop = CancellationToken::new();
        let task = tokio::spawn(self.dispatcher()?.run(stop.clone()));
        self.dispatchers.push((stop, task));
        Ok(())
    }

    /// Records so many angry calls; their call ids, which messages carry.
    async fn angry_calls(&mut self, count: usize) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        for n in self.calls..self.calls + count {
            let id = format!("call{n:04}x");
            let call = Call::new(&format!("{id}.wav"))
                .with_timeline(&[(5.0, Emotion::Neutral, 0.9), (5.0, Emotion::Angry, 0.8)]);
            let batch = NewBatch { id: BatchId::from_name("night"), name: "night".into(), source: "test".into() };
            self.database.register(&batch, &[call.job()], false).await?;
            call.record(&self.database, &self.rules).await?;
            ids.push(id);
        }
        self.calls += count;
        Ok(ids)
    }

    /// Stops the dispatchers; their requests in progress are finished.
    async fn stop_dispatchers(&mut self) -> Result<()> {
        for (stop, task) in self.dispatchers.drain(..) {
            stop.cancel();
            task.await??;
        }
        Ok(())
    }

    /// Pending messages of a destination.
    async fn pending(&self, destination: &str) -> Result<i64> {
        let statuses = self.database.destination_status().await?;
        Ok(statuses.iter().find(|s| s.destination == destination).map_or(0, |s| s.waiting))
    }

    /// Waits until these destinations have no pending message.
    async fn until_delivered(&self, destinations: &[&str]) -> Result<()> {
        let started = Instant::now();
        for destination in destinations {
            while self.pending(destination).await? > 0 {
                anyhow::ensure!(started.elapsed() < SOON, "{destination} still has pending messages");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        self.stop_dispatchers().await?;
        self.database.close().await;
        drop(self.folder);
        self.trial.end().await
    }
}

#[tokio::test]
async fn every_service_gets_its_own_format_signed_within_seconds() -> Result<()> {
    let services: Vec<_> = webhook::SERVICES.iter().map(|service| service.name()).collect();
    let mut stage = Stage::set(&services, "").await?;
    stage.dispatch()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let recorded = Instant::now();
    let ids = stage.angry_calls(1).await?;
    stage.receiver.until(SOON, |r| services.iter().all(|s| !r.arrivals(s).is_empty())).await?;
    println!("every service received its message {:?} after the commit began", recorded.elapsed());
    assert!(recorded.elapsed() < Duration::from_secs(5));
    assert_eq!(stage.receiver.violations(), Vec::<String>::new());

    let text = |service: &str| stage.receiver.arrivals(service)[0].body.to_string();
    let job = Call::new(&format!("{}.wav", ids[0])).job().job_id;
    for service in &services {
        let text = text(service);
        assert!(text.contains(&ids[0]), "{service} names the call: {text}");
        assert!(
            text.contains(&format!("https://console.example/calls/{job}?t=5")),
            "{service} links to the second: {text}"
        );
    }
    assert!(text("dingtalk").contains("生气") && text("slack").contains("angry"));
    let alert = &stage.receiver.arrivals("webhook")[0].body["alerts"][0];
    assert_eq!((&alert["rule"], &alert["severity"]), (&"customer-angry".into(), &"critical".into()));
    assert_eq!(alert["evidence"][0]["found"], "in_a_row");
    assert!(alert["text"]["zh"].as_str().is_some_and(|t| t.contains("生气")));
    stage.end().await
}

#[tokio::test]
async fn one_connection_to_postgres_is_enough() -> Result<()> {
    let mut stage = Stage::set(&["webhook"], "").await?;
    stage.trial.settings.postgres.max_connections = 1;
    stage.dispatch()?;
    let listening =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'";
    let begun = Instant::now();
    while sqlx::query_scalar::<_, i64>(listening).fetch_one(stage.database.pool()).await? == 0 {
        anyhow::ensure!(begun.elapsed() < SOON, "the dispatcher does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.angry_calls(1).await?;
    stage.receiver.until(SOON, |r| !r.arrivals("webhook").is_empty()).await?;
    stage.until_delivered(&["webhook", "amqp"]).await?;
    stage.end().await
}

#[tokio::test]
async fn through_errors_stalls_and_two_dispatchers_every_alert_arrives_exactly_once() -> Result<()> {
    let mut stage = Stage::set(&["webhook", "slack", "feishu", "dead"], "").await?;
    stage.receiver.faults("webhook", &[Fault::Status(500), Fault::Stall, Fault::RetryAfter(1), Fault::Status(503)]);
    stage.receiver.faults("slack", &[Fault::RetryAfter(2), Fault::Status(500)]);
    stage.receiver.faults("feishu", &[Fault::Stall, Fault::Status(502)]);
    stage.dispatch()?;
    stage.dispatch()?;
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.extend(stage.angry_calls(5).await?);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    // Slack's messages have the first alert twice: in the blocks, and in what notifications show.
    let all = |r: &Receiver, s: &str| r.mentions(s, &ids).iter().all(|n| *n >= 1);
    let patience = Duration::from_secs(90);
    stage.receiver.until(patience, |r| ["webhook", "slack", "feishu"].iter().all(|s| all(r, s))).await?;
    // Nothing is pending and no request in progress: what is sent twice has arrived twice.
    stage.until_delivered(&["webhook", "slack", "feishu", "amqp"]).await?;
    stage.stop_dispatchers().await?;
    for service in ["webhook", "feishu"] {
        let mentions = stage.receiver.mentions(service, &ids);
        assert!(mentions.iter().all(|n| *n == 1), "{service}: {mentions:?}");
    }
    let blocks = |a: &tests::receiver::Arrival| a.body["blocks"].to_string();
    let slack: String = stage.receiver.arrivals("slack").iter().map(blocks).collect();
    assert!(ids.iter().all(|id| slack.matches(id.as_str()).count() == 1));
    assert_eq!(stage.receiver.violations(), Vec::<String>::new());
    assert!(stage.pending("dead").await? > 0, "the destination that can't be reached still has its messages");
    stage.end().await
}

#[tokio::test]
async fn rate_limits_hold_across_dispatchers_and_pending_alerts_become_a_digest() -> Result<()> {
    const PER_MINUTE: usize = 3;
    let services = ["slack", "dingtalk", "wecom", "feishu"];
    let mut stage = Stage::set(&services, &format!("per_minute = {PER_MINUTE}")).await?;
    for service in services {
        stage.receiver.limit(service, PER_MINUTE);
    }
    stage.dispatch()?;
    stage.dispatch()?;
    let mut ids = stage.angry_calls(2).await?;
    stage.receiver.until(SOON, |r| services.iter().all(|s| r.arrivals(s).len() >= 2)).await?;
    ids.extend(stage.angry_calls(20).await?);
    let all = |r: &Receiver, s: &str| r.mentions(s, &ids).iter().all(|n| *n >= 1);
    stage.receiver.until(Duration::from_secs(150), |r| services.iter().all(|s| all(r, s))).await?;
    assert_eq!(stage.receiver.violations(), Vec::<String>::new(), "no rate limit was exceeded");
    for service in services {
        let arrivals = stage.receiver.arrivals(service);
        assert!(arrivals.len() <= 2 * PER_MINUTE, "{service}: 22 alerts in {} messages", arrivals.len());
    }
    stage.end().await
}

#[tokio::test]
async fn a_message_that_fails_too_often_is_given_up_and_can_be_retried() -> Result<()> {
    let mut stage = Stage::set(&["webhook"], "").await?;
    stage.trial.settings.dispatcher.max_attempts = 2;
    stage.trial.settings.dispatcher.retry_max_s = 2;
    stage.receiver.faults("webhook", &[Fault::Status(500), Fault::Status(500)]);
    let ids = stage.angry_calls(1).await?;
    let webhook = |list: Vec<DestinationStatus>| list.into_iter().find(|d| d.destination == "webhook");
    let started = Instant::now();
    let found = loop {
        stage.dispatcher()?.once().await?;
        let found = webhook(stage.database.destination_status().await?).expect("it is listed");
        if found.given_up > 0 {
            break found;
        }
        anyhow::ensure!(started.elapsed() < SOON, "not given up: {found:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    sqlx::query("UPDATE destinations SET blocked_until = NULL").execute(stage.database.pool()).await?;
    stage.dispatcher()?.once().await?;
    assert_eq!((found.waiting, found.given_up), (0, 1));
    assert!(found.last_error.is_some_and(|e| e.contains("HTTP 500")));
    assert_eq!(stage.receiver.requests(), 2, "a message that was given up is not sent again");

    let typo = dispatcher::cli::retry(&stage.trial.settings, &stage.database, "nowhere").await;
    assert!(typo.is_err_and(|e| e.to_string().contains("webhook")), "a name that is none");
    assert_eq!(dispatcher::cli::retry(&stage.trial.settings, &stage.database, "webhook").await?, 1);
    stage.dispatcher()?.once().await?;
    assert_eq!(stage.receiver.mentions("webhook", &ids), [1]);
    let found = webhook(stage.database.destination_status().await?).expect("it is listed");
    assert_eq!((found.waiting, found.given_up, found.delivered_today, found.last_error), (0, 0, 1, None));
    stage.end().await
}

#[tokio::test]
async fn a_refused_message_does_not_hold_up_the_rest_of_its_digest() -> Result<()> {
    let mut stage = Stage::set(&["webhook"], "per_minute = 4").await?;
    // The digest is refused; then the first of its alerts is, alone, and the others arrive.
    stage.receiver.faults("webhook", &[Fault::Status(400), Fault::Status(422)]);
    stage.trial.settings.dispatcher.max_attempts = 2;
    let ids = stage.angry_calls(6).await?;
    stage.dispatcher()?.once().await?;
    let mentions = stage.receiver.mentions("webhook", &ids);
    assert_eq!(mentions, [0, 1, 1, 0, 0, 0], "one by one, within the limit of four");
    let found = stage.database.destination_status().await?;
    let webhook = found.iter().find(|d| d.destination == "webhook").expect("it is listed");
    assert_eq!((webhook.given_up, webhook.waiting), (1, 3));
    stage.end().await
}

#[tokio::test]
async fn a_message_that_cant_be_read_is_given_up_alone() -> Result<()> {
    let mut stage = Stage::set(&["webhook"], "").await?;
    let ids = stage.angry_calls(5).await?;
    let damage = "UPDATE outbox SET payload = '{\"rule\": 7}'
        WHERE id = (SELECT min(id) FROM outbox WHERE destination = 'webhook')";
    assert_eq!(sqlx::query(damage).execute(stage.database.pool()).await?.rows_affected(), 1);
    for _ in 0..3 {
        stage.dispatcher()?.once().await?;
    }
    assert_eq!(stage.receiver.mentions("webhook", &ids), [0, 1, 1, 1, 1]);
    let found = stage.database.destination_status().await?;
    let webhook = found.iter().find(|d| d.destination == "webhook").expect("it is listed");
    assert_eq!((webhook.given_up, webhook.waiting), (1, 0));
    stage.end().await
}

#[tokio::test]
async fn a_thousand_paused_messages_hold_up_no_newer_one() -> Result<()> {
    const PAUSED: &str = "INSERT INTO outbox (destination, kind, payload, next_attempt_at)
        SELECT 'webhook', 'fired', '{}', now() + make_interval(secs => $1) FROM generate_series(1, $2)";
    // Given more paused messages than are looked at at once, each refused before
    let mut stage = Stage::set(&["webhook"], "").await?;
    sqlx::query(PAUSED).bind(600.0).bind(1_100).execute(stage.database.pool()).await?;
    stage.angry_calls(1).await?;
    sqlx::query(PAUSED).bind(20.0).bind(1).execute(stage.database.pool()).await?;
    let request = ClaimRequest {
        destination: "webhook",
        rate_limit: None,
        max_messages: 10,
        lease: Duration::from_secs(60),
        owner: "test",
    };
    // then a newer one is claimed
    let outcome = stage.database.claim_messages(&request).await?;
    assert!(matches!(&outcome, ClaimOutcome::Claimed(claim) if claim.messages.len() == 1), "{outcome:?}");
    // and the next look is when the first of all is due again
    let outcome = stage.database.claim_messages(&request).await?;
    let ClaimOutcome::Nothing { retry_in: Some(retry_in) } = outcome else { anyhow::bail!("{outcome:?}") };
    assert!(retry_in <= Duration::from_secs(20), "{retry_in:?}");
    stage.end().await
}

#[tokio::test]
async fn programs_can_subscribe_to_the_exchange_by_severity_and_rule() -> Result<()> {
    let mut stage = Stage::set(&[], "").await?;
    let url = stage.trial.settings.amqp.url.expose_secret();
    let broker = lapin::Connection::connect(url, lapin::ConnectionProperties::default()).await?;
    let channel = broker.create_channel().await?;
    adapters::amqp::Topology::new(&stage.trial.settings.amqp).declare(&channel).await?;
    let exchange = adapters::amqp::Topology::new(&stage.trial.settings.amqp).alerts_exchange();
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?.name().clone();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(queue.clone(), exchange.as_str().into(), "critical.*".into(), bind, none).await?;

    let ids = stage.angry_calls(2).await?;
    stage.dispatcher()?.once().await?;
    let mut received = Vec::new();
    while let Some(message) = channel.basic_get(queue.clone(), BasicGetOptions { no_ack: true }).await? {
        assert_eq!(message.routing_key.as_str(), "critical.customer-angry");
        let alert: domain::alert::AlertMessage = serde_json::from_slice(&message.data)?;
        received.push(alert.call["call_id"].clone());
    }
    assert_eq!(received, ids);
    broker.close(200, "done".into()).await?;
    stage.end().await
}

#[tokio::test]
async fn all_errors_of_destinations_are_reported_at_start_without_secrets() -> Result<()> {
    let stage = Stage::set(&["webhook", "slack"], "").await?;
    let open = |value: &'static str| Dispatcher::open(&stage.trial.settings, move |_| Some(value.into())).err();
    let error = open("http://hunter2.example/").map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("`webhook`") && error.contains("`slack`") && error.contains("https://"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
    stage.end().await
}

#[tokio::test]
async fn the_claim_of_a_dead_dispatcher_expires_and_its_messages_are_sent() -> Result<()> {
    let mut stage = Stage::set(&["webhook"], "").await?;
    let ids = stage.angry_calls(1).await?;
    let lease = Duration::from_secs(2);
    let claimed = Instant::now();
    let request = ClaimRequest { destination: "webhook", rate_limit: None, max_messages: 5, lease, owner: "dead" };
    let ClaimOutcome::Claimed(_claim) = stage.database.claim_messages(&request).await? else {
        panic!("a message is due")
    };
    stage.dispatcher()?.once().await?;
    let arrived = !stage.receiver.arrivals("webhook").is_empty();
    // On a busy machine the claim may have ended by now.
    assert!(!arrived || claimed.elapsed() >= lease, "the claim still holds");
    let started = Instant::now();
    while stage.receiver.arrivals("webhook").is_empty() {
        anyhow::ensure!(started.elapsed() < SOON, "the claim does not expire");
        tokio::time::sleep(Duration::from_millis(100)).await;
        stage.dispatcher()?.once().await?;
    }
    assert_eq!(stage.receiver.mentions("webhook", &ids), [1]);
    stage.end().await
}

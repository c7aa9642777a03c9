//! Alerts are written with their scores, once per job, and their messages once per cooldown.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use adapters::postgres::{Database, NewBatch};
use anyhow::Result;
use domain::alert::Rulebook;
use domain::{BatchId, Emotion, FailureCode};
use sqlx::Row;
use std::sync::Arc;
use tests::calls::Call;
use tests::database::TestDatabase;

const RULES: &str = r#"
[[rule]]
name = "customer-angry"
severity = "critical"
when = { role = "customer", emotion = "angry", score = 0.6, in_a_row = 2 }
group_by = "customer"
cooldown = "1h"
resolve_after = "2h"

[[rule]]
name = "team-seven"
severity = "info"
when = { team = "7" }
notify = ["tickets"]

[[destination]]
name = "tickets"
service = "webhook"
url_env = "U"
secret_env = "S"

[[destination]]
name = "chat"
service = "wecom"
url_env = "U"
min_severity = "warning"
"#;

fn angry(key: &str, customer: &str) -> Call {
    let timeline = [(5.0, Emotion::Neutral, 0.9), (5.0, Emotion::Angry, 0.8), (6.0, Emotion::Angry, 0.7)];
    Call::new(key).by("8", "a1", customer, "2026-11-20T08:00:00Z").with_timeline(&timeline)
}

/// A database, and the rules that a worker would evaluate.
struct Start {
    test: TestDatabase,
    database: Database,
    rules: Arc<Rulebook>,
}

async fn start() -> Result<Start> {
    let test = TestDatabase::create().await?;
    let (database, rules) = (test.database.clone(), Arc::new(settings::alert_file::parse(RULES)?));
    Ok(Start { test, database, rules })
}

async fn known(database: &Database, calls: &[Call]) -> Result<()> {
    let jobs: Vec<_> = calls.iter().map(Call::job).collect();
    let batch = NewBatch { id: BatchId::from_name("night"), name: "night".into(), source: "test".into() };
    database.register(&batch, &jobs, false).await?;
    Ok(())
}

async fn record(database: &Database, rules: &Rulebook, call: &Call) -> Result<()> {
    known(database, std::slice::from_ref(call)).await?;
    call.record(database, rules).await?;
    Ok(())
}

#[tokio::test]
async fn an_alert_has_its_evidence_and_a_message_for_each_destination() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    record(&database, &rules, &angry("a.wav", "c1")).await?;
    let alert = sqlx::query("SELECT * FROM alerts").fetch_one(database.pool()).await?;
    assert_eq!(alert.get::<String, _>("rule"), "customer-angry");
    assert_eq!((alert.get::<i16, _>("channel"), alert.get::<i32, _>("segment")), (1, 1));
    assert!((alert.get::<f32, _>("start_s") - 5.5).abs() < 1e-3);
    assert_eq!(alert.get::<String, _>("group_key"), "customer:c1");
    assert_eq!(alert.get::<String, _>("message"), "customer: angry 0.75, 2 segments in a row from 0:05");
    let destinations: Vec<String> =
        sqlx::query_scalar("SELECT destination FROM outbox ORDER BY destination").fetch_all(database.pool()).await?;
    assert_eq!(destinations, ["amqp", "chat", "tickets"]);
    let payload: serde_json::Value =
        sqlx::query_scalar("SELECT payload FROM outbox LIMIT 1").fetch_one(database.pool()).await?;
    assert_eq!(payload["call"], serde_json::json!({ "call_id": "a", "team": "8" }), "only what the rule includes");
    assert_eq!(payload["kind"], "fired");
    drop(test);
    Ok(())
}

#[tokio::test]
async fn destinations_are_chosen_by_name_and_severity() -> Result<()> {
    let Start { test: _test, database, rules } = start().await?;
    record(
        &database,
        &rules,
        &Call::new("calm.wav").by("7", "a1", "c1", "2026-11-20T08:00:00Z").with_timeline(&[(5.0, Emotion::Happy, 0.9)]),
    )
    .await?;
    let destinations: Vec<String> =
        sqlx::query_scalar("SELECT destination FROM outbox ORDER BY destination").fetch_all(database.pool()).await?;
    assert_eq!(destinations, ["amqp", "tickets"]);
    Ok(())
}

#[tokio::test]
async fn a_job_repeated_five_times_fires_once_even_at_the_same_moment() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    let call = angry("a.wav", "c1");
    known(&database, std::slice::from_ref(&call)).await?;
    let again = (0..5).map(|_| {
        let (database, rules, call) = (database.clone(), rules.clone(), call.clone());
        tokio::spawn(async move { call.record(&database, &rules).await })
    });
    for done in again.collect::<Vec<_>>() {
        done.await??;
    }
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 3);
    Ok(())
}

#[tokio::test]
async fn concurrent_calls_of_one_customer_write_one_message() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    let calls: Vec<_> = (0..12).map(|n| angry(&format!("{n}.wav"), if n % 2 == 0 { "even" } else { "odd" })).collect();
    known(&database, &calls).await?;
    let done = calls.into_iter().map(|call| {
        let (database, rules) = (database.clone(), rules.clone());
        tokio::spawn(async move { call.record(&database, &rules).await })
    });
    for done in done.collect::<Vec<_>>() {
        done.await??;
    }
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 12, "every alert is stored");
    assert_eq!(test.count("SELECT count(*) FROM alerts WHERE queued_at IS NOT NULL").await?, 2);
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 2 * 3);
    Ok(())
}

#[tokio::test]
async fn after_the_cooldown_a_message_has_the_number_of_alerts_held_back() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    for key in ["1.wav", "2.wav", "3.wav"] {
        record(&database, &rules, &angry(key, "c1")).await?;
    }
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 3);
    sqlx::raw_sql(
        "UPDATE alerts SET fired_at = fired_at - interval '61 minutes', queued_at = queued_at - interval '61 minutes'",
    )
    .execute(database.pool())
    .await?;
    record(&database, &rules, &angry("4.wav", "c1")).await?;
    let payload: serde_json::Value = sqlx::query_scalar("SELECT payload FROM outbox WHERE kind = 'again' LIMIT 1")
        .fetch_one(database.pool())
        .await?;
    assert_eq!(payload["held_back"], 2);
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE kind = 'again'").await?, 3);
    Ok(())
}

#[tokio::test]
async fn an_archive_scored_late_writes_alerts_but_no_messages() -> Result<()> {
    let Start { test, database, .. } = start().await?;
    let rules = RULES.replacen("cooldown = \"1h\"", "cooldown = \"1h\"\nmax_age = \"1d\"", 1);
    let rules = settings::alert_file::parse(&rules)?;
    record(&database, &rules, &angry("old.wav", "c1")).await?;
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 0);
    let mut fresh = angry("new.wav", "c1");
    fresh.data.started_at = Some(chrono::Utc::now() - chrono::TimeDelta::hours(1));
    record(&database, &rules, &fresh).await?;
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_quiet_group_is_resolved_once_for_the_destinations_of_its_alerts() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    record(&database, &rules, &angry("1.wav", "c1")).await?;
    record(&database, &rules, &angry("2.wav", "c1")).await?;
    record(&database, &rules, &angry("3.wav", "c2")).await?;
    assert_eq!(database.resolve_quiet(&rules).await?, 0, "no group is quiet yet");
    sqlx::raw_sql(
        "UPDATE alerts SET fired_at = fired_at - interval '3 hours', queued_at = queued_at - interval '3 hours'
        WHERE group_key = 'customer:c1'",
    )
    .execute(database.pool())
    .await?;
    let (one, two) = tokio::join!(database.resolve_quiet(&rules), database.resolve_quiet(&rules));
    assert_eq!(one? + two?, 1, "two dispatchers resolve it once");
    assert_eq!(test.count("SELECT count(*) FROM alerts WHERE resolved_at IS NOT NULL").await?, 2);
    assert_eq!(test.count("SELECT count(*) FROM outbox WHERE kind = 'resolved'").await?, 3);
    // A resolved group fires again.
    record(&database, &rules, &angry("4.wav", "c1")).await?;
    let kind: String =
        sqlx::query_scalar("SELECT kind FROM outbox ORDER BY id DESC LIMIT 1").fetch_one(database.pool()).await?;
    assert_eq!(kind, "fired");
    Ok(())
}

#[tokio::test]
async fn scores_and_alerts_are_written_together_or_not_at_all() -> Result<()> {
    let Start { test, database, rules } = start().await?;
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION refuse()";
    sqlx::raw_sql(refuse).execute(database.pool()).await?;
    let call = angry("a.wav", "c1");
    let failure = record(&database, &rules, &call).await.unwrap_err();
    assert_eq!(failure.downcast::<domain::Failure>().unwrap().code, FailureCode::DatabaseRefused);
    assert_eq!(test.count("SELECT count(*) FROM analyses WHERE status = 'done'").await?, 0);
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 0);
    sqlx::raw_sql("DROP TRIGGER refuse ON outbox").execute(database.pool()).await?;
    record(&database, &rules, &call).await?;
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 1);
    Ok(())
}

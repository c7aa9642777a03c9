//! `producer alerts test`: what rules would have fired on.

use adapters::postgres::NewBatch;
use anyhow::Result;
use clap::Parser;
use domain::{BatchId, Emotion};
use producer::cli::Cli;
use settings::Settings;
use tests::calls::Call;
use tests::database::TestDatabase;

const RULES: &str = r#"
[[rule]]
name = "angry"
severity = "critical"
when = { role = "customer", emotion = "angry", score = 0.6, in_a_row = 2 }
group_by = "customer"
cooldown = "2h"

[[rule]]
name = "worse"
when = { group = "negative", shift = 0.4 }
"#;

async fn history(test: &TestDatabase) -> Result<()> {
    let now = chrono::Utc::now();
    let mut calls = Vec::new();
    // More than a page; every tenth is angry, an hour apart, of one customer.
    for n in 0..450_i64 {
        let timeline = if n % 10 == 0 {
            vec![(5.0, Emotion::Neutral, 0.9), (5.0, Emotion::Angry, 0.8), (5.0, Emotion::Angry, 0.8)]
        } else {
            vec![(5.0, Emotion::Neutral, 0.9), (5.0, Emotion::Happy, 0.8), (5.0, Emotion::Neutral, 0.8)]
        };
        let mut call =
            Call::new(&format!("{n:04}.wav")).by("7", "a1", "c1", "2026-01-01T00:00:00Z").with_timeline(&timeline);
        call.data.started_at = Some(now - chrono::TimeDelta::minutes(6 * (n + 1)));
        calls.push(call);
    }
    let jobs: Vec<_> = calls.iter().map(Call::job).collect();
    let batch = NewBatch { id: BatchId::from_name("night"), name: "night".into(), source: "test".into() };
    test.database.register(&batch, &jobs, false).await?;
    for call in &calls {
        test.database.begin_attempt(&call.job(), "w1").await?;
        call.record_result(&test.database, "w1").await?;
    }
    Ok(())
}

async fn alerts_test(test: &TestDatabase, rules: &str, more: &[&str]) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let path = folder.path().join("mine.toml");
    std::fs::write(&path, rules).map_err(|e| e.to_string())?;
    let mut settings = Settings::from_toml("").map_err(|e| e.to_string())?;
    settings.postgres = test.settings.clone();
    let path = path.to_string_lossy();
    let arguments = [&["producer", "--no-wait-for-services", "alerts", "test", path.as_ref()], more].concat();
    let mut out = Vec::new();
    let cli = Cli::try_parse_from(arguments).map_err(|e| e.to_string())?;
    producer::run(&settings, &cli, &mut out).await.map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

#[tokio::test]
async fn rules_are_tried_on_the_history_page_by_page_and_nothing_is_written() -> Result<()> {
    let test = TestDatabase::create().await?;
    history(&test).await?;
    let text = alerts_test(&test, RULES, &["--since", "7d", "--limit", "3"]).await.map_err(anyhow::Error::msg)?;
    println!("{text}");
    assert!(text.contains("450 calls since"), "{text}");
    let counts = |name: &str| {
        let line = text.lines().rfind(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    // 45 of them an hour apart: with two hours of cooldown, every other one has a message.
    assert_eq!(counts("angry"), ["45", "23"]);
    assert_eq!(counts("worse"), ["45", "45"]);
    assert!(text.contains("customer: angry 0.80, 2 segments in a row from 0:05"), "{text}");
    assert!(text.contains("and 87 more"), "{text}");
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 0);
    assert_eq!(test.count("SELECT count(*) FROM outbox").await?, 0);

    let text = alerts_test(&test, RULES, &["--since", "3h", "--rule", "worse"]).await.map_err(anyhow::Error::msg)?;
    assert!(text.contains("29 calls since") && !text.contains("angry  "), "{text}");
    Ok(())
}

#[tokio::test]
async fn errors_in_the_alert_file_are_reported_before_any_query() -> Result<()> {
    let test = TestDatabase::create_empty().await?;
    let error =
        alerts_test(&test, "[[rule]]\nname = \"x\"\nwhen = { emotion = \"furious\" }\ncooldown = 3\n", &[]).await;
    let error = error.err().unwrap_or_default();
    assert!(error.contains("mine.toml:3:20: `furious` is no emotion"), "{error}");
    assert!(error.contains("mine.toml:4:12: `cooldown` must be a time in quotes"), "{error}");
    Ok(())
}

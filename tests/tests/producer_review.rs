//! `producer review import`: all of a file or nothing, as often as one likes, and the cookbook sees it.

use anyhow::{Context, Result};
use clap::Parser;
use domain::Emotion;
use producer::cli::Cli;
use producer::{Outcome, ProducerError};
use serde_json::{Value, json};
use settings::Settings;
use sqlx::AssertSqlSafe;
use tests::calls::Call;
use tests::cookbook::questions;
use tests::database::TestDatabase;

/// Neutral from 0 to 4 s, angry from 4.5 to 8.5 s and from 9 to 13 s; angry as a whole.
const TIMELINE: [(f64, Emotion, f32); 3] =
    [(4.0, Emotion::Neutral, 0.9), (4.0, Emotion::Angry, 0.8), (4.0, Emotion::Angry, 0.7)];

async fn record_calls(test: &TestDatabase, keys: &[&str]) -> Result<()> {
    for key in keys {
        let call = Call::new(key).by("7", "a1", "c1", "2026-05-20T10:00:00Z").with_timeline(&TIMELINE);
        test.database.begin_attempt(&call.job(), "w").await?;
        call.record_result(&test.database, "w").await?;
    }
    Ok(())
}

/// What importing this file printed, and how it ended.
async fn import(test: &TestDatabase, csv: &str, more: &[&str]) -> Result<(String, Result<Outcome, ProducerError>)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("mine.csv");
    std::fs::write(&path, csv)?;
    let mut settings = Settings::from_toml("")?;
    settings.postgres = test.settings.clone();
    let path = path.to_string_lossy();
    let arguments = [&["producer", "--no-wait-for-services", "review", "import", path.as_ref()], more].concat();
    let mut out = Vec::new();
    let outcome = producer::run(&settings, &Cli::try_parse_from(arguments)?, &mut out).await;
    Ok((String::from_utf8_lossy(&out).into_owned(), outcome))
}

/// The message that a wrong file is refused with.
async fn refusal(test: &TestDatabase, csv: &str) -> Result<String> {
    match import(test, csv, &[]).await?.1 {
        Err(error @ ProducerError::Input(_)) => Ok(error.to_string()),
        other => anyhow::bail!("{other:?}"),
    }
}

async fn ask(test: &TestDatabase, number: usize) -> Result<Value> {
    let question = questions().into_iter().find(|q| q.number == number).context("a question of the cookbook")?;
    let sql = question.with(&[("since", "2026-06-01"), ("until", "2026-07-01")]);
    let sql = sql.map_err(|name| anyhow::anyhow!("no value for {name}"))?;
    let rows = format!("SELECT coalesce(json_agg(answer), '[]') FROM ({sql}) AS answer");
    Ok(sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(test.database.pool()).await?)
}

const COUNT: &str = "SELECT count(*) FROM reviews";

#[tokio::test]
async fn verdicts_of_a_file_are_in_the_cookbooks_answers_once() -> Result<()> {
    let test = TestDatabase::create().await?;
    record_calls(&test, &["c-17.wav", "c-18.wav"]).await?;
    let file = "\u{feff}call_id;at_s;Emotion;reviewer;reviewed_at;note\n\
        c-17;;angry;rita;2026-06-02 14:05;\n\
        c-17;0:05;neutral;rita;2026-06-02 14:06;\"she speaks loudly;\nthe line is bad\"\n\
        c-18;;生气;max;2026-06-03T09:00:00+08:00;\n";
    let (text, outcome) = import(&test, file, &["--dry-run"]).await?;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("new       3") && text.contains("--dry-run"), "{text}");
    assert_eq!(test.count(COUNT).await?, 0);

    let (text, outcome) = import(&test, file, &[]).await?;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("new       3") && text.contains("known     0"), "{text}");
    let agreement = json!([{"model_name": "emofleet-small", "model_version": "1", "reviews": 3, "agreement": 0.67}]);
    let confusion = json!([
        {"reviewer_emotion": "angry", "model_emotion": "angry", "reviews": 2},
        {"reviewer_emotion": "neutral", "model_emotion": "angry", "reviews": 1}]);
    assert_eq!((ask(&test, 17).await?, ask(&test, 18).await?), (agreement.clone(), confusion.clone()));

    let (text, outcome) = import(&test, file, &[]).await?;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("new       0") && text.contains("known     3"), "{text}");
    assert_eq!((ask(&test, 17).await?, ask(&test, 18).await?), (agreement, confusion));
    assert_eq!(test.count("SELECT count(*) FROM reviews WHERE note LIKE 'she speaks loudly;%'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_file_without_times_is_no_newer_each_time() -> Result<()> {
    let test = TestDatabase::create().await?;
    record_calls(&test, &["c-17.wav"]).await?;
    let file = "key,emotion\nc-17.wav,sad\n";
    import(&test, file, &["--reviewer", "rita"]).await?.1?;
    let when = "SELECT (extract(epoch FROM reviewed_at) * 1e6)::bigint FROM reviews";
    let first = test.count(when).await?;
    let (text, outcome) = import(&test, file, &["--reviewer", "rita"]).await?;
    assert!(outcome? == Outcome::Done && text.contains("known     1"), "{text}");
    assert_eq!(test.count(when).await?, first);
    // Another mind is
    let (text, _) = import(&test, "key,emotion\nc-17.wav,angry\n", &["--reviewer", "rita"]).await?;
    assert!(text.contains("new       1"), "{text}");
    assert_eq!(test.count("SELECT count(*) FROM reviews WHERE emotion = 'angry'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn of_a_file_with_wrong_lines_nothing_is_imported_and_each_is_told() -> Result<()> {
    let test = TestDatabase::create().await?;
    record_calls(&test, &["c-17.wav"]).await?;
    let error = refusal(
        &test,
        "call_id,emotion,reviewer,reviewed_at\nc-17,angry,rita,\nc-17,furious,rita,\nc-17,sad,rita,yesterday\nc-17,sad\n,sad,rita,\n",
    )
    .await?;
    for said in [
        "mine.csv:3: `furious` is not an emotion",
        "mine.csv:4: reviewed_at `yesterday`",
        "mine.csv:5: it has 2 fields; the header has 4",
        "mine.csv:6: job_id, call_id and key are empty",
        "4 of 5 lines are wrong; nothing was imported",
    ] {
        assert!(error.contains(said), "{said} in {error}");
    }
    let error = refusal(&test, "call_id,emotion,reviewer,mood\nc-17,angry,rita,bad\n").await?;
    assert!(error.contains("mine.csv:1: unknown column `mood`; the columns are job_id,"), "{error}");
    let error = refusal(&test, "c-17,angry,rita\n").await?;
    assert!(error.contains("mine.csv:1: "), "{error}");
    let error = refusal(&test, "").await?;
    assert!(error.contains("mine.csv:1: "), "{error}");
    assert_eq!(test.count(COUNT).await?, 0);
    Ok(())
}

#[tokio::test]
async fn verdicts_on_nothing_stop_the_file_unless_they_are_to_be_left_out() -> Result<()> {
    let test = TestDatabase::create().await?;
    record_calls(&test, &["c-17.wav"]).await?;
    // More than one statement's worth, the unknown call in the last
    let mut file = String::from("call_id,emotion,reviewer,at_s\n");
    for n in 0..700 {
        file.push_str(&format!("c-17,sad,reviewer {n},\n"));
    }
    file.push_str("gone,sad,rita,\nc-17,sad,rita,4.2\n");
    let error = refusal(&test, &file).await?;
    assert!(error.contains("mine.csv:702: no finished analysis of such a call"), "{error}");
    assert!(error.contains("mine.csv:703: no segment of speech there"), "{error}");
    assert!(error.contains("of 2 of 702 verdicts was not found; nothing was imported"), "{error}");
    assert_eq!(test.count(COUNT).await?, 0);
    let (_, outcome) = import(&test, &file, &["--dry-run"]).await?;
    assert_eq!(outcome?, Outcome::Incomplete);
    let (text, outcome) = import(&test, &file, &["--skip-unplaced"]).await?;
    assert_eq!(outcome?, Outcome::Done);
    assert!(text.contains("new       700") && text.contains("unplaced  2"), "{text}");
    assert_eq!(test.count(COUNT).await?, 700);
    Ok(())
}

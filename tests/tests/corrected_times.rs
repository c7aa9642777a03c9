//! A manifest that corrects when a call began reaches every copy of that time.

use adapters::postgres::Database;
use chrono::{DateTime, Utc};
use domain::alert::{Rulebook, Subject};
use tests::calls::{Call, batch, token};
use tests::database::TestDatabase;

const FIRST: &str = "2026-02-01T02:05:00Z";
const CORRECTED: &str = "2026-01-31T18:05:00Z";

/// A rule that every angry call fires.
fn rules() -> anyhow::Result<Rulebook> {
    Ok(settings::alert_file::parse("[[rule]]\nname = \"angry\"\nwhen = { emotion = \"angry\", score = 0.5 }")?)
}

fn call(model: &str, started_at: &str) -> Call {
    Call::angry("a.wav").by("7", "a1", "c1", started_at).with_model(model)
}

/// Every distinct copy of the time, and the partitions that segments are in.
async fn copies(database: &Database) -> anyhow::Result<(Vec<DateTime<Utc>>, Vec<String>)> {
    let times = sqlx::query_scalar(
        "SELECT called_at FROM analyses UNION SELECT called_at FROM channels UNION SELECT called_at FROM segments
         UNION SELECT called_at FROM alerts UNION SELECT started_at FROM recordings",
    );
    let partitions = sqlx::query_scalar("SELECT DISTINCT tableoid::regclass::text FROM segments");
    Ok((times.fetch_all(database.pool()).await?, partitions.fetch_all(database.pool()).await?))
}

async fn record(database: &Database, call: &Call) -> anyhow::Result<()> {
    database.begin_attempt(&call.job(), "w").await?;
    call.record(database, &rules()?).await?;
    Ok(())
}

#[tokio::test]
async fn a_corrected_time_reaches_analyses_channels_segments_and_alerts() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let database = &test.database;
    record(database, &call("small", FIRST)).await?;
    record(database, &call("large", FIRST)).await?;
    let (first, corrected): (DateTime<Utc>, DateTime<Utc>) = (FIRST.parse()?, CORRECTED.parse()?);
    assert_eq!(copies(database).await?, (vec![first], vec!["segments_2026_02".into()]));
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 2, "one of each analysis");

    // With and without force, of either analysis
    for (time, force, month) in [(CORRECTED, false, "segments_2026_01"), (FIRST, true, "segments_2026_02")] {
        database.register(&batch("night"), &[call("small", time).job()], force).await?;
        assert_eq!(copies(database).await?, (vec![time.parse()?], vec![month.into()]), "force: {force}");
    }
    // A job that names no time changes none, and a new analysis gets the time that is known
    let mut undated = call("third", FIRST);
    undated.data.started_at = None;
    record(database, &undated).await?;
    assert_eq!(copies(database).await?.0, [first]);
    // By hand as well
    let update = sqlx::query("UPDATE recordings SET started_at = $1").bind(corrected);
    update.execute(database.pool()).await?;
    assert_eq!(copies(database).await?.0, [corrected]);
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 9);
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest").await?, 2);
    Ok(())
}

#[tokio::test]
async fn a_correction_while_the_job_is_open_is_followed() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let database = &test.database;
    let first = call("small", FIRST);
    database.register(&batch("night"), &[first.job()], false).await?;
    database.begin_attempt(&first.job(), "w").await?;
    let token = token(database, first.job().job_id).await;
    database.register(&batch("night"), &[call("small", CORRECTED).job()], false).await?;
    // With its month's partition in place, only the recording's row is waited for
    let corrected: DateTime<Utc> = CORRECTED.parse()?;
    sqlx::query("SELECT segments_month($1)").bind(corrected).execute(database.pool()).await?;
    // The worker has the message with the old time, and has read the row before another correction is committed
    let mut correction = database.begin().await?;
    let again: DateTime<Utc> = "2025-12-31T10:00:00Z".parse()?;
    sqlx::query("UPDATE recordings SET started_at = $1").bind(again).execute(&mut *correction).await?;
    let (report, rules) = (first.report(), rules()?);
    let matches = rules.matches(Subject::from(&report));
    let artifacts = first.artifacts();
    let recorded = async {
        let recorded = database.record_done(&report, &artifacts, None, &matches, "w", token).await;
        recorded.map_err(anyhow::Error::from)
    };
    let commit = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query LIKE '%UPDATE recordings SET container%'";
        while test.count(waits).await? == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Ok(correction.commit().await?)
    };
    tokio::try_join!(recorded, commit)?;
    assert_eq!(copies(database).await?, (vec![again], vec!["segments_2025_12".into()]));
    assert_eq!(test.count("SELECT count(*) FROM alerts").await?, 1);
    Ok(())
}

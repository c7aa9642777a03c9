//! What the database keeps of a timeline, and where: channels, months, models.

use adapters::postgres::RecordOutcome;
use adapters::postgres::console::{Grouping, Order, Period};
use chrono::{DateTime, TimeDelta, Utc};
use domain::Emotion;
use futures_util::future::try_join_all;
use tests::calls::{Call, MARCH, batch, token};
use tests::database::TestDatabase;

#[tokio::test]
async fn workers_make_one_partition_per_month_between_them() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let calls: Vec<Call> = (0..24)
        .map(|i| {
            let when = format!("2024-{:02}-28T23:30:00Z", i % 3 + 1);
            Call::angry(&format!("{i}.wav")).by("7", "a", "c", &when)
        })
        .collect();
    // Each with a connection of its own and no memory of earlier months, all at once
    let one = async |call: &Call| -> anyhow::Result<()> {
        let database = adapters::postgres::Database::connect(&test.settings).await?;
        database.begin_attempt(&call.job(), "w").await?;
        call.record_result(&database, "w").await?;
        database.close().await;
        Ok(())
    };
    try_join_all(calls.iter().map(one)).await?;
    for (query, rows) in [
        ("SELECT count(*) FROM segments_2024_01", 24),
        ("SELECT count(*) FROM segments_2024_02", 24),
        ("SELECT count(*) FROM segments_2024_03", 24),
        ("SELECT count(*) FROM segments_undated", 0),
    ] {
        assert_eq!(test.count(query).await?, rows, "{query}");
    }
    Ok(())
}

#[tokio::test]
async fn teams_with_long_names_are_counted_each_by_itself() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    // Their first hundred characters are the same, and one has no more.
    let teams = ["", "-north", "-south"].map(|end| format!("{}{end}", "队".repeat(100)));
    for (n, team) in teams.iter().enumerate() {
        for i in 0..=n {
            let call = Call::angry(&format!("{n}-{i}.wav")).by(team, "a", "c", MARCH);
            test.database.begin_attempt(&call.job(), "w").await?;
            call.record_result(&test.database, "w").await?;
        }
    }
    let period = |team: Option<&String>| -> anyhow::Result<Period> {
        let from: DateTime<Utc> = MARCH.parse()?;
        Ok(Period { from, to: from + TimeDelta::days(1), team: team.cloned() })
    };
    for (n, team) in teams.iter().enumerate() {
        let counts = test.database.emotion_counts(&period(Some(team))?, Grouping::Day(0), Order::Key).await?;
        let calls: Vec<u64> = counts.iter().map(|count| count.calls).collect();
        assert_eq!(calls, [n as u64 + 1], "{team}");
    }
    let by_team = test.database.emotion_counts(&period(None)?, Grouping::Team, Order::NegativeFirst).await?;
    let keys: Vec<_> = by_team.iter().filter_map(|count| count.key.clone()).collect();
    assert_eq!(keys, teams);
    Ok(())
}

#[tokio::test]
async fn calls_with_an_impossible_date_are_of_the_day_of_ingestion() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let impossible = ["1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z", "0026-11-22T02:05:00Z"];
    for (n, when) in impossible.into_iter().chain(["1995-01-01T00:00:00Z"]).enumerate() {
        let call = Call::angry(&format!("{n}.wav")).by("7", "a", "c", when);
        test.database.begin_attempt(&call.job(), "w").await?;
        call.record_result(&test.database, "w").await?;
    }
    let of_ingestion = "SELECT count(*) FROM segments s JOIN analyses a USING (job_id)
        JOIN recordings r ON r.id = a.recording_id AND r.created_at = s.called_at";
    assert_eq!(test.count(of_ingestion).await?, 9);
    // Possible, but without a partition: no month before 2000 has one
    assert_eq!(test.count("SELECT count(*) FROM segments_undated").await?, 3);
    Ok(())
}

#[tokio::test]
async fn rows_that_came_before_their_partition_move_into_it() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    sqlx::raw_sql("ALTER TABLE segments DETACH PARTITION segments_2025_03; INSERT INTO segments SELECT * FROM segments_2025_03; DROP TABLE segments_2025_03")
        .execute(test.database.pool())
        .await?;
    assert_eq!(test.count("SELECT count(*) FROM segments_undated").await?, 3);
    sqlx::query("SELECT segments_month($1)").bind(call.started_at()).execute(test.database.pool()).await?;
    assert_eq!(test.count("SELECT count(*) FROM segments_2025_03").await?, 3);
    assert_eq!(test.count("SELECT count(*) FROM segments_undated").await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_second_model_takes_over_as_the_latest_and_the_first_stays() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let small = Call::angry("a.wav");
    let mut large = Call::angry("a.wav").with_model("emotion2vec-plus-large");
    large.timeline = vec![(8.0, Emotion::Sad, 0.6)];
    for call in [&small, &large] {
        test.database.begin_attempt(&call.job(), "w").await?;
    }
    let mut later = large.report();
    later.timestamp += chrono::TimeDelta::hours(1);
    test.database
        .record_done(&later, &large.artifacts(), None, &[], "w", token(&test.database, later.job_id).await)
        .await?;
    // The older one is recorded last: a redelivery does not make it the latest
    small.record_result(&test.database, "w").await?;
    assert_eq!(test.count("SELECT count(*) FROM recordings").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest AND scored AND emotion = 'sad'").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest AND scored").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE scored").await?, 2);
    Ok(())
}

#[tokio::test]
async fn corrected_call_data_reach_the_channels() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    let mut corrected = call.clone();
    corrected.data.team = Some("9".into());
    corrected.data.agent = None;
    corrected.data.attributes.insert("vip".into(), "yes".into());
    let wanted = test.database.register(&batch("night"), &[corrected.job()], false).await?;
    assert!(wanted.is_empty(), "call data are no part of a job's identity");
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE team = '9' AND agent = 'a1'").await?, 2);
    assert_eq!(test.count("SELECT count(*) FROM recordings WHERE attributes->>'vip' = 'yes'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_deleted_recording_takes_everything_with_it_and_its_job_in_flight_is_told() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    test.database.begin_attempt(&call.job(), "w").await?;
    let last = token(&test.database, call.report().job_id).await;
    test.database.record_done(&call.report(), &call.artifacts(), None, &[], "w", last).await?;
    sqlx::query("DELETE FROM recordings WHERE call_id = 'a'").execute(test.database.pool()).await?;
    for query in ["SELECT count(*) FROM analyses", "SELECT count(*) FROM segments", "SELECT count(*) FROM channels"] {
        assert_eq!(test.count(query).await?, 0, "{query}");
    }
    let outcome = test.database.record_done(&call.report(), &call.artifacts(), None, &[], "w", last).await?;
    assert_eq!(outcome, RecordOutcome::Deleted);
    Ok(())
}

#[derive(sqlx::FromRow, Debug, PartialEq)]
struct Course {
    segments: i32,
    low_confidence: i32,
    angry_s: f32,
    negative_s: f32,
    peak_angry: f32,
    peak_angry_at_s: f32,
    first_third: f32,
    last_third: f32,
    turned_at_s: Option<f32>,
    angry_streak: i32,
    angry_streak_at_s: Option<f32>,
    negative_streak: i32,
    negative_streak_at_s: Option<f32>,
}

#[tokio::test]
async fn the_timeline_is_summed_up_beside_the_channel() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::new("a.wav").by("7", "a", "c", MARCH).with_timeline(&[
        (4.0, Emotion::Neutral, 0.9), // 0.0
        (4.0, Emotion::Happy, 0.4),   // 4.5
        (4.0, Emotion::Neutral, 0.8), // 9.0
        (4.0, Emotion::Angry, 0.7),   // 13.5
        (4.0, Emotion::Angry, 0.9),   // 18.0
        (4.0, Emotion::Sad, 0.8),     // 22.5
    ]);
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    let mut course: Course =
        sqlx::query_as("SELECT * FROM channels WHERE scored").fetch_one(test.database.pool()).await?;
    course.last_third = (course.last_third * 1000.0).round() / 1000.0;
    let expected = Course {
        segments: 6,
        low_confidence: 1,
        angry_s: 8.0,
        negative_s: 12.0,
        peak_angry: 0.9,
        peak_angry_at_s: 18.0,
        first_third: 0.0,
        last_third: 0.85,
        turned_at_s: Some(13.5),
        angry_streak: 2,
        angry_streak_at_s: Some(13.5),
        negative_streak: 3,
        negative_streak_at_s: Some(13.5),
    };
    assert_eq!(course, expected);
    Ok(())
}

#[tokio::test]
async fn silence_on_a_scored_channel_is_a_row_without_scores() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::new("a.wav").by("7", "a", "c", MARCH);
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    let silent =
        "SELECT count(*) FROM channels WHERE scored AND emotion IS NULL AND score_angry IS NULL AND segments = 0";
    assert_eq!(test.count(silent).await?, 1);
    Ok(())
}

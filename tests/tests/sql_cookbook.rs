//! Every question of `docs/sql-cookbook.md`, asked of a history whose answers are known.

use adapters::postgres::{Database, NewBatch};
use anyhow::Context;
use chrono::{TimeDelta, Utc};
use domain::report::ChannelReport;
use domain::{BatchId, Emotion, Failure, FailureCode, Role};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use tests::calls::{Call, token};
use tests::cookbook::questions;
use tests::database::TestDatabase;

use Emotion::{Angry as A, Happy as H, Neutral as N, Sad as S};

/// Team 7 in the week of Monday, 10 March 2025. Stretches last 4 s, with half a second between them.
fn week() -> Vec<Call> {
    let call = |key: &str, agent, customer, when, timeline: &[_]| {
        let timeline: Vec<_> = timeline.iter().map(|(emotion, p)| (4.0, *emotion, *p)).collect();
        Call::new(key).by("7", agent, customer, when).with_timeline(&timeline)
    };
    let mut vip = call("c4.wav", "bob", "kim", "2025-03-12T15:00:00Z", &[(N, 0.9), (A, 0.7), (N, 0.9)]);
    vip.data.attributes.insert("vip".into(), "yes".into());
    vec![
        // It turns at the third stretch, 9.0 s, and stays angry
        call(
            "c1.wav",
            "ann",
            "joe",
            "2025-03-10T09:00:00Z",
            &[(N, 0.9), (N, 0.9), (A, 0.8), (A, 0.95), (A, 0.9), (A, 0.8)],
        ),
        // It begins badly and ends well
        call(
            "c2.wav",
            "ann",
            "lee",
            "2025-03-11T10:00:00Z",
            &[(A, 0.9), (A, 0.8), (N, 0.9), (N, 0.9), (H, 0.8), (H, 0.9)],
        ),
        // kim calls three times and gets angrier
        call("c3.wav", "bob", "kim", "2025-03-12T10:00:00Z", &[(N, 0.9), (N, 0.9), (N, 0.9)]),
        vip,
        call("c5.wav", "bob", "kim", "2025-03-14T11:00:00Z", &[(A, 0.45), (A, 0.48), (A, 0.9)]),
        // No speech
        call("c6.wav", "bob", "max", "2025-03-14T16:00:00Z", &[]),
        // The week before, and another team: not asked for
        call("old.wav", "ann", "joe", "2025-03-05T09:00:00Z", &[(A, 0.9), (A, 0.9), (A, 0.9)]),
        call("other.wav", "cat", "sue", "2025-03-11T09:00:00Z", &[(A, 0.9), (A, 0.9), (A, 0.9)]).by(
            "9",
            "cat",
            "sue",
            "2025-03-11T09:00:00Z",
        ),
    ]
}

async fn record(database: &Database, call: &Call, timings_total_ms: f64) -> anyhow::Result<()> {
    let mut report = call.report();
    report.timings.total_ms = timings_total_ms;
    database.begin_attempt(&call.job(), "w1").await?;
    database.record_done(&report, &call.artifacts(), None, &[], "w1", token(database, report.job_id).await).await?;
    Ok(())
}

async fn seed(test: &TestDatabase) -> anyhow::Result<()> {
    let calls = week();
    for (call, milliseconds) in calls.iter().zip([100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0]) {
        record(&test.database, call, milliseconds).await?;
    }
    // Another model predicted two of them earlier, so that it is not the latest
    for (call, emotion) in [(&calls[0], A), (&calls[2], S)] {
        let other = call.clone().with_model("emotion2vec-plus-base").with_timeline(&[(12.0, emotion, 0.9)]);
        let mut report = other.report();
        report.timestamp -= TimeDelta::minutes(30);
        test.database.begin_attempt(&other.job(), "w2").await?;
        test.database
            .record_done(&report, &other.artifacts(), None, &[], "w2", token(&test.database, report.job_id).await)
            .await?;
    }
    // Three that can't be read, all given up today
    for (key, code) in
        [("x1", FailureCode::AudioCorrupt), ("x2", FailureCode::AudioCorrupt), ("x3", FailureCode::AudioEmpty)]
    {
        test.database
            .record_failed(&Call::new(key).job(), &Failure::new(code, "as the test wants it"), "w1", None)
            .await?;
    }
    // A batch half done a moment ago
    let tonight: Vec<Call> =
        (1..=4).map(|n| Call { batch: "tonight".into(), ..Call::new(&format!("t{n}.wav")) }).collect();
    let batch = NewBatch { id: BatchId::from_name("tonight"), name: "tonight".into(), source: "s3://calls/".into() };
    test.database.register(&batch, &tonight.iter().map(Call::job).collect::<Vec<_>>(), false).await?;
    for call in &tonight[..2] {
        let mut report = call.report();
        report.timestamp = Utc::now();
        test.database.begin_attempt(&call.job(), "w1").await?;
        test.database
            .record_done(&report, &call.artifacts(), None, &[], "w1", token(&test.database, report.job_id).await)
            .await?;
    }
    let reactions = include_str!("sql_cookbook/reactions.sql");
    sqlx::raw_sql(reactions).execute(&mut test.connection().await?).await?;
    Ok(())
}

/// The answer to each question, by its number, as rows of JSON.
#[expect(clippy::too_many_lines, reason = "a table of questions and answers")]
fn answers() -> Vec<(usize, Value)> {
    vec![
        (
            1,
            json!([
            {"call_id": "c5", "agent": "bob", "called_at": "2025-03-14T11:00:00+00:00", "angry": 0.61, "turned_at_s": 9, "peak_angry_at_s": 9, "angry_streak": 3},
            {"call_id": "c1", "agent": "ann", "called_at": "2025-03-10T09:00:00+00:00", "angry": 0.58, "turned_at_s": 9, "peak_angry_at_s": 13.5, "angry_streak": 4},
            {"call_id": "c2", "agent": "ann", "called_at": "2025-03-11T10:00:00+00:00", "angry": 0.28, "turned_at_s": null, "peak_angry_at_s": 0, "angry_streak": 2},
            {"call_id": "c4", "agent": "bob", "called_at": "2025-03-12T15:00:00+00:00", "angry": 0.23, "turned_at_s": 4.5, "peak_angry_at_s": 4.5, "angry_streak": 1}]),
        ),
        (
            2,
            json!([
            {"role": "customer", "start_s": 0, "end_s": 4, "emotion": "neutral", "confidence": 0.90, "angry": 0.00},
            {"role": "customer", "start_s": 4.5, "end_s": 8.5, "emotion": "angry", "confidence": 0.70, "angry": 0.70},
            {"role": "customer", "start_s": 9, "end_s": 13, "emotion": "neutral", "confidence": 0.90, "angry": 0.00}]),
        ),
        (
            3,
            json!([
            {"call_id": "c1", "agent": "ann", "called_at": "2025-03-10T09:00:00+00:00", "first_third": 0.00, "last_third": 0.85, "shift": 0.85, "turned_at_s": 9},
            {"call_id": "c5", "agent": "bob", "called_at": "2025-03-14T11:00:00+00:00", "first_third": 0.45, "last_third": 0.90, "shift": 0.45, "turned_at_s": 9}]),
        ),
        (
            4,
            json!([
            {"call_id": "c2", "agent": "ann", "called_at": "2025-03-11T10:00:00+00:00", "first_third": 0.85, "last_third": 0.00}]),
        ),
        (
            5,
            json!([
            {"call_id": "c1", "agent": "ann", "called_at": "2025-03-10T09:00:00+00:00", "angry_streak": 4, "angry_streak_at_s": 9},
            {"call_id": "c5", "agent": "bob", "called_at": "2025-03-14T11:00:00+00:00", "angry_streak": 3, "angry_streak_at_s": 0}]),
        ),
        (
            6,
            json!([
            {"call_id": "c1", "agent": "ann", "start_s": 13.5, "end_s": 17.5, "angry": 0.95},
            {"call_id": "c1", "agent": "ann", "start_s": 18, "end_s": 22, "angry": 0.90},
            {"call_id": "c2", "agent": "ann", "start_s": 0, "end_s": 4, "angry": 0.90},
            {"call_id": "c5", "agent": "bob", "start_s": 9, "end_s": 13, "angry": 0.90}]),
        ),
        (
            7,
            json!([
            {"agent": "ann", "day": "2025-03-10", "calls": 1, "angry_calls": 1, "angry": 0.58, "happy": 0.00, "mean_shift": 0.85},
            {"agent": "ann", "day": "2025-03-11", "calls": 1, "angry_calls": 0, "angry": 0.28, "happy": 0.28, "mean_shift": -0.85},
            {"agent": "bob", "day": "2025-03-12", "calls": 2, "angry_calls": 0, "angry": 0.12, "happy": 0.00, "mean_shift": 0.00},
            {"agent": "bob", "day": "2025-03-14", "calls": 1, "angry_calls": 1, "angry": 0.61, "happy": 0.00, "mean_shift": 0.45}]),
        ),
        (
            8,
            json!([
            {"weekday": 1, "calls": 1, "angry_calls": 1, "angry": 0.58},
            {"weekday": 2, "calls": 1, "angry_calls": 0, "angry": 0.28},
            {"weekday": 3, "calls": 2, "angry_calls": 0, "angry": 0.12},
            {"weekday": 5, "calls": 1, "angry_calls": 1, "angry": 0.61}]),
        ),
        (
            9,
            json!([
            {"hour": 9, "calls": 1, "angry_share": 0.67},
            {"hour": 10, "calls": 2, "angry_share": 0.17},
            {"hour": 11, "calls": 1, "angry_share": 1.00},
            {"hour": 15, "calls": 1, "angry_share": 0.33},
            {"hour": 16, "calls": 1, "angry_share": null}]),
        ),
        (
            10,
            json!([
            {"week": "2025-03-10", "emotion": "neutral", "calls": 3, "share": 0.60},
            {"week": "2025-03-10", "emotion": "angry", "calls": 2, "share": 0.40}]),
        ),
        (
            11,
            json!([
            {"agent": "ann", "calls": 2, "angry": 0.43, "team": 0.34, "z": 0.6},
            {"agent": "bob", "calls": 3, "angry": 0.28, "team": 0.34, "z": -0.3}]),
        ),
        (
            12,
            json!([
            {"call_id": "c4", "agent": "bob", "called_at": "2025-03-12T15:00:00+00:00", "emotion": "neutral", "angry": 0.23}]),
        ),
        (
            13,
            json!([
            {"customer": "kim", "calls": 3, "first_angry": 0.00, "last_angry": 0.61, "last_call": "2025-03-14T11:00:00+00:00"}]),
        ),
        (
            14,
            json!([
            {"day": "2025-03-10", "calls": 1, "segments": 6, "unsure": 0, "share": 0.00},
            {"day": "2025-03-11", "calls": 1, "segments": 6, "unsure": 0, "share": 0.00},
            {"day": "2025-03-12", "calls": 2, "segments": 6, "unsure": 0, "share": 0.00},
            {"day": "2025-03-14", "calls": 2, "segments": 3, "unsure": 2, "share": 0.67}]),
        ),
        (15, json!([{"call_id": "c6", "agent": "bob", "called_at": "2025-03-14T16:00:00+00:00", "role": "customer"}])),
        (
            16,
            json!([
            {"failure_code": "audio.corrupt", "failures": 2, "for_example": "x2"},
            {"failure_code": "audio.empty", "failures": 1, "for_example": "x3"}]),
        ),
        (17, json!([{"model_name": "emofleet-small", "model_version": "1", "reviews": 3, "agreement": 0.67}])),
        (
            18,
            json!([
            {"reviewer_emotion": "angry", "model_emotion": "angry", "reviews": 1},
            {"reviewer_emotion": "neutral", "model_emotion": "angry", "reviews": 1},
            {"reviewer_emotion": "neutral", "model_emotion": "neutral", "reviews": 1}]),
        ),
        (
            19,
            json!([
            {"latest_model": "emofleet-small", "latest_version": "1", "earlier_model": "emotion2vec-plus-base", "earlier_version": "1", "latest_emotion": "angry", "earlier_emotion": "angry", "channels": 1},
            {"latest_model": "emofleet-small", "latest_version": "1", "earlier_model": "emotion2vec-plus-base", "earlier_version": "1", "latest_emotion": "neutral", "earlier_emotion": "sad", "channels": 1}]),
        ),
        (20, json!([{"total": 4, "queued": 2, "done": 2, "failed": 0, "per_minute": 0.4, "time_left": "00:05:00"}])),
        (21, json!([{"rule": "anger", "severity": "warning", "alerts": 2, "reviewed": 2, "confirmed": 1}])),
        (22, json!([{"worker": "w1", "jobs": 2, "total_ms_p50": 0.0, "total_ms_p95": 0.0, "infer_ms": 0.0}])),
    ]
}

#[tokio::test]
async fn every_question_of_the_cookbook_is_answered_rightly() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    seed(&test).await?;
    let today = Utc::now().date_naive().to_string();
    let tomorrow = (Utc::now() + TimeDelta::days(1)).date_naive().to_string();
    let answers = answers();
    let questions = questions();
    assert_eq!(questions.iter().map(|q| q.number).collect::<Vec<_>>(), answers.iter().map(|a| a.0).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    for (question, (_, answer)) in questions.iter().zip(&answers) {
        let failed_today = question.number == 16;
        let values = [
            ("team", "7"),
            ("since", if failed_today { today.as_str() } else { "2025-03-10" }),
            ("until", if failed_today { tomorrow.as_str() } else { "2025-03-17" }),
            ("call_id", "c4"),
            ("in_a_row", "3"),
            ("batch", "tonight"),
        ];
        let sql = question.with(&values).map_err(|name| anyhow::anyhow!("no value for {name}"))?;
        let rows = format!("SELECT coalesce(json_agg(answer), '[]') FROM ({sql}) AS answer");
        let rows: Value = sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(test.database.pool()).await?;
        if rows != *answer {
            wrong.push(format!("{}. {}\n  expected {answer}\n  got      {rows}", question.number, question.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The answer to a question about team 8 in the week of Monday, 10 March 2025.
async fn asked(database: &Database, number: usize) -> anyhow::Result<Value> {
    let values = [("team", "8"), ("since", "2025-03-10"), ("until", "2025-03-17")];
    let question = questions().into_iter().find(|question| question.number == number).context("a question")?;
    let sql = question.with(&values).map_err(|name| anyhow::anyhow!("no value for {name}"))?;
    let rows = format!("SELECT coalesce(json_agg(answer), '[]') FROM ({sql}) AS answer");
    Ok(sqlx::query_scalar(AssertSqlSafe(rows)).fetch_one(database.pool()).await?)
}

#[tokio::test]
async fn a_call_with_two_scored_channels_is_one_call() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    // A mix stored as stereo. Two calls of a caller who gets angrier are no three.
    for (key, when, timeline) in
        [("m1.wav", "2025-03-10T09:00:00Z", [(4.0, A, 0.6)]), ("m2.wav", "2025-03-11T09:00:00Z", [(4.0, A, 0.9)])]
    {
        let call = Call::new(key).by("8", "ann", "joe", when).with_timeline(&timeline);
        let mut report = call.report();
        let mut mixed = report.channels.remove(1);
        mixed.role = Role::Mixed;
        report.channels = vec![ChannelReport { channel: Some(0), ..mixed.clone() }, mixed];
        test.database.begin_attempt(&call.job(), "w1").await?;
        let token = token(&test.database, report.job_id).await;
        test.database.record_done(&report, &call.artifacts(), None, &[], "w1", token).await?;
    }
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest AND scored").await?, 4);
    for (number, calls) in
        [(7, vec![1, 1]), (8, vec![1, 1]), (9, vec![2]), (10, vec![2]), (11, vec![2]), (14, vec![1, 1])]
    {
        let rows = asked(&test.database, number).await?;
        let counted: Vec<_> = rows.as_array().into_iter().flatten().map(|row| row["calls"].clone()).collect();
        assert_eq!(counted, calls, "question {number}: {rows}");
    }
    assert_eq!(asked(&test.database, 13).await?, json!([]));
    for query in ["SELECT sum(calls)::bigint FROM low_confidence", "SELECT calls FROM caller_trend"] {
        assert_eq!(test.count(query).await?, 2, "{query}");
    }
    let angry = "SELECT sum(angry_calls + negative_calls)::bigint FROM emotion_by_agent_day";
    assert_eq!(test.count(angry).await?, 4);
    Ok(())
}

#[tokio::test]
async fn calls_without_a_customer_are_not_one_caller() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    for (day, angry) in [(10, 0.5), (11, 0.6), (12, 0.7)] {
        let when = format!("2025-03-{day}T09:00:00Z");
        let mut call = Call::new(&format!("{day}.wav")).by("8", "ann", "", &when).with_timeline(&[(4.0, A, angry)]);
        call.data.customer = None;
        record(&test.database, &call, 1.0).await?;
    }
    assert_eq!(asked(&test.database, 13).await?, json!([]));
    Ok(())
}

#[tokio::test]
async fn every_table_view_and_function_is_explained_in_the_database() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let silent: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v') AND c.relname NOT LIKE '\\_sqlx%'
            AND obj_description(c.oid) IS NULL
         UNION ALL
         SELECT proname::text FROM pg_proc
          WHERE pronamespace = 'public'::regnamespace AND obj_description(oid) IS NULL",
    )
    .fetch_all(test.database.pool())
    .await?;
    assert!(silent.is_empty(), "without a comment: {silent:?}");
    Ok(())
}

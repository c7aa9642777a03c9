//! Deletion by age and by call, and what people say of calls.

use adapters::postgres::{self, Age, Database, ExpiredCount, Import, NewBatch, OpenJobs, PruneSummary, Review};
use chrono::{DateTime, TimeDelta, Utc};
use domain::{Emotion, Failure, FailureCode};
use tests::calls::{Call, token};
use tests::database::TestDatabase;

const TIMELINE: [(f64, Emotion, f32); 3] =
    [(4.0, Emotion::Neutral, 0.9), (4.0, Emotion::Angry, 0.8), (4.0, Emotion::Angry, 0.7)];

async fn record(test: &TestDatabase, key: &str, when: &str) -> anyhow::Result<Call> {
    let call = Call::new(key).by("7", "a1", "c1", when).with_timeline(&TIMELINE);
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    Ok(call)
}

fn moment(text: &str) -> DateTime<Utc> {
    text.parse().expect("RFC 3339")
}

/// Reviewer, channel, segment, what the model predicted, what the person decided.
type Verdict = (String, Option<i16>, Option<i32>, String, String);

#[tokio::test]
async fn calls_before_a_day_are_forgotten_by_batches_and_their_months_dropped() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    for n in 0..7 {
        record(&test, &format!("old{n}.wav"), "2024-05-20T10:00:00Z").await?;
    }
    record(&test, "young.wav", "2024-06-02T10:00:00Z").await?;
    let waiting = Call::new("waiting.wav").by("7", "a", "c", "2024-05-20T10:00:00Z");
    test.database.begin_attempt(&waiting.job(), "w").await?;
    let before = moment("2024-06-01T00:00:00Z");
    let age = Age { before, ingested_too: false };
    // A dry run counts and deletes nothing
    let earliest = Some(moment("2024-05-20T10:00:00Z"));
    let expected = ExpiredCount { analyses: 7, years: vec![(2024, 7)], earliest, open: 1, ..ExpiredCount::default() };
    assert_eq!(test.database.count_expired(age).await?, expected);
    assert_eq!(test.count("SELECT count(*) FROM analyses").await?, 9);
    // In batches of three, artifacts named first
    let (mut batches, mut artifacts, mut last) = (Vec::new(), 0, None);
    loop {
        let expired = test.database.expired(age, last.as_ref(), 3).await?;
        if expired.is_empty() {
            break;
        }
        artifacts += expired.iter().filter(|e| e.artifacts.is_some()).count();
        let jobs: Vec<_> = expired.iter().map(|e| e.job_id).collect();
        test.database.claim(&jobs, OpenJobs::Keep).await?;
        batches.push(test.database.prune(&jobs).await?);
        last = expired.into_iter().next_back();
    }
    assert_eq!(batches.iter().map(|b| b.analyses).collect::<Vec<_>>(), [3, 3, 1]);
    assert_eq!((artifacts, batches.iter().map(|b| b.recordings).sum::<u64>()), (7, 7));
    assert_eq!(test.database.drop_empty_months(before).await?, 1);
    for (query, rows) in [
        ("SELECT count(*) FROM analyses", 2), // the young one, and the one under way
        ("SELECT count(*) FROM recordings", 2),
        ("SELECT count(*) FROM segments", 3),
        ("SELECT count(*) FROM channels", 2),
        ("SELECT count(*) FROM pg_class WHERE relname = 'segments_2024_05'", 0),
        ("SELECT count(*) FROM pg_class WHERE relname = 'segments_2024_06'", 1),
    ] {
        assert_eq!(test.count(query).await?, rows, "{query}");
    }
    // and the month may come back
    record(&test, "late.wav", "2024-05-21T10:00:00Z").await?;
    assert_eq!(test.count("SELECT count(*) FROM segments_2024_05").await?, 3);
    Ok(())
}

#[tokio::test]
async fn the_search_by_age_goes_on_where_it_was_and_takes_longer_than_a_statement_may() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    for n in 0..5 {
        record(&test, &format!("old{n}.wav"), "2024-05-20T10:00:00Z").await?;
    }
    let age = Age { before: moment("2024-06-01T00:00:00Z"), ingested_too: false };
    // Nothing is deleted in between, and they are of the same second
    let first = test.database.expired(age, None, 3).await?;
    let rest = test.database.expired(age, first.last(), 3).await?;
    assert_eq!((first.len(), rest.len()), (3, 2));
    assert!(rest.iter().all(|job| !first.contains(job)), "{first:?} {rest:?}");

    // A lock makes the statement slow
    let hasty = postgres::Settings { statement_timeout_s: 1, ..test.settings.clone() };
    let hasty = Database::connect(&hasty).await?;
    let mut lock = test.database.begin().await?;
    sqlx::query("LOCK TABLE analyses IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await?;
    let unlocked = async {
        const SLOW: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1500 milliseconds'";
        while test.count(SLOW).await? == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        lock.rollback().await?;
        anyhow::Ok(())
    };
    let search = async { Ok(hasty.expired(age, None, 3).await?) };
    let (found, ()) =
        tokio::time::timeout(std::time::Duration::from_secs(30), async { tokio::try_join!(search, unlocked) })
            .await??;
    assert_eq!(found, first);
    Ok(())
}

#[tokio::test]
async fn a_call_is_forgotten_on_request_and_only_that_call() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    record(&test, "b.wav", "2024-05-20T10:00:00Z").await?;
    let found = test.database.analyses_of_call("a", OpenJobs::Delete).await?;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].recording.key.as_str(), found[0].artifacts.as_ref()), ("a.wav", Some(&call.artifacts())));
    test.database.claim(&[found[0].job_id], OpenJobs::Keep).await?;
    let gone = test.database.prune(&[found[0].job_id]).await?;
    assert_eq!(gone, PruneSummary { analyses: 1, recordings: 1, ..PruneSummary::default() });
    assert!(test.database.analyses_of_call("a", OpenJobs::Delete).await?.is_empty());
    assert_eq!(test.count("SELECT count(*) FROM recordings WHERE call_id = 'b'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn a_job_that_was_asked_for_again_since_it_was_found_keeps_its_recording() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let first = record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    let other = first.clone().with_model("large");
    test.database.begin_attempt(&other.job(), "w").await?;
    other.record_result(&test.database, "w").await?;
    let jobs = [first.job().job_id, other.job().job_id];
    let night = tests::calls::batch("night");
    test.database.register(&night, &[other.job()], true).await?;
    let claimed = test.database.claim(&jobs, OpenJobs::Keep).await?;
    let claimed: Vec<_> = claimed.iter().map(|job| (job.job_id, job.recording_stays)).collect();
    assert_eq!(claimed, [(jobs[0], true)], "the job that waits again needs it");
    Ok(())
}

#[tokio::test]
async fn forgetting_one_of_two_analyses_makes_the_other_the_latest() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    let newer =
        Call::new("a.wav").by("7", "a1", "c1", "2024-05-20T10:00:00Z").with_timeline(&TIMELINE).with_model("large");
    let mut report = newer.report();
    report.timestamp += TimeDelta::days(1);
    test.database.begin_attempt(&newer.job(), "w").await?;
    test.database
        .record_done(&report, &newer.artifacts(), None, &[], "w", token(&test.database, report.job_id).await)
        .await?;
    // A row that is not claimed is not deleted
    assert_eq!(test.database.prune(&[newer.job().job_id]).await?, PruneSummary::default());
    test.database.claim(&[newer.job().job_id], OpenJobs::Keep).await?;
    let gone = test.database.prune(&[newer.job().job_id]).await?;
    assert_eq!(gone, PruneSummary { analyses: 1, recordings: 0, ..PruneSummary::default() });
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest AND scored").await?, 1);
    Ok(())
}

fn review(call_id: &str, emotion: Emotion) -> Review {
    Review {
        job_id: None,
        call_id: Some(call_id.into()),
        key: None,
        channel: None,
        segment: None,
        at_s: None,
        reviewer: "rita".into(),
        reviewed_at: Some(moment("2024-06-01T00:00:00Z")),
        emotion,
        note: String::new(),
    }
}

#[tokio::test]
async fn reviews_find_their_call_or_segment_and_keep_what_the_model_had_said() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    let whole = review("a", Emotion::Angry);
    let second = Review { at_s: Some(5.0), ..review("a", Emotion::Sad) };
    let third = Review { call_id: None, key: Some("a.wav".into()), segment: Some(2), ..review("a", Emotion::Angry) };
    let by_job = Review {
        job_id: Some(call.job().job_id),
        reviewer: "max".into(),
        channel: Some(1),
        ..review("a", Emotion::Neutral)
    };
    let reviews = [whole, second, third, by_job];
    for _ in 0..2 {
        assert_eq!(test.database.import_reviews(&reviews, Import::Whole).await?.unplaced, []);
    }
    let rows: Vec<Verdict> = sqlx::query_as(
        "SELECT reviewer, channel, segment, model_emotion, emotion FROM reviews ORDER BY reviewer, segment NULLS FIRST",
    )
    .fetch_all(test.database.pool())
    .await?;
    let expected = [
        ("max", Some(1), None, "angry", "neutral"),
        ("rita", None, None, "angry", "angry"),
        ("rita", Some(1), Some(1), "angry", "sad"),
        ("rita", Some(1), Some(2), "angry", "angry"),
    ];
    assert_eq!(
        rows,
        expected.map(|(who, channel, segment, model, was)| (who.into(), channel, segment, model.into(), was.into()))
    );
    Ok(())
}

#[tokio::test]
async fn a_newer_verdict_replaces_an_older_one_and_never_the_other_way() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    let older = review("a", Emotion::Sad);
    let newer = Review { reviewed_at: Some(moment("2024-06-09T00:00:00Z")), ..review("a", Emotion::Fearful) };
    test.database.import_reviews(&[newer, older], Import::Whole).await?;
    test.database.import_reviews(&[review("a", Emotion::Happy)], Import::Whole).await?;
    assert_eq!(test.count("SELECT count(*) FROM reviews").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM reviews WHERE emotion = 'fearful'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn reviews_of_nothing_come_back_with_the_reason() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    record(&test, "a.wav", "2024-05-20T10:00:00Z").await?;
    let failed = Call::new("failed.wav").job();
    test.database.record_failed(&failed, &Failure::new(FailureCode::AudioEmpty, "no bytes"), "w", None).await?;
    let reviews = [
        review("nobody", Emotion::Sad),
        review("failed", Emotion::Sad),
        Review { channel: Some(0), ..review("a", Emotion::Sad) },
        Review { at_s: Some(4.25), ..review("a", Emotion::Sad) }, // between two stretches
        review("a", Emotion::Sad),
    ];
    // All or nothing, unless one asks for what can be placed
    for (import, rows) in [(Import::Nothing, 0), (Import::Whole, 0), (Import::Placed, 1)] {
        assert_eq!(test.database.import_reviews(&reviews, import).await?.new, 1);
        assert_eq!(test.count("SELECT count(*) FROM reviews").await?, rows, "{import:?}");
    }
    let imported = test.database.import_reviews(&reviews, Import::Placed).await?;
    assert_eq!((imported.new, imported.known), (0, 1));
    let problems: Vec<_> = imported.unplaced.iter().map(|u| (u.position, u.problem.as_str())).collect();
    let unknown = "no finished analysis of such a call";
    assert_eq!(
        problems,
        [(0, unknown), (1, unknown), (2, "no such scored channel"), (3, "no segment of speech there")]
    );
    assert_eq!(test.count("SELECT count(*) FROM reviews").await?, 1);
    Ok(())
}

#[tokio::test]
async fn call_data_of_the_longest_kind_fit_everywhere() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let long = |c: &str| c.repeat(341); // 1,023 bytes of three-byte characters, the most a job may have
    let mut call = Call::new(&long("键")).with_timeline(&TIMELINE);
    call.data.team = Some(long("队"));
    call.data.agent = Some(long("员"));
    call.data.customer = Some(long("客"));
    call.data.call_id = Some(long("号"));
    call.job().validate()?;
    test.database.begin_attempt(&call.job(), "w").await?;
    call.record_result(&test.database, "w").await?;
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE length(team) = 100").await?, 2);
    assert_eq!(test.count("SELECT count(*) FROM recordings WHERE length(team) = 341").await?, 1);
    // and so do corrections
    call.data.team = Some(long("组"));
    let batch = NewBatch { id: call.job().batch_id, name: call.batch.clone(), source: "s3://calls/".into() };
    test.database.register(&batch, &[call.job()], false).await?;
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE team LIKE '组%'").await?, 2);
    Ok(())
}

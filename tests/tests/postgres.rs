//! The database adapter on a real server: what may be repeated, interrupted or run twice at once.

use adapters::postgres::{Attempt, Begun, RecordOutcome, Status};
use chrono::Utc;
use domain::alert::Rulebook;
use domain::{Emotion, Failure, FailureCode, Job};
use futures_util::future::{join_all, try_join_all};
use sqlx::error::DatabaseError;
use tests::calls::{Call, batch, token};
use tests::database::TestDatabase;

fn number_of(attempt: &Attempt) -> Option<u32> {
    attempt.begun().map(|begun| begun.number)
}

fn failure(code: FailureCode) -> Failure {
    Failure::new(code, "as the test wants it")
}

#[tokio::test]
async fn the_same_job_five_times_at_once_is_one_row_and_one_timeline() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    // Given nobody registered it, five workers take it from the queue at the same moment
    let attempt = async |worker: &str| {
        let begun = test.database.begin_attempt(&call.job(), worker).await?;
        if let Attempt::Begin(Begun { token, .. }) = begun {
            let (report, artifacts) = (call.report(), call.artifacts());
            test.database.record_done(&report, &artifacts, Some(&[0.5; 192]), &[], worker, token).await?;
        }
        Ok::<_, Failure>(())
    };
    try_join_all(["w1", "w2", "w3", "w4", "w5"].map(attempt)).await?;
    assert_eq!(test.count("SELECT count(*) FROM recordings").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM analyses WHERE status = 'done' AND unfinished = 0").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 3);
    assert_eq!(test.count("SELECT count(*) FROM channels").await?, 2);
    assert_eq!(test.count("SELECT count(*) FROM channels WHERE latest AND scored AND role = 'customer'").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM segments_2025_03").await?, 3, "rows lie in the call's month");
    assert_eq!(test.database.begin_attempt(&call.job(), "w6").await?, Attempt::AlreadyDone);
    Ok(())
}

#[tokio::test]
async fn attempts_that_never_end_are_counted_until_one_ends() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let job = Call::angry("a.wav").job();
    for number in 1..=3 {
        assert_eq!(number_of(&test.database.begin_attempt(&job, "w").await?), Some(number));
    }
    let last = token(&test.database, job.job_id).await;
    assert!(test.database.note_retry(job.job_id, &failure(FailureCode::StoreUnreachable), last).await?);
    assert_eq!(number_of(&test.database.begin_attempt(&job, "w").await?), Some(1));
    assert_eq!(test.count("SELECT attempts::bigint FROM analyses").await?, 4);
    assert_eq!(test.count("SELECT retries::bigint FROM analyses").await?, 1);
    Ok(())
}

#[tokio::test]
async fn ten_attempts_at_once_are_counted_each() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let job = Call::angry("a.wav").job();
    let begun = join_all((0..10).map(|_| test.database.begin_attempt(&job, "w"))).await;
    let mut numbers: Vec<u32> = begun
        .into_iter()
        .map(|attempt| match attempt {
            Ok(Attempt::Begin(Begun { number, .. })) => number,
            other => panic!("not begun: {other:?}"),
        })
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test]
async fn a_stale_failure_does_not_undo_what_is_done() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    test.database.begin_attempt(&call.job(), "w1").await?;
    call.record_result(&test.database, "w1").await?;
    test.database.record_failed(&call.job(), &failure(FailureCode::AudioCorrupt), "w2", None).await?;
    let job = call.job().job_id;
    let stale = token(&test.database, job).await;
    assert!(!test.database.note_retry(job, &failure(FailureCode::StoreUnreachable), stale).await?);
    for token in [Some(stale), None] {
        let late = test.database.record_failed(&call.job(), &failure(FailureCode::AudioCorrupt), "w2", token).await?;
        assert_eq!(late, RecordOutcome::Superseded);
    }
    assert_eq!(test.database.begin_attempt(&call.job(), "w3").await?, Attempt::AlreadyDone);
    assert_eq!(test.count("SELECT count(*) FROM analyses WHERE failure_code IS NULL AND worker = 'w1'").await?, 1);
    Ok(())
}

#[tokio::test]
async fn only_the_attempt_that_began_last_writes_the_row() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    let (job, id) = (call.job(), call.job().job_id);
    test.database.begin_attempt(&job, "stood still").await?;
    let stale = token(&test.database, id).await;
    test.database.begin_attempt(&job, "took over").await?;
    let current = token(&test.database, id).await;
    // Whatever the stale attempt reports is dropped
    assert_eq!(test.database.lost_row(id, stale).await?, Some(RecordOutcome::Superseded));
    assert_eq!(test.database.lost_row(id, current).await?, None);
    let (report, artifacts) = (call.report(), call.artifacts());
    let late = test.database.record_done(&report, &artifacts, None, &[], "stood still", stale).await?;
    assert_eq!(late, RecordOutcome::Superseded);
    let late =
        test.database.record_failed(&job, &failure(FailureCode::AudioCorrupt), "stood still", Some(stale)).await?;
    assert_eq!(late, RecordOutcome::Superseded);
    assert!(!test.database.note_retry(id, &failure(FailureCode::StoreUnreachable), stale).await?);
    let untouched = "SELECT count(*) FROM analyses WHERE status = 'running' AND worker = 'took over' AND retries = 0";
    assert_eq!(test.count(untouched).await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 0);
    // and so is a failure from outside of any attempt
    assert_eq!(
        test.database.record_failed(&job, &failure(FailureCode::AudioCorrupt), "", None).await?,
        RecordOutcome::Superseded
    );
    // The current attempt records, also when the answer was lost and it records again
    for _ in 0..2 {
        let recorded = test.database.record_done(&report, &artifacts, None, &[], "took over", current).await?;
        assert_eq!(recorded, RecordOutcome::Recorded);
    }
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 3);
    // until the job is asked for again
    test.database.register(&batch("night"), std::slice::from_ref(&job), true).await?;
    let late = test.database.record_done(&report, &artifacts, None, &[], "took over", current).await?;
    assert_eq!(late, RecordOutcome::Unowned);
    Ok(())
}

#[tokio::test]
async fn a_repetition_keeps_the_result_until_another_is_recorded() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let call = Call::angry("a.wav");
    let (job, id) = (call.job(), call.job().job_id);
    call.record(&test.database, &Rulebook::default()).await?;
    let result = "SELECT count(*) FROM analyses WHERE status = 'done' AND emotion = 'angry' AND failure_code IS NULL";
    let state = async || {
        let row: (String, Option<String>, i32) = sqlx::query_as("SELECT state, repeat_failure_code, run FROM analyses")
            .fetch_one(test.database.pool())
            .await?;
        Ok::<_, sqlx::Error>(row)
    };
    // Asked for again, begun, retried and failed: the result stays
    assert_eq!(test.database.register(&batch("again"), std::slice::from_ref(&job), true).await?, [id]);
    assert_eq!((state().await?, test.count(result).await?), (("queued".into(), None, 1), 1));
    let progress = test.database.batch_progress(&batch("again").id).await?;
    assert_eq!((progress.queued, progress.done, progress.is_complete()), (1, 0, false));
    let begun = test.database.begin_attempt(&job, "w2").await?.begun().cloned().expect("begun");
    assert_eq!((begun.run, begun.earlier), (1, Some(call.artifacts())));
    assert_eq!((state().await?.0, test.count(result).await?), ("running".into(), 1));
    test.database.note_retry(id, &failure(FailureCode::StoreUnreachable), begun.token).await?;
    assert_eq!(state().await?, ("retrying".into(), Some("store.unreachable".into()), 1));
    test.database.record_failed(&job, &failure(FailureCode::ObjectNotFound), "w2", Some(begun.token)).await?;
    assert_eq!((state().await?, test.count(result).await?), (("done".into(), Some("object.not_found".into()), 1), 1));
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 3);
    let progress = test.database.batch_progress(&batch("again").id).await?;
    assert_eq!((progress.done, progress.failed, progress.repeats_failed), (1, 0, 1));
    let rows = test.database.results(&batch("again").id, None, 10).await?;
    assert_eq!(rows[0].repeat_failure.as_ref().map(|f| f.code), Some(FailureCode::ObjectNotFound));
    assert_eq!((rows[0].emotion, rows[0].failure.as_ref()), (Some(Emotion::Angry), None));
    // Its dead letter replayed, it succeeds: the failure is gone with the earlier result
    assert_eq!(test.database.requeue(&[id]).await?, 1);
    assert_eq!(state().await?, ("queued".into(), None, 2));
    let begun = test.database.begin_attempt(&job, "w3").await?.begun().cloned().expect("begun");
    test.database.record_done(&call.report(), &call.artifacts(), None, &[], "w3", begun.token).await?;
    assert_eq!((state().await?, test.count(result).await?), (("done".into(), None, 2), 1));
    assert_eq!(test.database.requeue(&[id]).await?, 0, "what is done and did not fail again stays");
    Ok(())
}

#[tokio::test]
async fn a_failure_is_kept_with_its_code_even_for_a_job_nobody_registered() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let job = Call::angry("a.wav").job();
    let corrupt = Failure::new(FailureCode::AudioCorrupt, "frame 3 of 9\0is broken");
    test.database.record_failed(&job, &corrupt, "w", None).await?;
    test.database.record_failed(&job, &corrupt, "w", None).await?;
    let known = Failure::new(FailureCode::AudioCorrupt, "frame 3 of 9 is broken");
    assert_eq!(test.database.begin_attempt(&job, "w").await?, Attempt::AlreadyFailed(known));
    // When its dead letter is replayed
    assert_eq!(test.database.requeue(&[job.job_id]).await?, 1);
    assert_eq!(number_of(&test.database.begin_attempt(&job, "w").await?), Some(1));
    Ok(())
}

#[tokio::test]
async fn ten_thousand_jobs_register_quickly_and_a_second_time_add_nothing() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let jobs: Vec<Job> = (0..10_000).map(|i| Call::new(&format!("{i:05}.wav")).job()).collect();
    let began = std::time::Instant::now();
    let wanted = test.database.register(&batch("night"), &jobs, false).await?;
    let took = began.elapsed();
    assert_eq!(wanted, jobs.iter().map(|j| j.job_id).collect::<Vec<_>>());
    assert!(took.as_secs() < 20, "10,000 jobs took {took:?}");
    // A producer that died before it published is made up for
    assert_eq!(test.database.register(&batch("night"), &jobs[..700], false).await?.len(), 700);
    test.database.mark_published(&wanted).await?;
    assert!(test.database.register(&batch("night"), &jobs, false).await?.is_empty());
    assert!(test.database.register(&batch("another name"), &jobs, false).await?.is_empty());
    assert_eq!(test.count("SELECT count(*) FROM batches").await?, 1);
    assert_eq!(test.count("SELECT count(*) FROM analyses").await?, 10_000);
    println!("registered 10,000 jobs in {took:?}");
    Ok(())
}

#[tokio::test]
async fn registering_the_same_keys_from_two_producers_publishes_each_once() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let jobs: Vec<Job> = (0..2_000).map(|i| Call::new(&format!("{i:05}.wav")).job()).collect();
    let reversed: Vec<Job> = jobs.iter().rev().cloned().collect();
    let (night, other) = (batch("night"), batch("night"));
    let (first, second) =
        tokio::join!(test.database.register(&night, &jobs, false), test.database.register(&other, &reversed, false));
    let (first, second) = (first?.len(), second?.len());
    assert!(first + second >= 2_000, "{first} and {second}");
    assert_eq!(test.count("SELECT count(*) FROM analyses").await?, 2_000);
    Ok(())
}

#[tokio::test]
async fn a_key_named_twice_in_a_manifest_is_one_job() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let job = Call::new("a.wav").job();
    let wanted = test.database.register(&batch("night"), &[job.clone(), job.clone()], false).await?;
    assert_eq!(wanted, [job.job_id]);
    Ok(())
}

#[tokio::test]
async fn force_asks_for_ended_jobs_again_and_leaves_those_under_way() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let (done, failed, running) = (Call::angry("done.wav"), Call::angry("failed.wav"), Call::angry("running.wav"));
    let jobs = [done.job(), failed.job(), running.job()];
    test.database.register(&batch("night"), &jobs, false).await?;
    test.database.mark_published(&jobs.each_ref().map(|j| j.job_id)).await?;
    for job in &jobs {
        test.database.begin_attempt(job, "w").await?;
    }
    done.record_result(&test.database, "w").await?;
    let last = token(&test.database, failed.job().job_id).await;
    test.database.record_failed(&failed.job(), &failure(FailureCode::AudioEmpty), "w", Some(last)).await?;
    let again = test.database.register(&batch("once more"), &jobs, true).await?;
    assert_eq!(again, [jobs[0].job_id, jobs[1].job_id]);
    let progress = test.database.batch_progress(&batch("once more").id).await?;
    assert_eq!((progress.total, progress.queued), (2, 2));
    // and a repeated result replaces the first one
    test.database.begin_attempt(&done.job(), "w").await?;
    done.record_result(&test.database, "w").await?;
    assert_eq!(test.count("SELECT count(*) FROM segments").await?, 3);
    Ok(())
}

#[tokio::test]
async fn a_worker_may_begin_before_the_producer_has_noted_the_publication() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let job = Call::angry("a.wav").job();
    test.database.register(&batch("night"), std::slice::from_ref(&job), false).await?;
    test.database.begin_attempt(&job, "w").await?;
    // The producer dies here and is run again: the job is evidently in the queue
    assert!(test.database.register(&batch("night"), std::slice::from_ref(&job), false).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn progress_batches_and_results_tell_where_a_batch_stands() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let calls = ["a.wav", "b.wav", "c.wav", "d.wav"].map(Call::angry);
    let jobs = calls.each_ref().map(Call::job);
    test.database.register(&batch("night"), &jobs, false).await?;
    test.database.begin_attempt(&jobs[0], "w").await?;
    test.database
        .record_done(
            &calls[0].report(),
            &calls[0].artifacts(),
            Some(&[1.0, 2.0]),
            &[],
            "w",
            token(&test.database, calls[0].report().job_id).await,
        )
        .await?;
    test.database.begin_attempt(&jobs[1], "w").await?;
    let last = token(&test.database, jobs[1].job_id).await;
    test.database.record_failed(&jobs[1], &failure(FailureCode::AudioEmpty), "w", Some(last)).await?;
    test.database.begin_attempt(&jobs[2], "w").await?;

    let progress = test.database.batch_progress(&jobs[0].batch_id).await?;
    assert_eq!((progress.total, progress.queued, progress.running, progress.done, progress.failed), (4, 1, 1, 1, 1));
    assert!(progress.first_started_at.is_some() && progress.oldest_queued_at.is_some() && !progress.is_complete());

    let latest = test.database.latest_batch().await?.expect("a batch");
    assert_eq!((latest.name.as_str(), latest.total, latest.done, latest.failed), ("night", 4, 1, 1));
    assert_eq!(test.database.find_batch("night").await?, Some(latest.clone()));
    assert_eq!(test.database.find_batch(&latest.id.to_string()).await?, Some(latest.clone()));
    assert_eq!(test.database.find_batch("day").await?, None);
    assert_eq!(test.database.batches(10).await?, [latest]);

    let rows = test.database.results(&jobs[0].batch_id, None, 3).await?;
    assert_eq!(rows.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["a.wav", "b.wav", "c.wav"]);
    assert_eq!(rows.each_status(), [Status::Done, Status::Failed, Status::Running]);
    assert_eq!(rows[0].emotion, Some(Emotion::Angry));
    assert_eq!(rows[0].channels.len(), 2);
    assert_eq!((rows[0].channels[0].scored, rows[0].channels[1].scored), (false, true));
    assert_eq!((rows[0].channels[1].emotion, rows[0].channels[1].segments), (Some(Emotion::Angry), 3));
    assert_eq!(rows[1].failure.as_ref().map(|f| f.code), Some(FailureCode::AudioEmpty));
    let next = test.database.results(&jobs[0].batch_id, rows.last(), 3).await?;
    assert_eq!(next.iter().map(|r| r.key.as_str()).collect::<Vec<_>>(), ["d.wav"]);
    Ok(())
}

#[tokio::test]
async fn pages_of_results_give_each_job_once_in_order_whatever_their_size() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    // Given two jobs for some recordings, so that a page may end between them
    let keys: Vec<String> = (0..7).map(|i| format!("{i}.wav")).collect();
    let mut jobs: Vec<Job> = keys.iter().map(|key| Call::new(key).job()).collect();
    jobs.extend(keys[2..5].iter().map(|key| Call::new(key).with_model("large").job()));
    test.database.register(&batch("night"), &jobs, false).await?;
    let whole = test.database.results(&jobs[0].batch_id, None, 100).await?;
    assert_eq!(whole.len(), 10);
    assert!(whole.is_sorted_by_key(|row| (row.key.clone(), row.job_id.0)));
    for size in 1..=4 {
        let mut paged = Vec::new();
        loop {
            let page = test.database.results(&jobs[0].batch_id, paged.last(), size).await?;
            let more = page.len() == size as usize;
            paged.extend(page);
            if !more {
                break;
            }
        }
        assert_eq!(paged, whole, "pages of {size}");
    }
    Ok(())
}

trait EachStatus {
    fn each_status(&self) -> Vec<Status>;
}

impl EachStatus for Vec<adapters::postgres::ResultRow> {
    fn each_status(&self) -> Vec<Status> {
        self.iter().map(|row| row.status).collect()
    }
}

#[tokio::test]
async fn an_unreachable_server_is_named_as_such_and_quickly() -> anyhow::Result<()> {
    let unused = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let toml = format!("[postgres]\nurl = \"postgres://u:hunter2@{unused}/d\"\nconnect_timeout_s = 2");
    let settings = settings::Settings::from_toml(&toml)?.postgres;
    let began = Utc::now();
    let failure = adapters::postgres::Database::connect(&settings).await.expect_err("nobody listens");
    assert_eq!(failure.code, FailureCode::DatabaseUnreachable);
    assert!(!failure.message.contains("hunter2"));
    assert!((Utc::now() - began).num_seconds() < 10);
    Ok(())
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended() -> anyhow::Result<()> {
    let test = TestDatabase::create().await?;
    let mut settings = test.settings.clone();
    settings.statement_timeout_s = 1;
    let database = adapters::postgres::Database::connect(&settings).await?;
    let error = sqlx::query("SELECT pg_sleep(5)").execute(database.pool()).await.expect_err("ended by the server");
    assert_eq!(error.as_database_error().and_then(DatabaseError::code).as_deref(), Some("57014"));
    Ok(())
}

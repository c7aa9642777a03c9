//! `./run.sh model use`: workers change to another model while jobs are open, and no job is lost.

use adapters::amqp::Lane;
use adapters::postgres::NewBatch;
use anyhow::{Context, Result};
use domain::{AnalysisOptions, BatchId, CallData, Granularity, Job, ObjectRef};
use tests::ledger::{Entry, Ledger};
use tests::rig::Rig;
use tests::speech;

const JOBS: usize = 40;
/// A model as the exporter writes it, narrow, with random weights.
const OTHER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../worker/tests/models/fp32");
const OTHER_NAME: &str = "narrow_fp32";
const DEFAULT_NAME: &str = "emofleet-default";

/// Jobs for the model of `rig.direct`.
async fn jobs(rig: &Rig, batch: &str, count: usize) -> Result<Ledger> {
    let bytes = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:3"])?;
    Ledger::hand_in(rig, batch, &vec![Entry { bytes, code: None }; count]).await
}

/// A job that the database takes for published, and that is in no queue yet: no worker can finish it.
async fn published_too_late(rig: &Rig) -> Result<Job> {
    let (bucket, key) = (rig.direct.s3.bucket.clone(), "late.wav".to_owned());
    let bytes = speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", "atrim=0:3"])?;
    let etag = Some(rig.store.put_bytes(&bucket, &key, bytes, "audio/wav").await?);
    let model = rig.direct.model.name.clone();
    let options = AnalysisOptions { model, channels: None, granularity: Granularity::Utterance, embedding: false };
    let (batch, object) = (BatchId::from_name("late"), ObjectRef { bucket, key, etag });
    let job = Job::new(batch, object, CallData::default(), options, chrono::Utc::now());
    let row = NewBatch { id: batch, name: "late".into(), source: "test".into() };
    rig.database.register(&row, std::slice::from_ref(&job), false).await?;
    rig.database.mark_published(&[job.job_id]).await?;
    Ok(job)
}

/// How many jobs were done by the model of this name.
async fn done_by(rig: &Rig, model: &str) -> Result<usize> {
    let query = "SELECT count(*) FROM analyses WHERE status = 'done' AND model_name = $1";
    let count: i64 = sqlx::query_scalar(query).bind(model).fetch_one(rig.database.pool()).await?;
    Ok(usize::try_from(count)?)
}

/// The model that a program was started with; the default has no name in the environment.
fn model_of(rig: &Rig, program: &str) -> Result<String> {
    let environment = rig.environment_of(program).with_context(|| format!("{program} does not run"))?;
    Ok(environment.get("EMOFLEET__MODEL__NAME").map_or(DEFAULT_NAME, String::as_str).to_owned())
}

fn refused(rig: &Rig, arguments: &[&str]) -> String {
    rig.script("stack/model.sh", arguments).expect_err("refused").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_change_to_another_model_and_back_while_jobs_are_open_and_none_is_lost() -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    for worker in ["1", "2"] {
        rig.script("stack/worker.sh", &["start", worker])?;
    }
    rig.script("stack/console.sh", &["start"])?;
    let before = jobs(&rig, "before", JOBS).await?;
    before.until(&rig, 2).await?;
    assert!(before.ended(&rig).await? < JOBS, "the jobs are all done before the change begins");

    let printed = rig.script("stack/model.sh", &["use", OTHER])?;

    assert!(printed.contains("The fleet can run this model."), "{printed}");
    assert_eq!(before.ended(&rig).await?, JOBS, "{printed}");
    assert_eq!(done_by(&rig, DEFAULT_NAME).await?, JOBS, "each by the model that it asked for");
    for program in ["worker-1", "worker-2", "console"] {
        assert_eq!(model_of(&rig, program)?, OTHER_NAME, "{program}");
    }
    rig.direct.model.name = OTHER_NAME.into();
    let after = jobs(&rig, "after", 10).await?;
    after.until(&rig, 10).await?;
    assert_eq!(done_by(&rig, OTHER_NAME).await?, 10);
    let listed = rig.script("stack/model.sh", &["list"])?;
    assert!(listed.contains(&format!("* {OTHER_NAME}")) && listed.contains("  default "), "{listed}");

    // What can't be changed leaves everything as it was
    let damaged = tempfile::tempdir()?;
    for file in ["model.onnx", "model.json"] {
        std::fs::copy(format!("{OTHER}/{file}"), damaged.path().join(file))?;
    }
    std::fs::write(damaged.path().join("model.onnx"), b"damaged")?;
    let error = refused(&rig, &["use", &damaged.path().to_string_lossy()]);
    assert!(error.contains("don't belong together") && error.contains("Nothing was changed"), "{error}");
    assert!(refused(&rig, &["use", "emotion3vec"]).contains("there is no model 'emotion3vec'"));
    let waiting = published_too_late(&rig).await?;
    let error = refused(&rig, &["use", "default", "--timeout", "1s"]);
    assert!(error.contains("are still open after 1s") && error.contains("Nothing was changed"), "{error}");
    for program in ["worker-1", "worker-2", "console"] {
        assert_eq!(model_of(&rig, program)?, OTHER_NAME, "{program}");
    }

    rig.publisher.publish_job(&waiting, Lane::Bulk).await?;
    rig.script("stack/model.sh", &["use", "default"])?;
    assert_eq!(done_by(&rig, OTHER_NAME).await?, 11);
    assert_eq!(model_of(&rig, "worker-1")?, DEFAULT_NAME);

    // Jobs for a model that no worker runs wait for it
    let left = jobs(&rig, "left", 5).await?;
    let status = rig.script("run.sh", &["producer", "status"])?;
    assert!(status.contains(&format!("5 jobs wait for model {OTHER_NAME}; no worker consumes its queue")), "{status}");
    rig.script("stack/model.sh", &["use", OTHER, "--now"])?;
    left.until(&rig, 5).await?;
    assert_eq!(done_by(&rig, OTHER_NAME).await?, 16);
    let again = "SELECT count(*) FROM analyses WHERE attempts > 1 OR retries > 0 OR status <> 'done'";
    let again: i64 = sqlx::query_scalar(again).fetch_one(rig.database.pool()).await?;
    assert_eq!(again, 0, "no change of the model cost an attempt");
    for ledger in [before, after, left] {
        let audit = ledger.audit(&rig).await?;
        assert_eq!((audit.lost, audit.duplicated), (0, 0));
    }
    Ok(())
}

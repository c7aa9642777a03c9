//! Nothing lost, nothing twice: a batch of real jobs through every fault that an operator meets, one test for each, on a
//! private stack of its own that the test may break. Each prints its row of the table in docs/delivery.md.

use anyhow::{Context, Result, bail};
use domain::JobId;
use std::time::{Duration, Instant};
use tests::ledger::{Audit, Entry, Ledger};
use tests::proxy::Mode;
use tests::rig::Rig;
use tests::small_disk::SmallDisk;
use tests::speech;
use tokio::time::sleep;

const JOBS: usize = 200;
const WORKERS: usize = 2;
/// A sixteenth is bad, so that true reasons can be told from false ones.
const BAD_EVERY: usize = 16;

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    KillWorkers,
    RestartBroker,
    RestartPostgres,
    S3Unavailable,
    S3Stalls,
    S3CutsBodies,
    NetworkCut,
    DiskFull,
    PoisonousJob,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::KillWorkers => "workers killed with -9, ten times",
            Self::RestartBroker => "RabbitMQ killed and started",
            Self::RestartPostgres => "Postgres restarted",
            Self::S3Unavailable => "S3 answers 503 for 6 s",
            Self::S3Stalls => "S3 stalls for 8 s",
            Self::S3CutsBodies => "S3 cuts every body, for 6 s",
            Self::NetworkCut => "network cut for 20 s",
            Self::DiskFull => "temporary disk full for 6 s",
            Self::PoisonousJob => "a job that kills its worker",
        }
    }

    /// Whether some jobs must need another attempt. The other faults may be waited out by the worker or by the S3 client,
    /// or fall between two jobs.
    fn costs_attempts(self) -> bool {
        matches!(self, Self::KillWorkers | Self::NetworkCut | Self::PoisonousJob)
    }

    /// Breaks something, and repairs it again.
    async fn happen(self, rig: &mut Rig, disk: Option<&SmallDisk>, ledger: &Ledger) -> Result<()> {
        let seconds = Duration::from_secs;
        match self {
            Self::None => {}
            Self::KillWorkers => {
                for kill in 0..10 {
                    sleep(Duration::from_millis(400 + 173 * (kill as u64 % 5))).await;
                    rig.kill_worker(kill)?;
                    rig.start_worker()?;
                }
            }
            Self::RestartBroker => {
                rig.service("rabbitmq", "kill").await?;
                rig.service("rabbitmq", "start").await?;
            }
            Self::RestartPostgres => rig.service("postgres", "restart").await?,
            Self::S3Unavailable => during(&rig.s3, Mode::Unavailable, seconds(6)).await,
            Self::S3Stalls => during(&rig.s3, Mode::Stall, seconds(8)).await,
            Self::S3CutsBodies => during(&rig.s3, Mode::CutAfter(900), seconds(6)).await,
            Self::NetworkCut => {
                for proxy in [&rig.broker, &rig.postgres, &rig.s3] {
                    proxy.set(Mode::Cut);
                }
                sleep(seconds(20)).await;
                for proxy in [&rig.broker, &rig.postgres, &rig.s3] {
                    proxy.set(Mode::Pass);
                }
            }
            Self::DiskFull => {
                let disk = disk.context("this fault needs a small disk")?;
                disk.fill()?;
                sleep(seconds(6)).await;
                disk.empty()?;
            }
            Self::PoisonousJob => {
                let poison = ledger.job_that_ends_with(POISON).context("the batch holds a poisonous job")?;
                for attempt in 1..=3 {
                    until_begun(rig, poison, attempt).await?;
                    rig.kill_worker_of(poison).await?;
                    rig.start_worker()?;
                }
            }
        }
        Ok(())
    }
}

/// Waits until the job has begun for the `attempt`th time.
async fn until_begun(rig: &Rig, job: JobId, attempt: i32) -> Result<()> {
    let query = "SELECT attempts FROM analyses WHERE job_id = $1";
    for _ in 0..1200 {
        let attempts: i32 = sqlx::query_scalar(query).bind(job.0).fetch_one(rig.database.pool()).await?;
        if attempts >= attempt {
            return Ok(());
        }
        sleep(Duration::from_millis(50)).await;
    }
    bail!("attempt {attempt} did not begin within a minute")
}

async fn during(proxy: &tests::proxy::Proxy, mode: Mode, time: Duration) {
    proxy.set(mode);
    sleep(time).await;
    proxy.set(Mode::Pass);
}

/// The failure code of a job on which workers die.
const POISON: &str = "job.killed_worker";

/// The batch for a fault. The poisonous job is long enough for its worker to be killed meanwhile.
fn batch(fault: Fault, recordings: &[Entry]) -> Result<Vec<Entry>> {
    let mut entries = recordings.to_vec();
    if matches!(fault, Fault::PoisonousJob) {
        entries[JOBS / 2] = Entry { bytes: speech::call(1200)?, code: Some(POISON) };
    }
    Ok(entries)
}

/// Short utterances, and among them files that must fail with their own code.
fn recordings() -> Result<Vec<Entry>> {
    let (good, bad) = (speech::utterances()?, speech::damaged()?);
    Ok((0..JOBS)
        .map(|i| {
            if i % BAD_EVERY == BAD_EVERY - 1 {
                let (bytes, code) = bad[i / BAD_EVERY % bad.len()].clone();
                Entry { bytes, code: Some(code) }
            } else {
                Entry { bytes: good[i % good.len()].clone(), code: None }
            }
        })
        .collect())
}

/// Puts a batch through a fault, and compares rows, dead letters and artifacts with what was handed in.
async fn withstand(fault: Fault) -> Result<()> {
    let mut rig = Rig::bring_up().await?;
    let disk = matches!(fault, Fault::DiskFull).then(SmallDisk::mount).transpose()?;
    if let Some(disk) = &disk {
        rig.environment.insert("EMOFLEET__WORKER__TEMP_DIR".into(), disk.folder());
    }
    let ledger = Ledger::hand_in(&rig, &format!("{fault:?}").to_lowercase(), &batch(fault, &recordings()?)?).await?;
    let begun = Instant::now();
    for _ in 0..WORKERS {
        rig.start_worker()?;
    }
    ledger.until(&rig, JOBS / 10).await?;
    fault.happen(&mut rig, disk.as_ref(), &ledger).await?;
    // Recovered: at least one more job has ended than when the fault was over.
    let at_end = ledger.ended(&rig).await.unwrap_or_default();
    let recovery = ledger.until(&rig, at_end + 1).await?;
    ledger.until(&rig, JOBS).await?;
    let took = begun.elapsed();
    // While the workers run: the last dead letter is published after its row is written.
    let audit = ledger.audit(&rig).await?;
    rig.kill_workers()?;
    println!("| fault | jobs | lost | duplicated | repeated | time to recover | whole batch |");
    println!("{}", row(fault.name(), audit, recovery, took));
    assert_eq!((audit.lost, audit.duplicated), (0, 0), "{}", fault.name());
    assert!(audit.repeated > 0 || !fault.costs_attempts(), "no job was affected by: {}", fault.name());
    Ok(())
}

fn row(name: &str, audit: Audit, recovery: Duration, took: Duration) -> String {
    let Audit { jobs, lost, duplicated, repeated } = audit;
    let (recovery, took) = (recovery.as_secs_f64(), took.as_secs_f64());
    format!("| {name} | {jobs} | {lost} | {duplicated} | {repeated} | {recovery:.1} s | {took:.0} s |")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_fault_nothing_is_lost_and_nothing_is_twice() -> Result<()> {
    withstand(Fault::None).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_nothing_and_do_nothing_twice() -> Result<()> {
    withstand(Fault::KillWorkers).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::RestartBroker).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_database_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::RestartPostgres).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_answers_503_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::S3Unavailable).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_stalls_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::S3Stalls).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cuts_bodies_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::S3CutsBodies).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_is_cut_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::NetworkCut).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_loses_nothing_and_does_nothing_twice() -> Result<()> {
    withstand(Fault::DiskFull).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_worker_harms_no_other_job() -> Result<()> {
    withstand(Fault::PoisonousJob).await
}

//! Nothing lost, nothing twice: a batch of real jobs through every fault that an operator meets,
//! on a private stack that this test may break. Prints a table.

use anyhow::{Context, Result, bail};
use domain::JobId;
use std::time::{Duration, Instant};
use tests::ledger::{Audit, Entry, Ledger};
use tests::proxy::Mode;
use tests::rig::Rig;
use tests::speech;
use tokio::time::sleep;

const JOBS: usize = 300;
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
    const ALL: [Self; 10] = [
        Self::None,
        Self::KillWorkers,
        Self::RestartBroker,
        Self::RestartPostgres,
        Self::S3Unavailable,
        Self::S3Stalls,
        Self::S3CutsBodies,
        Self::NetworkCut,
        Self::DiskFull,
        Self::PoisonousJob,
    ];

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

    /// Whether it must show in the attempts that jobs needed. The others may be waited out by the
    /// worker or by the S3 client, or fall between two jobs.
    fn costs_attempts(self) -> bool {
        matches!(self, Self::KillWorkers | Self::NetworkCut | Self::PoisonousJob)
    }

    /// Breaks something, and mends it again.
    async fn happen(self, rig: &mut Rig, disk: &SmallDisk, ledger: &Ledger) -> Result<()> {
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

/// A file system of 64 MiB for the workers' temporary files.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        speech::run("mount", &["-t", "tmpfs", "-o", "size=64m", "tmpfs", &folder.path().to_string_lossy()])?;
        Ok(Self(folder))
    }

    fn fill(&self) -> Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::File::create(self.0.path().join("filler"))?;
        let block = vec![0; 1 << 16];
        while file.write_all(&block).is_ok() {}
        // The rest of the last block, to the byte.
        while file.write_all(&[0; 64]).is_ok() {}
        Ok(())
    }

    fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.0.path().join("filler"))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if let Err(error) = speech::run("umount", &["-l", &self.0.path().to_string_lossy()]) {
            eprintln!("{error:#}");
        }
    }
}

/// What must become of a job on which workers die.
const POISON: &str = "job.killed_worker";

/// The batch for a fault: with the poisonous one, a recording long enough to be killed over.
fn batch(fault: Fault, recordings: &[Entry]) -> Result<Vec<Entry>> {
    let mut entries = recordings.to_vec();
    if matches!(fault, Fault::PoisonousJob) {
        entries[JOBS / 2] = Entry { bytes: speech::call(1200)?, code: Some(POISON) };
    }
    Ok(entries)
}

/// Short utterances, and among them files that must fail for their own reason.
fn recordings() -> Result<Vec<Entry>> {
    let good: Vec<Vec<u8>> = (0..6)
        .map(|pitch| {
            let filter = format!("atrim=0:{}", 1.2 + f64::from(pitch) * 0.2);
            speech::encoded("a.wav", &["-ar", "16000", "-bitexact", "-af", &filter])
        })
        .collect::<Result<_>>()?;
    let bad = [
        (Vec::new(), "audio.empty"),
        (b"not a recording\n".repeat(40), "audio.not_audio"),
        (good[0][..good[0].len() / 2].to_vec(), "audio.truncated"),
    ];
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_nothing_is_twice() -> Result<()> {
    let disk = SmallDisk::mount()?;
    let mut rig = Rig::bring_up().await?;
    rig.environment.insert("EMOFLEET__WORKER__TEMP_DIR".into(), disk.0.path().to_string_lossy().into_owned());
    let recordings = recordings()?;
    let mut table = Vec::new();
    for fault in Fault::ALL {
        let name = format!("{fault:?}").to_lowercase();
        let ledger = Ledger::hand_in(&rig, &name, &batch(fault, &recordings)?).await?;
        let begun = Instant::now();
        for _ in 0..WORKERS {
            rig.start_worker()?;
        }
        ledger.until(&rig, JOBS / 10).await?;
        fault.happen(&mut rig, &disk, &ledger).await?;
        // Recovered: at least one job more than when the fault ended.
        let at_end = ledger.ended(&rig).await.unwrap_or_default();
        let recovery = ledger.until(&rig, at_end + 1).await?;
        ledger.until(&rig, JOBS).await?;
        let took = begun.elapsed();
        rig.kill_workers()?;
        let audit = ledger.audit(&rig).await?;
        println!("{}", row(fault.name(), audit, recovery, took));
        table.push((fault, audit, recovery, took));
    }
    let head = ["jobs", "lost", "duplicated", "repeated", "time to recover", "whole"];
    println!(
        "\n{:<36} {:>5} {:>5} {:>11} {:>9} {:>16} {:>8}",
        "fault", head[0], head[1], head[2], head[3], head[4], head[5]
    );
    for (fault, audit, recovery, took) in &table {
        println!("{}", row(fault.name(), *audit, *recovery, *took));
    }
    for (fault, audit, ..) in &table {
        assert_eq!((audit.lost, audit.duplicated), (0, 0), "{}", fault.name());
        assert!(audit.repeated > 0 || !fault.costs_attempts(), "nobody felt this: {}", fault.name());
    }
    Ok(())
}

fn row(name: &str, audit: Audit, recovery: Duration, took: Duration) -> String {
    let Audit { jobs, lost, duplicated, repeated } = audit;
    format!(
        "{name:<36} {jobs:>5} {lost:>5} {duplicated:>11} {repeated:>9} {:>14.1} s {:>6.0} s",
        recovery.as_secs_f64(),
        took.as_secs_f64()
    )
}

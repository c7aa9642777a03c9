//! The fleet of a run: private services, programs as processes with a supervisor, and what is needed to disturb them.

use adapters::amqp::{Lane, Topology};
use anyhow::{Context, Result};
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use std::process::Stdio;
use std::sync::{Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use super::calls::Calls;
use super::diary::Diary;
use crate::receiver::{Receiver, SECRET};
use crate::rig::Rig;
use crate::small_disk::SmallDisk;
use crate::speech;

/// Worker processes.
pub const WORKERS: usize = 2;
/// Name of the destination of alerts, and of the queue of those of the exchange.
pub const HOOK: &str = "hook";
/// Longest that a command of an operator may take. Longer ones are killed, as an operator would.
const PATIENCE: Duration = Duration::from_secs(120);
/// Seconds before retries, of a job in all longer than any fault of a run.
const RETRY_DELAYS_S: [u32; 6] = [1, 2, 4, 8, 16, 32];

const RULES: &str = r#"
[[rule]]
name = "speech"
when = { not = { silence = true } }
cooldown = "1s"

[[destination]]
name = "hook"
service = "webhook"
url_env = "CHAOS_URL"
secret_env = "CHAOS_SECRET"
"#;

/// A program of the fleet.
pub struct Program {
    /// `worker` or `dispatcher`.
    pub name: &'static str,
    /// The process.
    pub child: Child,
}

/// Faults of one service happen one after the other.
#[derive(Default)]
pub struct Lanes {
    /// RabbitMQ.
    pub broker: Mutex<()>,
    /// Postgres.
    pub postgres: Mutex<()>,
    /// S3.
    pub s3: Mutex<()>,
    /// The temporary disk.
    pub disk: Mutex<()>,
}

/// How a command of an operator ended.
#[derive(Debug)]
pub struct Ended {
    /// Exit code; `None` when it was killed.
    pub code: Option<i32>,
    /// What it printed.
    pub said: String,
}

/// Everything of a run.
pub struct Stage {
    /// Services and proxies.
    pub rig: Rig,
    /// The calls.
    pub calls: Calls,
    /// How many are enqueued together.
    pub chunk: usize,
    /// Where alerts go.
    pub receiver: Receiver,
    /// The workers' temporary files.
    pub disk: SmallDisk,
    /// One fault of a service at a time.
    pub lanes: Lanes,
    /// When the run began.
    pub begun: Instant,
    /// Programs that run, or have ended unasked. A program that an event has in hand is not here.
    pub programs: Mutex<Vec<Program>>,
    diary: StdMutex<Diary>,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Brings up services and uploads the recordings. No program runs yet.
    ///
    /// # Errors
    /// When a service or the right to mount is missing.
    pub async fn set(jobs: usize, chunk: usize) -> Result<Self> {
        for program in ["producer", "dispatcher"] {
            crate::programs::built(program)?;
        }
        let mut rig = Rig::bring_up().await?;
        let (receiver, disk, folder) = (Receiver::start().await?, SmallDisk::mount()?, tempfile::tempdir()?);
        let rules = folder.path().join("alerts.toml");
        std::fs::write(&rules, RULES)?;
        rig.direct.amqp.retry_delays_s = RETRY_DELAYS_S.to_vec();
        let delays = RETRY_DELAYS_S.map(|delay| delay.to_string()).join(",");
        for (name, value) in [
            ("EMOFLEET__AMQP__RETRY_DELAYS_S", format!("[{delays}]")),
            ("EMOFLEET__ALERTS__RULES", rules.to_string_lossy().into_owned()),
            ("EMOFLEET__WORKER__TEMP_DIR", disk.folder()),
            ("EMOFLEET__WORKER__JOB_TIMEOUT_S", "60".into()),
            ("EMOFLEET__WORKER__DRAIN_TIMEOUT_S", "5".into()),
            ("EMOFLEET__DISPATCHER__HEALTH_ADDR", "127.0.0.1:0".into()),
            ("EMOFLEET__DISPATCHER__RECONCILE_S", "5".into()),
            ("EMOFLEET__DISPATCHER__RECONCILE_AFTER_S", "20".into()),
            ("EMOFLEET__DISPATCHER__TIMEOUT_S", "2".into()),
            ("EMOFLEET__DISPATCHER__RETRY_MAX_S", "5".into()),
            ("EMOFLEET__DISPATCHER__MAX_ATTEMPTS", "1000".into()),
            ("CHAOS_URL", format!("{}/webhook/{HOOK}", receiver.url)),
            ("CHAOS_SECRET", SECRET.into()),
        ] {
            rig.environment.insert(name.into(), value);
        }
        let calls = Calls::upload(&rig, jobs).await?;
        let stage = Self {
            rig,
            calls,
            chunk,
            receiver,
            disk,
            lanes: Lanes::default(),
            begun: Instant::now(),
            programs: Mutex::default(),
            diary: StdMutex::default(),
            _folder: folder,
        };
        stage.bind_alerts().await?;
        Ok(stage)
    }

    /// The diary.
    pub fn diary(&self) -> MutexGuard<'_, Diary> {
        self.diary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what must never happen.
    pub fn problem(&self, what: impl Into<String>) {
        let what = what.into();
        println!("PROBLEM at {:.1} s: {what}", self.begun.elapsed().as_secs_f64());
        self.diary().problems.push(what);
    }

    /// Copies the programs' logs to where they outlive the run.
    pub fn keep_logs(&self, seed: u64) {
        let folder = std::env::temp_dir().join(format!("emofleet-chaos-{seed}"));
        let copied = std::fs::create_dir_all(&folder).and_then(|()| {
            for program in ["worker", "dispatcher"] {
                std::fs::copy(self.rig.log_of(program), folder.join(format!("{program}s.log")))?;
            }
            Ok(())
        });
        println!("logs of the programs: {} ({copied:?})", folder.display());
    }

    /// The lane's queue.
    pub fn bulk(&self) -> String {
        Topology::new(&self.rig.direct.amqp).jobs(&Lane::Bulk.of(&self.rig.direct.model.name))
    }

    /// A connection and a channel to RabbitMQ, without the proxy.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn channel(&self) -> Result<(Connection, Channel)> {
        let url = self.rig.direct.amqp.url.expose_secret();
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }

    /// Alerts of the exchange go to a queue of the run.
    async fn bind_alerts(&self) -> Result<()> {
        let (connection, channel) = self.channel().await?;
        let mut quorum = FieldTable::default();
        quorum.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(HOOK.into(), durable, quorum).await?;
        let exchange = Topology::new(&self.rig.direct.amqp).alerts_exchange();
        let options = QueueBindOptions::default();
        channel.queue_bind(HOOK.into(), exchange.as_str().into(), "#".into(), options, FieldTable::default()).await?;
        Ok(connection.close(200, "done".into()).await?)
    }

    /// Statements as the tables' owner, over a connection of their own that may write whatever the defaults are.
    ///
    /// # Errors
    /// When Postgres refuses.
    pub async fn sql(&self, statements: &str) -> Result<()> {
        let mut connection = PgConnection::connect(self.rig.direct.postgres.url.expose_secret()).await?;
        sqlx::raw_sql("SET default_transaction_read_only = off").execute(&mut connection).await?;
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Starts a program. Its log goes to the rig's folder.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(&self, name: &'static str) -> Result<Program> {
        let mut command = Command::from(self.rig.program(name)?);
        let child =
            command.arg("run").kill_on_drop(true).spawn().with_context(|| format!("{name} can't be started"))?;
        Ok(Program { name, child })
    }

    /// Starts one more and keeps it running.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn employ(&self, name: &'static str) -> Result<()> {
        let program = self.start(name)?;
        self.programs.lock().await.push(program);
        Ok(())
    }

    /// Takes a program in hand; `which` counts round. `None`: all of that name are in the hands of other events.
    pub async fn take(&self, name: &str, which: usize) -> Option<Program> {
        let mut programs = self.programs.lock().await;
        let of_name: Vec<usize> = (0..programs.len()).filter(|i| programs[*i].name == name).collect();
        let which = *of_name.get(which % of_name.len().max(1))?;
        Some(programs.swap_remove(which))
    }

    /// Starts programs again that have ended by themselves, as a supervisor does. Says which.
    ///
    /// # Errors
    /// When one can't be started.
    pub async fn supervise(&self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for program in self.programs.lock().await.iter_mut() {
            if let Some(status) = program.child.try_wait()? {
                ended.push(format!("{} {status}", program.name));
                *program = self.start(program.name)?;
            }
        }
        Ok(ended)
    }

    /// Runs `producer` as an operator does, who may kill it.
    ///
    /// # Errors
    /// When it can't be started.
    pub async fn producer(&self, arguments: &[&str], killed_after: Option<u64>) -> Result<Ended> {
        let mut command = Command::from(self.rig.program("producer")?);
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let limit = killed_after.map_or(PATIENCE, Duration::from_millis);
        // At the limit the process is dropped, and so killed.
        let output = tokio::time::timeout(limit, command.output()).await;
        let ended = match output {
            Ok(output) => {
                let output = output.context("the producer can't be started")?;
                let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
                Ended { code: Some(output.status.code().unwrap_or(-1)), said: said.concat() }
            }
            Err(_) => Ended { code: None, said: String::new() },
        };
        let command = arguments.iter().take_while(|argument| argument.chars().all(|c| c.is_ascii_lowercase()));
        let command = command.copied().collect::<Vec<_>>().join(" ");
        let code = ended.code.map_or_else(|| "killed".into(), |code| code.to_string());
        *self.diary().commands.entry((command.clone(), code)).or_default() += 1;
        for word in ["panicked", "deadlock", "foreign key", "duplicate key"] {
            if ended.said.contains(word) {
                self.problem(format!("producer {command} says `{word}`: {}", ended.said));
            }
        }
        Ok(ended)
    }
}

/// Sends a signal to a process of the run.
///
/// # Errors
/// When it has ended.
pub fn signal(child: &Child, signal: &str) -> Result<()> {
    let id = child.id().context("the process has ended")?.to_string();
    speech::run("kill", &[signal, &id])
}

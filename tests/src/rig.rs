//! A private stack that a fault test may break: services of its own, a proxy that injects faults before each, and workers
//! as processes that can be killed.

use adapters::amqp::Publisher;
use adapters::boxed;
use adapters::postgres::Database;
use adapters::s3::Store;
use anyhow::{Context, Result, bail};
use domain::JobId;
use secrecy::{ExposeSecret, SecretString};
use settings::Settings;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use url::Url;

use crate::processor_time::processor_time;
use crate::proxy::Proxy;

/// Services, proxies and workers. When it is dropped, it stops all that it started.
pub struct Rig {
    /// Settings without proxies, for the test itself.
    pub direct: Settings,
    /// Postgres, without its proxy.
    pub database: Database,
    /// S3, without its proxy.
    pub store: Store,
    /// RabbitMQ, without its proxy.
    pub publisher: Publisher,
    /// Between workers and RabbitMQ.
    pub broker: Proxy,
    /// Between workers and Postgres.
    pub postgres: Proxy,
    /// Between workers and S3.
    pub s3: Proxy,
    /// Environment of the workers.
    pub environment: BTreeMap<String, String>,
    workers: Vec<Child>,
    folder: PathBuf,
    // The last field, so that it is dropped last.
    _folder: tempfile::TempDir,
}

impl Rig {
    /// Brings up a private stack and builds the worker. No worker runs yet.
    ///
    /// # Errors
    /// When the stack does not come up; the message has its output.
    #[boxed]
    pub async fn bring_up() -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("emofleet-rig-").tempdir()?;
        let folder = temporary.path().join("stack");
        share_runtime(&folder)?;
        // Before anything runs that would have to be stopped.
        crate::programs::built("worker")?;
        // Postgres refuses to run as root and must reach its folder as somebody else.
        command("chmod", &["755", &temporary.path().to_string_lossy()], &folder)?;
        command(&project("stack/up.sh"), &[], &folder)?;
        let mut environment = exported(&folder)?;
        let get = |name: &str| environment.get(name).cloned().with_context(|| format!("the stack does not set {name}"));
        let mut direct = Settings::from_toml("")?;
        direct.amqp.url = SecretString::from(get("EMOFLEET__AMQP__URL")?);
        direct.amqp.retry_delays_s = vec![1, 2, 4, 8, 16];
        direct.postgres.url = SecretString::from(get("EMOFLEET__POSTGRES__URL")?);
        direct.s3.endpoint = get("EMOFLEET__S3__ENDPOINT")?;
        direct.s3.access_key = SecretString::from(get("EMOFLEET__S3__ACCESS_KEY")?);
        direct.s3.secret_key = SecretString::from(get("EMOFLEET__S3__SECRET_KEY")?);

        let broker = proxy(&mut environment, "EMOFLEET__AMQP__URL", 5672).await?;
        let postgres = proxy(&mut environment, "EMOFLEET__POSTGRES__URL", 5432).await?;
        let s3 = proxy(&mut environment, "EMOFLEET__S3__ENDPOINT", 80).await?;
        for (name, value) in [
            ("EMOFLEET__AMQP__RETRY_DELAYS_S", "[1,2,4,8,16]"),
            ("EMOFLEET__AMQP__HEARTBEAT_S", "4"),
            ("EMOFLEET__AMQP__RECONNECT_MAX_S", "2"),
            ("EMOFLEET__S3__STALL_TIMEOUT_S", "3"),
            ("EMOFLEET__WORKER__HEALTH_ADDR", "127.0.0.1:0"),
            ("EMOFLEET__LOG__FILTER", "info,lapin=off,aws=warn,symphonia=off"),
        ] {
            environment.insert(name.into(), value.into());
        }
        let database = Database::connect(&direct.postgres).await?;
        database.migrate().await?;
        let store = Store::new(&direct.s3)?;
        let publisher = Publisher::new(&direct.amqp);
        publisher.ready().await?;
        let workers = Vec::new();
        let rig = Self {
            direct,
            database,
            store,
            publisher,
            broker,
            postgres,
            s3,
            environment,
            workers,
            folder,
            _folder: temporary,
        };
        Ok(rig)
    }

    /// One more worker process. Its log goes to the rig's folder.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_worker(&mut self) -> Result<()> {
        self.start_worker_with(&[])
    }

    /// The same, with more variables in its environment.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start_worker_with(&mut self, more: &[(&str, &str)]) -> Result<()> {
        let mut worker = self.program("worker")?;
        let worker = worker.arg("run").envs(more.iter().copied()).spawn().context("the worker can't be started")?;
        self.workers.push(worker);
        Ok(())
    }

    /// A built program with the workers' environment and nothing of the test's. It appends to `<name>s.log` in the rig's
    /// folder.
    ///
    /// # Errors
    /// When the log can't be opened.
    pub fn program(&self, name: &str) -> Result<Command> {
        let log = std::fs::File::options().create(true).append(true).open(self.log_of(name))?;
        let mut command = Command::new(crate::programs::path(name)?);
        command.current_dir(project("")).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command
            .env_clear()
            .envs(["PATH", "HOME", "TMPDIR"].into_iter().filter_map(|n| Some((n, std::env::var_os(n)?))))
            .envs(&self.environment);
        Ok(command)
    }

    /// The log of the programs of this name.
    pub fn log_of(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}s.log"))
    }

    /// Kills a worker with -9; `which` counts round.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill_worker(&mut self, which: usize) -> Result<()> {
        if self.workers.is_empty() {
            bail!("there is no worker to kill");
        }
        let mut worker = self.workers.swap_remove(which % self.workers.len());
        let killed = worker.kill();
        worker.wait()?;
        Ok(killed?)
    }

    /// Kills the worker that began this job last, if it still runs.
    ///
    /// # Errors
    /// When the database does not answer or the worker can't be killed.
    #[boxed]
    pub async fn kill_worker_of(&mut self, job: JobId) -> Result<()> {
        let query = "SELECT worker FROM analyses WHERE job_id = $1";
        let name: String = sqlx::query_scalar(query).bind(job.0).fetch_one(self.database.pool()).await?;
        // A worker without a configured name ends its own with its process number.
        let which = self.workers.iter().position(|w| name.ends_with(&format!("-{}", w.id())));
        which.map_or(Ok(()), |which| self.kill_worker(which))
    }

    /// Settings of a worker that reaches the services without the proxies, as variables.
    pub fn without_proxies(&self) -> [(&'static str, String); 3] {
        let direct = &self.direct;
        [
            ("EMOFLEET__AMQP__URL", direct.amqp.url.expose_secret().to_owned()),
            ("EMOFLEET__POSTGRES__URL", direct.postgres.url.expose_secret().to_owned()),
            ("EMOFLEET__S3__ENDPOINT", direct.s3.endpoint.clone()),
        ]
    }

    /// Processor time so far of the workers (0) and of each service with its children, by name.
    ///
    /// # Errors
    /// When a service does not run.
    pub fn processor_time(&self) -> Result<Vec<(&'static str, Duration)>> {
        let worker = self.workers.iter().map(|worker| processor_time(worker.id())).sum::<Result<Duration>>()?;
        let mut times = vec![("worker", worker)];
        for service in ["postgres", "rabbitmq", "s3"] {
            let record = std::fs::read_to_string(self.folder.join(format!("run/{service}.pid")))?;
            let pid = record.split_whitespace().next().and_then(|pid| pid.parse().ok());
            times.push((service, processor_time(pid.with_context(|| format!("{service} does not run"))?)?));
        }
        Ok(times)
    }

    /// Resident memory of the first worker, MiB.
    pub fn resident_mib(&self) -> Option<f64> {
        crate::memory::resident_mib(self.workers.first()?.id())
    }

    /// The most that the first worker had in memory so far, MiB.
    pub fn peak_mib(&self) -> Option<f64> {
        crate::memory::peak_mib(self.workers.first()?.id())
    }

    /// Kills all workers.
    ///
    /// # Errors
    /// When one can't be killed.
    pub fn kill_workers(&mut self) -> Result<()> {
        while !self.workers.is_empty() {
            self.kill_worker(0)?;
        }
        Ok(())
    }

    /// `stop`, `start`, `restart` or `kill` of one service: `rabbitmq`, `postgres` or `s3`.
    ///
    /// # Errors
    /// When its script fails.
    #[boxed]
    pub async fn service(&self, name: &str, verb: &'static str) -> Result<()> {
        let (script, folder) = (project(&format!("stack/{name}.sh")), self.folder.clone());
        tokio::task::spawn_blocking(move || command(&script, &[verb], &folder)).await?
    }

    /// Runs a script of the project on this stack, as an operator does, and gives what it printed. Its programs are those of
    /// the tests' profile, which are built if need be.
    ///
    /// # Errors
    /// When it fails; the message has what it printed.
    pub fn script(&self, script: &str, arguments: &[&str]) -> Result<String> {
        let release = self.folder.join("target/release");
        if !release.exists() {
            std::fs::create_dir_all(&release)?;
            for program in ["worker", "producer", "console"] {
                std::os::unix::fs::symlink(crate::programs::built(program)?, release.join(program))?;
            }
        }
        let variables = [("CARGO_TARGET_DIR", self.folder.join("target"))];
        output(&project(script), arguments, &self.folder, &variables)
    }

    /// The broker's queues with their messages, ready and unacknowledged.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub fn queues(&self) -> Result<String> {
        let list =
            ["list_queues", "-q", "-p", "emofleet", "name", "messages_ready", "messages_unacknowledged", "consumers"];
        output(&project("stack/rabbitmqctl.sh"), &list, &self.folder, &[])
    }

    /// The environment of a program that a script started, like `console`; `None` when it does not run.
    pub fn environment_of(&self, program: &str) -> Option<BTreeMap<String, String>> {
        let record = std::fs::read_to_string(self.folder.join(format!("run/{program}.pid"))).ok()?;
        let text = std::fs::read(format!("/proc/{}/environ", record.split(' ').next()?)).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let pairs = text.split('\0').filter_map(|line| line.split_once('='));
        Some(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The workers' log.
    ///
    /// # Errors
    /// When no worker was started.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.log_of("worker"))?)
    }

    /// The end of the workers' log, for a failed test's message.
    pub fn log_tail(&self) -> String {
        let text = self.log().unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let killed = self.kill_workers();
        let ended = command(&project("stack/down.sh"), &[], &self.folder);
        if let Err(error) = killed.and(ended) {
            eprintln!("the rig in {} is still running: {error:#}", self.folder.display());
        }
    }
}

/// A path in the project.
pub(crate) fn project(path: &str) -> String {
    format!("{}/../{path}", env!("CARGO_MANIFEST_DIR"))
}

/// The runtime files that a stack fetched are used by all stacks. A library of the user's own is left alone: a stack writes to
/// the folder of its runtime files.
pub(crate) fn share_runtime(folder: &Path) -> Result<()> {
    let library =
        std::env::var("EMOFLEET__RUNTIME__ONNXRUNTIME").context("run ./test.sh, which sets up the runtime files")?;
    let runtime = folder.join("runtime");
    if !Path::new(&format!("{library}.from")).exists() {
        return Ok(std::fs::create_dir_all(runtime)?);
    }
    std::fs::create_dir_all(folder)?;
    let fetched = Path::new(&library).parent().context("the library is in a folder")?;
    Ok(std::os::unix::fs::symlink(fetched, runtime)?)
}

/// Runs a program on the stack in `folder`, with no service named in the environment.
pub(crate) fn command(program: &str, arguments: &[&str], folder: &Path) -> Result<()> {
    output(program, arguments, folder, &[]).map(drop)
}

/// The same, with more variables in the environment; gives what it printed.
fn output(program: &str, arguments: &[&str], folder: &Path, variables: &[(&str, PathBuf)]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null());
    // Except for the release of RabbitMQ that is to be tested.
    let ours = |name: &str| name.starts_with("EMOFLEET_") && name != "EMOFLEET_RABBITMQ";
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    let output = command
        .env("EMOFLEET_STACK_DIR", folder)
        .env("EMOFLEET_SERVICES", "native")
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .output()
        .with_context(|| format!("{program} can't be run"))?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !output.status.success() {
        bail!("{program} {arguments:?} failed:\n{said}");
    }
    Ok(said)
}

/// What the stack's `env` file exports.
fn exported(folder: &Path) -> Result<BTreeMap<String, String>> {
    let script = format!("set -a; . '{}/env'; env -0", folder.display());
    let output = Command::new("bash").args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").output()?;
    let text = String::from_utf8(output.stdout)?;
    let pairs = text.split('\0').filter_map(|line| line.split_once('='));
    Ok(pairs.filter(|(name, _)| name.starts_with("EMOFLEET__")).map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
}

/// Puts a proxy before the service whose URL is in `name`, and its address into the URL.
async fn proxy(environment: &mut BTreeMap<String, String>, name: &str, port: u16) -> Result<Proxy> {
    let mut url: Url = environment.get(name).with_context(|| format!("{name} is not set"))?.parse()?;
    let upstream = ([127, 0, 0, 1], url.port().unwrap_or(port)).into();
    let proxy = Proxy::to(upstream).await?;
    if url.set_port(Some(proxy.address.port())).is_err() {
        bail!("{name} takes no port");
    }
    environment.insert(name.into(), url.to_string().trim_end_matches('/').to_owned());
    Ok(proxy)
}

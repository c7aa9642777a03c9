//! A private RabbitMQ, for tests that change how the broker behaves.

use adapters::amqp;
use anyhow::{Context, Result};
use secrecy::SecretString;
use settings::Settings;
use std::path::{Path, PathBuf};

use crate::rig::{command, project, share_runtime};

/// A private node on free ports of loopback. It is stopped when it is dropped.
#[derive(Debug)]
pub struct OwnBroker {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl OwnBroker {
    /// Starts a node. Takes about ten seconds.
    ///
    /// # Errors
    /// When it does not come up; the message has its output.
    pub fn start() -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("emofleet-broker-").tempdir()?;
        let folder = temporary.path().join("stack");
        share_runtime(&folder)?;
        std::fs::write(folder.join("kinds"), "AMQP=native\n")?;
        // Chosen here, because stacks that start at the same time must not choose the same ports.
        let free = || Ok::<_, std::io::Error>(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        std::fs::write(folder.join("ports"), format!("amqp={}\namqp_dist={}\nepmd={}\n", free()?, free()?, free()?))?;
        let broker = Self { folder, _temporary: temporary };
        broker.verb("start")?;
        Ok(broker)
    }

    /// `start`, `stop`, `restart` or `kill`.
    ///
    /// # Errors
    /// When the script fails.
    pub fn verb(&self, verb: &str) -> Result<()> {
        command(&project("stack/rabbitmq.sh"), &[verb], &self.folder)
    }

    /// `rabbitmqctl` with these arguments.
    ///
    /// # Errors
    /// When it fails.
    pub fn control(&self, arguments: &[&str]) -> Result<()> {
        command(&project("stack/rabbitmqctl.sh"), arguments, &self.folder)
    }

    /// Whether the broker is as patient with a consumer as the consumer asks: from 4.3 on.
    pub fn takes_the_timeout_of_a_consumer(&self) -> bool {
        std::env::var("EMOFLEET_RABBITMQ").is_ok_and(|release| release == "4.3")
    }

    /// The default settings, with this node's URL.
    ///
    /// # Errors
    /// When the node's port or password is unknown.
    pub fn settings(&self) -> Result<amqp::Settings> {
        let (port, password) = (self.fact("ports", "amqp")?, self.fact("secrets", "AMQP_PASSWORD")?);
        let mut amqp = Settings::from_toml("")?.amqp;
        amqp.url = SecretString::from(format!("amqp://emofleet:{password}@127.0.0.1:{port}/emofleet"));
        amqp.reconnect_max_s = 1;
        Ok(amqp)
    }

    /// The stack's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port of AMQP.
    ///
    /// # Errors
    /// When the stack does not know it.
    pub fn port(&self) -> Result<u16> {
        Ok(self.fact("ports", "amqp")?.parse()?)
    }

    fn fact(&self, file: &str, name: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.folder.join(file))?;
        let begin = format!("{name}=");
        let value = text.lines().rev().find_map(|line| line.strip_prefix(&begin));
        value.map(str::to_owned).with_context(|| format!("{file} has no {name}"))
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        if let Err(error) = command(&project("stack/down.sh"), &[], &self.folder) {
            eprintln!("the broker in {} is still running: {error:#}", self.folder.display());
        }
    }
}

//! A private S3 server, for tests that look at how it is reached.

use adapters::s3;
use anyhow::{Context, Result};
use secrecy::SecretString;
use settings::Settings;
use std::path::{Path, PathBuf};

use crate::rig::{command, project, share_runtime};

/// Ports of its components, by the stack's names.
pub const PORTS: [&str; 8] =
    ["s3", "s3_grpc", "s3_master", "s3_master_grpc", "s3_filer", "s3_filer_grpc", "s3_volume", "s3_volume_grpc"];

/// A private server on free ports of loopback. It is stopped when it is dropped.
#[derive(Debug)]
pub struct OwnS3 {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl OwnS3 {
    /// Starts a server. Takes a few seconds.
    ///
    /// # Errors
    /// When it does not come up; the message has its output.
    pub fn start() -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("emofleet-s3-").tempdir()?;
        let folder = temporary.path().join("stack");
        share_runtime(&folder)?;
        std::fs::write(folder.join("kinds"), "S3=native\n")?;
        // All at once, so that no two are the same.
        let listeners: Vec<_> =
            PORTS.iter().map(|_| std::net::TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
        let mut ports = String::new();
        for (name, listener) in PORTS.iter().zip(&listeners) {
            ports += &format!("{name}={}\n", listener.local_addr()?.port());
        }
        drop(listeners);
        std::fs::write(folder.join("ports"), ports)?;
        let server = Self { folder, _temporary: temporary };
        command(&project("stack/s3.sh"), &["start"], &server.folder)?;
        Ok(server)
    }

    /// The stack's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The port of a component.
    ///
    /// # Errors
    /// When the stack does not know it.
    pub fn port(&self, name: &str) -> Result<u16> {
        Ok(self.fact("ports", name)?.parse()?)
    }

    /// The default settings, with this server and its keys.
    ///
    /// # Errors
    /// When the server's port or keys are unknown.
    pub fn settings(&self) -> Result<s3::Settings> {
        let mut settings = Settings::from_toml("")?.s3;
        settings.endpoint = format!("http://127.0.0.1:{}", self.port("s3")?);
        settings.access_key = SecretString::from(self.fact("secrets", "S3_ACCESS_KEY")?);
        settings.secret_key = SecretString::from(self.fact("secrets", "S3_SECRET_KEY")?);
        Ok(settings)
    }

    fn fact(&self, file: &str, name: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.folder.join(file))?;
        let begin = format!("{name}=");
        let value = text.lines().rev().find_map(|line| line.strip_prefix(&begin));
        value.map(str::to_owned).with_context(|| format!("{file} has no {name}"))
    }
}

impl Drop for OwnS3 {
    fn drop(&mut self) {
        if let Err(error) = command(&project("stack/down.sh"), &[], &self.folder) {
            eprintln!("the S3 server in {} is still running: {error:#}", self.folder.display());
        }
    }
}

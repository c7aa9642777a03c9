//! A PostgreSQL server of the test's own, for tests that change how the server is reached.

use adapters::boxed;
use adapters::postgres;
use anyhow::{Context, Result};
use secrecy::SecretString;
use settings::Settings;
use sqlx::{Connection, PgConnection};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use url::Url;

use crate::rig::{command, project};

/// A private server on a free port of loopback. It ends when the value is dropped.
#[derive(Debug)]
pub struct OwnPostgres {
    folder: PathBuf,
    _temporary: tempfile::TempDir,
}

impl OwnPostgres {
    /// Starts a server. Takes a few seconds.
    ///
    /// # Errors
    /// When it does not come up; the message has its output.
    pub fn start() -> Result<Self> {
        let temporary = tempfile::Builder::new().prefix("emofleet-postgres-").tempdir()?;
        let folder = temporary.path().join("stack");
        std::fs::create_dir_all(&folder)?;
        // Postgres refuses to run as root and must reach its folder as another user.
        std::fs::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o755))?;
        std::fs::write(folder.join("kinds"), "POSTGRES=native\n")?;
        let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        std::fs::write(folder.join("ports"), format!("postgres={free}\n"))?;
        let server = Self { folder, _temporary: temporary };
        command(&project("stack/postgres.sh"), &["start"], &server.folder)?;
        Ok(server)
    }

    /// Turns TLS on for connections from now on, with this certificate and key.
    ///
    /// # Errors
    /// When the server can't read them.
    #[boxed]
    pub async fn turn_on_tls(&self, certificate: &Path, key: &Path) -> Result<()> {
        let data = self.folder.join("postgres").canonicalize()?;
        let owner = std::fs::metadata(&data)?;
        for (from, name) in [(certificate, "trial.pem"), (key, "trial.key")] {
            let to = data.join(name);
            std::fs::copy(from, &to)?;
            std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o600))?;
            chown(&to, Some(owner.uid()), Some(owner.gid()))?;
        }
        let mut admin = self.admin().await?;
        for statement in [
            "ALTER SYSTEM SET ssl_cert_file = 'trial.pem'",
            "ALTER SYSTEM SET ssl_key_file = 'trial.key'",
            "ALTER SYSTEM SET ssl = on",
            "SELECT pg_reload_conf()",
        ] {
            sqlx::raw_sql(statement).execute(&mut admin).await?;
        }
        for _ in 0..100 {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            let on: String = sqlx::query_scalar("SHOW ssl").fetch_one(&mut admin).await?;
            if on == "on" {
                return Ok(());
            }
        }
        anyhow::bail!(
            "Postgres does not turn TLS on: {}",
            std::fs::read_to_string(self.folder.join("log/postgres.log"))?
        )
    }

    /// A connection of the server's administrator.
    ///
    /// # Errors
    /// When the server does not answer.
    #[boxed]
    pub async fn admin(&self) -> Result<PgConnection> {
        Ok(PgConnection::connect(self.url("postgres", "POSTGRES_ADMIN_PASSWORD", "postgres")?.as_str()).await?)
    }

    /// The default settings with the URL of this server: this name of the host, and these parameters.
    ///
    /// # Errors
    /// When the server's port or password is not known.
    pub fn settings(&self, host: &str, parameters: &[(&str, &str)]) -> Result<postgres::Settings> {
        let mut url = self.url("emofleet", "POSTGRES_PASSWORD", "emofleet")?;
        url.set_host(Some(host))?;
        url.query_pairs_mut().extend_pairs(parameters);
        let mut postgres = Settings::from_toml("")?.postgres;
        postgres.url = SecretString::from(url.to_string());
        Ok(postgres)
    }

    /// The default settings for the server's administrator, who may do everything.
    ///
    /// # Errors
    /// When the server's port or password is not known.
    pub fn admin_settings(&self) -> Result<postgres::Settings> {
        let url = self.url("postgres", "POSTGRES_ADMIN_PASSWORD", "emofleet")?;
        Ok(postgres::Settings { url: SecretString::from(url.to_string()), ..Settings::from_toml("")?.postgres })
    }

    /// The stack's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server's port.
    ///
    /// # Errors
    /// When the stack does not know it.
    pub fn port(&self) -> Result<u16> {
        Ok(self.fact("ports", "postgres")?.parse()?)
    }

    fn url(&self, user: &str, secret: &str, database: &str) -> Result<Url> {
        let (port, password) = (self.fact("ports", "postgres")?, self.fact("secrets", secret)?);
        Ok(format!("postgres://{user}:{password}@127.0.0.1:{port}/{database}").parse()?)
    }

    fn fact(&self, file: &str, name: &str) -> Result<String> {
        let text = std::fs::read_to_string(self.folder.join(file))?;
        let begin = format!("{name}=");
        let value = text.lines().rev().find_map(|line| line.strip_prefix(&begin));
        value.map(str::to_owned).with_context(|| format!("{file} has no {name}"))
    }
}

impl Drop for OwnPostgres {
    fn drop(&mut self) {
        if let Err(error) = command(&project("stack/down.sh"), &[], &self.folder) {
            eprintln!("the Postgres server in {} was not removed: {error:#}", self.folder.display());
        }
    }
}

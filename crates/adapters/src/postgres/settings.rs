//! The section of `config/default.toml` that this module reads, where each key is explained.
#![expect(missing_docs, reason = "each key is documented once, in config/default.toml")]

use domain::Check;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use sqlx::postgres::PgConnectOptions;
use std::path::Path;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub url: SecretString,
    pub user: String,
    pub password: SecretString,
    pub max_connections: u32,
    pub connect_timeout_s: u64,
    pub statement_timeout_s: u64,
    pub worker_password: SecretString,
    pub producer_password: SecretString,
    pub dispatcher_password: SecretString,
    pub console_password: SecretString,
    pub reader_password: SecretString,
}

/// Connections of a program that computes no other number.
const CONNECTIONS: u32 = 8;

impl Settings {
    /// Most connections of this process.
    pub(super) fn connections(&self) -> u32 {
        if self.max_connections == 0 { CONNECTIONS } else { self.max_connections }
    }

    /// The roles of `migrations/grants.sql` that are to log in, each with its password.
    pub(super) fn logins(&self) -> impl Iterator<Item = (&'static str, &SecretString)> {
        let roles = [
            ("emofleet_worker", &self.worker_password),
            ("emofleet_producer", &self.producer_password),
            ("emofleet_dispatcher", &self.dispatcher_password),
            ("emofleet_console", &self.console_password),
            ("emofleet_reader", &self.reader_password),
        ];
        roles.into_iter().filter(|(_, password)| !password.expose_secret().is_empty())
    }

    /// What the types can't express.
    pub fn checks(&self) -> Vec<Check> {
        let url = self.url.expose_secret();
        let passwords = [
            ("postgres.password", &self.password),
            ("postgres.worker_password", &self.worker_password),
            ("postgres.producer_password", &self.producer_password),
            ("postgres.dispatcher_password", &self.dispatcher_password),
            ("postgres.console_password", &self.console_password),
            ("postgres.reader_password", &self.reader_password),
        ];
        // As the client of the protocol: what it refuses would be told as an error of the URL.
        let can_log_in = |password: &SecretString| stringprep::saslprep(password.expose_secret()).is_ok();
        let passwords = passwords.map(|(key, password)| {
            Check::new(key, can_log_in(password), "has characters that Postgres takes in no password, such as emoji")
        });
        let mut checks = vec![
            Check::new(
                "postgres.url",
                url.starts_with("postgres://") || url.starts_with("postgresql://"),
                "must begin with postgres://",
            ),
            Check::new(
                "postgres.url",
                url.parse::<PgConnectOptions>().is_ok(),
                "must be like postgres://USER:PASSWORD@HOST:PORT/DATABASE",
            ),
            Check::new("postgres.url", names_readable_files(url), "names a certificate or key file that can't be read"),
            Check::range("postgres.max_connections", self.max_connections, 0..=1024, "connections"),
            Check::range("postgres.connect_timeout_s", self.connect_timeout_s, 1..=3600, "seconds"),
            Check::range("postgres.statement_timeout_s", self.statement_timeout_s, 1..=86_400, "seconds"),
        ];
        checks.extend(passwords);
        checks
    }
}

/// Whether the files for TLS that the URL names are there.
fn names_readable_files(url: &str) -> bool {
    let Ok(url) = url.parse::<url::Url>() else { return true };
    let files = url.query_pairs().filter(|(key, _)| ["sslrootcert", "sslcert", "sslkey"].contains(&key.as_ref()));
    files.into_iter().all(|(_, file)| std::fs::File::open(Path::new(file.as_ref())).is_ok())
}

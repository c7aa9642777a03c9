//! A database of its own for each test, on the server that `test.sh` names, dropped at the end.

use adapters::boxed;
use adapters::postgres;
use adapters::postgres::Database;
use anyhow::Context;
use secrecy::ExposeSecret;
use settings::Settings;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::str::FromStr;

/// Names a server and a user that may create databases.
pub const ADMIN_URL: &str = "EMOFLEET_TEST_POSTGRES_ADMIN_URL";

/// A migrated database that lasts as long as this value.
pub struct TestDatabase {
    /// The adapter, connected to it.
    pub database: Database,
    /// How a program under test reaches it.
    pub settings: postgres::Settings,
    name: String,
    admin: PgConnectOptions,
}

impl TestDatabase {
    /// Creates and migrates a database.
    ///
    /// # Errors
    /// When the server is not named or does not answer.
    #[boxed]
    pub async fn create() -> anyhow::Result<Self> {
        let empty = Self::create_empty().await?;
        empty.database.migrate().await.context("migrating the test's database")?;
        Ok(empty)
    }

    /// Creates a database without the schema.
    ///
    /// # Errors
    /// When the server is not named or does not answer.
    #[boxed]
    pub async fn create_empty() -> anyhow::Result<Self> {
        let url = std::env::var(ADMIN_URL)
            .with_context(|| format!("{ADMIN_URL} is not set: run ./test.sh, which starts Postgres and sets it"))?;
        let admin = PgConnectOptions::from_str(&url).with_context(|| format!("{ADMIN_URL} is no Postgres URL"))?;
        let name = format!("emofleet_test_{}", uuid::Uuid::new_v4().simple());
        let mut connection =
            admin.connect().await.with_context(|| format!("the server of {ADMIN_URL} does not answer"))?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await?;
        connection.close().await?;
        let settings = settings(&admin.clone().database(&name))?;
        let database = Database::connect(&settings).await?;
        Ok(Self { database, settings, name, admin })
    }

    /// A connection outside the adapter's pool and limits, to arrange and to look.
    ///
    /// # Errors
    /// When the server does not answer.
    #[boxed]
    pub async fn connection(&self) -> anyhow::Result<PgConnection> {
        Ok(self.admin.clone().database(&self.name).connect().await?)
    }

    /// One number, by a query that gives one.
    ///
    /// # Errors
    /// When the query is refused.
    #[boxed]
    pub async fn count(&self, query: &'static str) -> anyhow::Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.database.pool()).await?)
    }
}

/// These settings, with the rights of one role of `migrations/grants.sql`.
pub fn as_role(settings: &postgres::Settings, role: &str) -> postgres::Settings {
    let url = settings.url.expose_secret();
    let separator = if url.contains('?') { '&' } else { '?' };
    postgres::Settings { url: format!("{url}{separator}options[role]={role}").into(), ..settings.clone() }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin, name) = (self.admin.clone(), self.name.clone());
        // A thread of its own, since dropping can't wait and the test's runtime may be ending.
        let dropped = std::thread::spawn(move || -> anyhow::Result<()> {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
                let mut connection = admin.connect().await?;
                sqlx::query(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)")))
                    .execute(&mut connection)
                    .await?;
                Ok(connection.close().await?)
            })
        });
        if let Ok(Err(error)) = dropped.join() {
            eprintln!("the database {} stays behind: {error}", self.name);
        }
    }
}

fn settings(options: &PgConnectOptions) -> anyhow::Result<postgres::Settings> {
    let url = options.to_url_lossy();
    Ok(Settings::from_toml(&format!("[postgres]\nurl = \"{url}\""))?.postgres)
}

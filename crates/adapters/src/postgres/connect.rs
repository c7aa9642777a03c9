//! The pool of connections, and the schema's migrations.

use std::collections::HashSet;
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{Failure, FailureCode};
use secrecy::ExposeSecret;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnectionMetadata;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Postgres, Transaction};

use super::Settings;
use super::errors;
use crate::boxed;

/// A connection that was idle for longer is tested before a statement is sent on it: the server may have gone. One that was
/// used a moment ago is not, since the test is a round trip as long as most statements.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// The numbered SQL of `migrations/`, built in.
static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations");

/// A pool of connections to the fleet's database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    options: PgConnectOptions,
    /// Months whose partition of `segments` is known to exist, as (year, month).
    pub(super) months: Arc<Mutex<HashSet<(i32, u32)>>>,
}

impl Database {
    /// Connects, and checks that the server answers.
    ///
    /// # Errors
    /// `database.unreachable` when it does not; `database.refused` for a wrong user, password or database;
    /// `config.invalid` for a bad URL.
    #[boxed]
    pub async fn connect(settings: &Settings) -> Result<Self, Failure> {
        let database = Self::lazy(settings)?;
        // One connection outside the pool: the pool would turn every reason into "timed out".
        let timeout = Duration::from_secs(settings.connect_timeout_s.max(1));
        match tokio::time::timeout(timeout, database.options.connect()).await {
            Ok(Ok(connection)) => {
                let _ = connection.close().await;
                Ok(database)
            }
            Ok(Err(error)) => Err(database.named(errors::failure(&error))),
            Err(_) => Err(database.named(errors::failure(&sqlx::Error::PoolTimedOut))),
        }
    }

    /// The failure of a first connection, with the address: a wrong host name is the likeliest cause.
    fn named(&self, failure: Failure) -> Failure {
        if failure.code != FailureCode::DatabaseUnreachable {
            return failure;
        }
        let (host, port) = (self.options.get_host(), self.options.get_port());
        Failure::new(failure.code, format!("{} ({host}:{port})", failure.message))
    }

    /// The same without touching the network: the first statement connects.
    ///
    /// # Errors
    /// `config.invalid` for a bad URL.
    pub fn lazy(settings: &Settings) -> Result<Self, Failure> {
        let mut options = PgConnectOptions::from_str(settings.url.expose_secret())
            .map_err(|e| errors::failure(&e))?
            .application_name("emofleet")
            .log_statements(tracing::log::LevelFilter::Trace);
        if !settings.user.is_empty() {
            options = options.username(&settings.user);
        }
        if !settings.password.expose_secret().is_empty() {
            options = options.password(settings.password.expose_secret());
        }
        let longest = Duration::from_secs(settings.statement_timeout_s);
        let patience = Duration::from_secs(settings.connect_timeout_s.max(1));
        let pool = pool(&options, settings.connections(), patience, longest);
        Ok(Self { pool, options, months: Arc::default() })
    }

    /// The same database for questions that are worth no more than `longest` each: connections of its own, so that slow
    /// questions keep none of the others, and the server ends what takes longer.
    #[must_use]
    pub fn bounded(&self, connections: u32, longest: Duration) -> Self {
        let patience = self.pool.options().get_acquire_timeout().min(longest);
        let pool = pool(&self.options, connections, patience, longest);
        Self { pool, ..self.clone() }
    }

    /// Whether the server answers a statement.
    ///
    /// # Errors
    /// `database.unreachable` or `database.refused`.
    #[boxed]
    pub async fn ping(&self) -> Result<(), Failure> {
        sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(|e| errors::failure(&e))
    }

    /// Brings the schema up to date. Safe to run by several programs at once, and again.
    ///
    /// # Errors
    /// `database.refused` when the schema is newer than this program, or was made before 0.1.0; nothing
    /// is changed then.
    #[boxed]
    pub async fn migrate(&self) -> Result<(), Failure> {
        // A connection of its own: building an index may take longer than a statement of the fleet may.
        let patience = self.pool.options().get_acquire_timeout();
        let connect = PgPoolOptions::new().max_connections(1).acquire_timeout(patience);
        let connect = connect.connect_with(self.options.clone());
        let pool = connect.await.map_err(|e| errors::failure(&e))?;
        let outcome = async {
            refuse_other_migrations(&mut *pool.acquire().await.map_err(|e| errors::failure(&e))?).await?;
            MIGRATIONS.run(&pool).await.map_err(|e| errors::migration(&e))
        }
        .await;
        pool.close().await;
        outcome
    }

    /// Whether every migration of this program has been applied.
    ///
    /// # Errors
    /// `database.not_migrated`, with the advice to migrate; `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn check_schema(&self) -> Result<(), Failure> {
        let mut connection = self.pool.acquire().await.map_err(|e| errors::failure(&e))?;
        refuse_other_migrations(&mut connection).await?;
        let known: Vec<i64> = MIGRATIONS.iter().map(|m| m.version).collect();
        let applied: i64 =
            sqlx::query_scalar("SELECT count(*) FROM _sqlx_migrations WHERE success AND version = ANY($1)")
                .bind(&known)
                .fetch_one(&mut *connection)
                .await
                .map_err(|e| errors::failure(&e))?;
        if usize::try_from(applied) == Ok(known.len()) {
            return Ok(());
        }
        Err(Failure::new(FailureCode::DatabaseNotMigrated, "the database is not migrated yet: run `producer migrate`"))
    }

    /// A transaction, rolled back when it is dropped, or when this future is.
    ///
    /// # Errors
    /// When the server is unreachable or refuses.
    #[boxed]
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let pool = self.pool.clone();
        // On a task of its own. The pool's own future, dropped after it has sent BEGIN, leaves the transaction open: the next
        // statements on that connection are taken for done, and never committed.
        #[expect(clippy::disallowed_methods, reason = "this is the method to use instead")]
        let begun = tokio::spawn(async move { pool.begin().await });
        begun.await.unwrap_or_else(|e| Err(sqlx::Error::Io(std::io::Error::other(e))))
    }

    /// The pool itself, for what has no method here.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How a connection beside the pool is made.
    pub(super) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Closes every connection, once those in use are given back.
    #[boxed]
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether the pool may hand out a connection; an error closes it.
async fn is_alive(connection: &mut PgConnection, idle: PoolConnectionMetadata) -> Result<bool, sqlx::Error> {
    if idle.idle_for > TRUSTED_FOR {
        connection.ping().await?;
    }
    Ok(true)
}

/// Refuses a database whose first migration has another name than ours. Before 0.1.0 the schema had other
/// migrations under numbers that are in use again; they were replaced as a whole.
async fn refuse_other_migrations(connection: &mut PgConnection) -> Result<(), Failure> {
    const ANY: &str = "SELECT to_regclass('_sqlx_migrations') IS NOT NULL";
    const FIRST: &str = "SELECT description FROM _sqlx_migrations ORDER BY version LIMIT 1";
    let applied: Result<Option<String>, sqlx::Error> = async {
        if sqlx::query_scalar::<_, bool>(ANY).fetch_one(&mut *connection).await? {
            sqlx::query_scalar(FIRST).fetch_optional(connection).await
        } else {
            Ok(None)
        }
    }
    .await;
    let applied = applied.map_err(|e| errors::failure(&e))?;
    let ours = MIGRATIONS.iter().next().map(|migration| migration.description.as_ref());
    match applied {
        Some(first) if Some(first.as_str()) != ours => Err(Failure::new(
            FailureCode::DatabaseRefused,
            "this database was made before 0.1.0 and can't be migrated: create a new one, name it in `postgres.url`, \
             run `producer migrate` and enqueue again; migrations/README.md says how to keep reviews",
        )),
        _ => Ok(()),
    }
}

/// Connections that wait at most `patience` for the server, and whose statements the server ends after `longest`.
fn pool(options: &PgConnectOptions, connections: u32, patience: Duration, longest: Duration) -> PgPool {
    let milliseconds = longest.as_millis().to_string();
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(patience)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| Box::pin(is_alive(connection, idle)))
        .after_connect(move |connection, _| {
            let milliseconds = milliseconds.clone();
            Box::pin(async move { set_timeouts(connection, &milliseconds).await })
        })
        .connect_lazy_with(options.clone())
}

/// A session that hangs in a transaction is ended too: its locks would stop other workers.
async fn set_timeouts(connection: &mut PgConnection, milliseconds: &str) -> Result<(), sqlx::Error> {
    const SETTINGS: &str = "SELECT set_config('statement_timeout', $1, false),
        set_config('idle_in_transaction_session_timeout', $1, false), set_config('timezone', 'UTC', false)";
    sqlx::query(SETTINGS).bind(milliseconds).execute(connection).await.map(drop)
}

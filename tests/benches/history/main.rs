//! A history of made-up calls, and how long an inspector waits for an answer.
//!
//!     EMOFLEET_TEST_POSTGRES_ADMIN_URL=postgres://... cargo bench -p emofleet-tests --bench history -- --calls 1000000
//!
//! Fills a database of its own (kept, and filled only once), asks every question of `docs/sql-cookbook.md` of random
//! teams and months, and measures how many results a second the worker's transaction writes.

mod fill;
mod options;
mod questions;
mod writes;

use adapters::postgres::Database;
use anyhow::Context;
use options::Options;
use settings::Settings;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::str::FromStr;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // `cargo test --all-targets` runs benchmarks too, without this flag: there is nothing to test here.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let options = Options::from_arguments(std::env::args().skip(1))?;
    let url = std::env::var(tests::database::ADMIN_URL)
        .with_context(|| format!("{} is not set: name a Postgres server to fill", tests::database::ADMIN_URL))?;
    let admin = PgConnectOptions::from_str(&url)?;
    create(&admin, &options.database).await?;
    let here = admin.database(&options.database);
    let toml = format!(
        "[postgres]\nurl = \"{}\"\nmax_connections = {}\nstatement_timeout_s = 600",
        here.to_url_lossy(),
        options.writers
    );
    let database = Database::connect(&Settings::from_toml(&toml)?.postgres).await?;
    database.migrate().await?;

    let history = fill::fill(&mut here.connect().await?, &options).await?;
    questions::time_all(&here, &options, &history).await?;
    if options.write_seconds > 0 {
        writes::measure(&database, &options).await?;
    }
    Ok(())
}

async fn create(admin: &PgConnectOptions, name: &str) -> anyhow::Result<()> {
    let mut connection: PgConnection = admin.connect().await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(&mut connection)
        .await?;
    if !exists {
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).execute(&mut connection).await?;
    }
    Ok(connection.close().await?)
}

//! Twelve months of made-up calls, made by the server itself.

use crate::options::Options;
use chrono::{DateTime, Months, Utc};
use sqlx::{AssertSqlSafe, PgConnection};
use std::time::Instant;

/// The model that predicted them.
const MODEL: &str = "made-up";
/// Months that the calls are spread over.
const MONTHS: u32 = 12;

/// What there is to ask about.
#[derive(Debug)]
pub(crate) struct History {
    /// Every call id lies in `call-1` to `call-{calls}`.
    pub(crate) calls: i64,
    /// `team-0` to `team-{teams - 1}`.
    pub(crate) teams: i32,
    /// First days of the months.
    pub(crate) months: Vec<DateTime<Utc>>,
}

/// Fills the database unless it is full already.
pub(crate) async fn fill(connection: &mut PgConnection, options: &Options) -> anyhow::Result<History> {
    let first: DateTime<Utc> = "2025-01-01T00:00:00Z".parse()?;
    let months: Vec<_> = (0..MONTHS).map(|m| first + Months::new(m)).collect();
    let present: i64 = sqlx::query_scalar("SELECT count(*) FROM recordings").fetch_one(&mut *connection).await?;
    let per_month = options.calls / i64::from(MONTHS);
    let calls = per_month * i64::from(MONTHS);
    if present == 0 {
        println!("filling {calls} calls of {} segments", options.segments);
        // Foreign keys hold by construction; checking twenty million would only take long. Needs a superuser.
        sqlx::raw_sql("SET timezone = 'UTC'; SET work_mem = '128MB'; SET session_replication_role = replica")
            .execute(&mut *connection)
            .await?;
        for (number, start) in (0_i64..).zip(&months) {
            let began = Instant::now();
            fill_month(connection, options, *start, number * per_month + 1, per_month).await?;
            println!("  {} in {:.0} s", start.format("%Y-%m"), began.elapsed().as_secs_f32());
        }
        sqlx::raw_sql("SET session_replication_role = origin").execute(&mut *connection).await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&mut *connection).await?;
    } else {
        anyhow::ensure!(present >= calls, "{} holds {present} calls: drop it, or ask for as many", options.database);
    }
    let size: String =
        sqlx::query_scalar("SELECT pg_size_pretty(pg_database_size(current_database()))").fetch_one(connection).await?;
    println!("{} calls, {} segments, {} teams, {size}\n", calls, calls * i64::from(options.segments), options.teams);
    Ok(History { calls, teams: options.teams, months })
}

async fn fill_month(
    connection: &mut PgConnection,
    options: &Options,
    start: DateTime<Utc>,
    first_call: i64,
    calls: i64,
) -> anyhow::Result<()> {
    let end = start + Months::new(1);
    sqlx::query("INSERT INTO batches (id, name, source) VALUES (md5($1)::uuid, $1, 'made up')")
        .bind(start.format("%Y-%m").to_string())
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT segments_month($1)").bind(start).execute(&mut *connection).await?;
    sqlx::query(include_str!("fill_month.sql"))
        .bind(start)
        .bind(first_call)
        .bind(calls)
        .bind(options.segments)
        .bind(options.teams)
        .bind(MODEL)
        .execute(&mut *connection)
        .await?;
    sqlx::query("SELECT setseed(0.5)").execute(&mut *connection).await?;
    sqlx::query(include_str!("fill_segments.sql"))
        .bind(first_call)
        .bind(calls)
        .bind(options.segments)
        .bind(MODEL)
        .execute(&mut *connection)
        .await?;
    let partition = start.format("segments_%Y_%m");
    sqlx::raw_sql(AssertSqlSafe(format!("ANALYZE {partition}, analyses, recordings")))
        .execute(&mut *connection)
        .await?;
    for statement in [include_str!("fill_channels.sql"), include_str!("fill_reactions.sql")] {
        sqlx::query(statement).bind(start).bind(end).bind(MODEL).execute(&mut *connection).await?;
    }
    Ok(())
}

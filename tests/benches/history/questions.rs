//! How long each question of the cookbook takes.

use crate::fill::History;
use crate::options::Options;
use anyhow::{Context, ensure};
use chrono::Months;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::process::Command;
use std::time::{Duration, Instant};
use tests::cookbook::{Question, questions};

/// Asks each question often, warm and, where asked for, right after the caches were emptied.
pub(crate) async fn time_all(server: &PgConnectOptions, options: &Options, history: &History) -> anyhow::Result<()> {
    let questions = questions();
    let mut warm = vec![Vec::new(); questions.len()];
    let mut rows = vec![0; questions.len()];
    let mut connection = server.connect().await?;
    for round in 0..=options.rounds {
        for (place, question) in questions.iter().enumerate() {
            let (took, count) = ask(&mut connection, question, history, round).await?;
            if round > 0 {
                // the first round fetches the catalogue's pages
                warm[place].push(took);
                rows[place] = rows[place].max(count);
            }
        }
    }
    connection.close().await?;
    let mut cold = vec![Vec::new(); questions.len()];
    for round in 0..options.cold_rounds {
        let emptied = Command::new("sh").arg("-c").arg(&options.cold_command).status()?;
        ensure!(emptied.success(), "--cold-command failed");
        let mut connection = patiently(server).await?;
        for (place, question) in questions.iter().enumerate() {
            // Another team and month for each, so that none reads what an earlier one fetched
            cold[place].push(ask(&mut connection, question, history, 1000 + round * questions.len() + place).await?.0);
        }
        connection.close().await?;
    }
    println!(
        "| question | rows | warm p50 ms | warm p95 ms | cold p50 ms | cold p95 ms |\n|---|---:|---:|---:|---:|---:|"
    );
    for (place, question) in questions.iter().enumerate() {
        let [warm_50, warm_95] = [0.5, 0.95].map(|q| quantile(&mut warm[place], q));
        let [cold_50, cold_95] = [0.5, 0.95].map(|q| quantile(&mut cold[place], q));
        println!(
            "| {}. {} | {} | {warm_50} | {warm_95} | {cold_50} | {cold_95} |",
            question.number, question.title, rows[place]
        );
    }
    println!();
    Ok(())
}

/// One question about a team and month (or call) that follows from `round`.
async fn ask(
    connection: &mut PgConnection,
    question: &Question,
    history: &History,
    round: usize,
) -> anyhow::Result<(Duration, usize)> {
    // Steps prime to the counts visit every team and month before one comes again.
    let number = i64::try_from(round * 7 + question.number)?;
    let team = format!("team-{}", (number * 13) % i64::from(history.teams));
    let month = history.months[(round * 5 + question.number) % history.months.len()];
    let (since, until) = (month.to_rfc3339(), (month + Months::new(1)).to_rfc3339());
    let call_id = format!("call-{}", 1 + (number * 7919) % history.calls);
    let batch = month.format("%Y-%m").to_string();
    let values = [
        ("team", team.as_str()),
        ("since", &since),
        ("until", &until),
        ("call_id", &call_id),
        ("in_a_row", "5"),
        ("batch", &batch),
    ];
    let sql = question.with(&values).map_err(|name| anyhow::anyhow!("no value for {name}"))?;
    let began = Instant::now();
    let rows = sqlx::raw_sql(AssertSqlSafe(sql)).fetch_all(connection).await;
    let rows = rows.with_context(|| format!("question {}", question.number))?;
    Ok((began.elapsed(), rows.len()))
}

/// A server that was just restarted takes a moment.
async fn patiently(server: &PgConnectOptions) -> anyhow::Result<PgConnection> {
    let mut tries = tokio::time::interval(Duration::from_millis(200));
    for _ in 0..150 {
        tries.tick().await;
        if let Ok(connection) = server.connect().await {
            return Ok(connection);
        }
    }
    anyhow::bail!("the server does not answer after --cold-command")
}

/// Milliseconds with one decimal; a dash when nothing was measured.
fn quantile(times: &mut [Duration], q: f64) -> String {
    times.sort_unstable();
    let place = (times.len() as f64 * q).ceil() as usize;
    match times.get(place.saturating_sub(1)) {
        Some(time) => format!("{:.1}", time.as_secs_f64() * 1000.0),
        None => "-".into(),
    }
}

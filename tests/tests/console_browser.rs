//! The pages in a real browser (Debian's chromium); the scripts of `tests/browser` have the steps.

use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use tests::console::Console;
use tests::speech;

#[tokio::test(flavor = "multi_thread")]
async fn pages_work_in_a_browser() -> Result<()> {
    let console = Console::start().await?;
    let fixtures = tempfile::tempdir()?;
    let silence = speech::encoded("s.wav", &["-af", "volume=0", "-ar", "16000"])?;
    for (name, bytes) in [
        ("speech.wav", speech::encoded("a.wav", &["-ar", "16000"])?),
        ("call.wav", speech::call(48)?),
        ("empty.wav", Vec::new()),
        ("letter.wav", b"This is a letter, not a recording.".repeat(50)),
        ("silence.wav", silence),
    ] {
        std::fs::write(fixtures.path().join(name), bytes)?;
    }
    browse("console.mjs", &console, fixtures.path(), &[]).await?;
    console.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_found_and_counted_in_a_browser() -> Result<()> {
    let console = Console::without_worker(|_| {}).await?;
    tests::call_list::dozen(&console.fleet.database).await?;
    let fixtures = tempfile::tempdir()?;
    browse("calls.mjs", &console, fixtures.path(), &[]).await?;
    console.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_hour_is_followed_through_a_reload_and_a_killed_worker() -> Result<()> {
    let console = Console::without_worker(|settings| settings.console.requests_per_minute = 0).await?;
    let fixtures = tempfile::tempdir()?;
    std::fs::write(fixtures.path().join("long.mp3"), speech::long_call(1800)?)?;
    let program = tests::programs::built("worker")?;
    let environment = serde_json::to_string(&tests::programs::environment(&console.fleet.trial))?;
    let program = program.to_str().context("a path in UTF-8")?;
    browse("progress.mjs", &console, fixtures.path(), &[("WORKER", program), ("WORKER_ENV", &environment)]).await?;
    // The first worker began it, and the second one finished it.
    assert_eq!(console.fleet.count("SELECT count(*) FROM analyses WHERE status = 'done' AND attempts >= 2").await?, 1);
    console.end().await
}

/// Four calls are in the queue of reviews, two of them with an alert, and a recording has failed.
#[tokio::test(flavor = "multi_thread")]
async fn calls_are_reviewed_by_keys_and_without_javascript() -> Result<()> {
    let console = Console::start().await?;
    let fields = |call| [("call_id", call), ("team", "7"), ("agent", "a-12"), ("customer", "k-9")];
    for call in ["c-1", "c-2", "c-3", "c-4"] {
        console.predict(speech::call(48)?, &fields(call)).await?;
    }
    let failed = console.predict(b"This is a letter, not a recording.".repeat(50), &fields("c-5")).await;
    ensure!(failed.is_err(), "a letter has no emotion");
    sqlx::raw_sql(
        r#"DELETE FROM alerts;
        INSERT INTO alerts (job_id, called_at, rule, severity, channel, segment, start_s, group_key, evidence)
        SELECT a.job_id, a.called_at, 'customer-angry', 'critical', s.channel, s.segment, s.start_s, 'g', jsonb_build_array(
            jsonb_build_object('channel', s.channel, 'role', 'customer', 'emotion', 'angry', 'first_segment', s.segment,
                'last_segment', s.segment + 1, 'start_s', s.start_s, 'end_s', s.end_s, 'found', 'in_a_row', 'segments', 2, 'score', 0.75))
        FROM analyses a JOIN recordings r ON r.id = a.recording_id JOIN segments s ON s.job_id = a.job_id AND s.segment = 1
        WHERE r.call_id IN ('c-1', 'c-2');
        UPDATE analyses SET confidence = 0.42 WHERE status = 'done'"#,
    )
    .execute(console.fleet.database.pool())
    .await?;
    browse("review.mjs", &console, Path::new("."), &[]).await?;
    assert!(console.fleet.count("SELECT count(DISTINCT job_id) FROM reviews").await? == 4);
    console.end().await
}

/// Runs a script of `tests/browser` against a console.
async fn browse(script: &str, console: &Console, fixtures: &Path, variables: &[(&str, &str)]) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots =
        std::env::var("EMOFLEET_TEST_SHOTS").unwrap_or_else(|_| format!("{}/../target/browser", root.display()));
    let clients = std::env::var("EMOFLEET_TEST_CLIENTS").context("EMOFLEET_TEST_CLIENTS is not set: run ./test.sh")?;
    let mut command = Command::new("node");
    command.arg(root.join("browser").join(script)).arg(&console.url).arg(fixtures).arg(&shots);
    command.env("EMOFLEET_TEST_CLIENTS", clients).envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("node: run ./test.sh, which installs it")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}\nscreenshots: {shots}");
    ensure!(output.status.success(), "{said}");
    Ok(())
}

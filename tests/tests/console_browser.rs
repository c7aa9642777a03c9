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

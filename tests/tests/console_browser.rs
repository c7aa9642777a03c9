//! The pages in a real browser (Debian's chromium); `tests/browser/console.mjs` has the steps.

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
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots =
        std::env::var("EMOFLEET_TEST_SHOTS").unwrap_or_else(|_| format!("{}/../target/browser", root.display()));
    let clients = std::env::var("EMOFLEET_TEST_CLIENTS").context("EMOFLEET_TEST_CLIENTS is not set: run ./test.sh")?;
    let mut command = Command::new("node");
    command.arg(root.join("browser/console.mjs")).arg(&console.url).arg(fixtures.path()).arg(&shots);
    command.env("EMOFLEET_TEST_CLIENTS", clients);
    let output = tokio::task::spawn_blocking(move || command.output())
        .await?
        .context("node: run ./test.sh, which installs it")?;
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    println!("{said}\nscreenshots: {shots}");
    ensure!(output.status.success(), "{said}");
    console.end().await
}

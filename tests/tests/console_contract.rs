//! The served API against its own description: schemathesis, all checks.

use anyhow::{Context, Result, ensure};
use reqwest::multipart::{Form, Part};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use tests::console::Console;
use tests::speech;

#[tokio::test(flavor = "multi_thread")]
async fn the_api_answers_as_its_description_says() -> Result<()> {
    let console = Console::start().await?;
    let folder = tempfile::tempdir()?;
    let audio = folder.path().join("a.opus");
    let bytes = speech::encoded("a.opus", &["-c:a", "libopus", "-b:a", "16k"])?;
    std::fs::write(&audio, &bytes)?;
    let form = Form::new().part("audio", Part::bytes(bytes).file_name("a.opus"));
    let form = form.text("granularity", "frame").text("call_id", "c-1");
    let done = reqwest::Client::new().post(console.at("/api/predict/")).multipart(form).send().await?;
    let prediction: Value = done.error_for_status()?.json().await?;

    let clients = std::env::var("EMOFLEET_TEST_CLIENTS").context("EMOFLEET_TEST_CLIENTS is not set: run ./test.sh")?;
    let packages = Path::new(&clients).join("schemathesis");
    ensure!(packages.is_dir(), "{} is missing: ./test.sh fetches it", packages.display());
    let prediction_id = prediction["job_id"].as_str().context("an id")?;
    // The hooks replace the recording of a form, which may have been the fault that schemathesis generated: the refusals of
    // predictions are tested one by one in console_predict.rs.
    for only in [
        ["--include-method", "GET"].as_slice(),
        &["--include-method", "POST", "--exclude-checks", "negative_data_rejection"],
        &["--include-method", "PUT"],
        // Last: the call is gone then.
        &["--include-method", "DELETE"],
    ] {
        let mut command = Command::new("python3");
        command
            .current_dir(folder.path())
            .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"])
            .arg(console.at("/api/v1/openapi.json"))
            .args(["--checks", "all", "--max-examples", "8", "--phases", "examples,coverage,fuzzing"])
            // The same cases each time: a build must not fail by chance.
            .args(["--request-timeout", "90", "--generation-deterministic"])
            .args(only)
            .env("PYTHONPATH", format!("{}:{}/clients", packages.display(), env!("CARGO_MANIFEST_DIR")))
            .env("SCHEMATHESIS_HOOKS", "contract_hooks")
            .env("CONTRACT_AUDIO", &audio)
            .env("CONTRACT_JOB", prediction_id)
            .env("CONTRACT_CALL", "c-1");
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        let said = String::from_utf8_lossy(&output.stdout);
        println!("{said}");
        ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    }
    console.end().await
}

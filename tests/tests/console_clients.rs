//! Gradio's clients against the console, in the versions that `PyPI` and npm publish.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::console::Console;
use tests::speech;

/// Where `stack/lib/test_tools.sh` puts the clients.
fn tools() -> Result<PathBuf> {
    let folder = std::env::var("EMOFLEET_TEST_CLIENTS").context("EMOFLEET_TEST_CLIENTS is not set: run ./test.sh")?;
    Ok(folder.into())
}

/// Runs a client to its end; gives what it printed last, as JSON.
async fn run(console: &Console, program: &str, script: &str, python_path: Option<&Path>) -> Result<Value> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("speech.wav");
    std::fs::write(&file, speech::encoded("a.wav", &["-ar", "16000"])?)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let mut command = Command::new(program);
    command.arg(script).arg(&console.url).arg(&file).env("EMOFLEET_TEST_CLIENTS", tools()?);
    if let Some(path) = python_path {
        ensure!(path.is_dir(), "{} is missing: ./test.sh fetches it", path.display());
        command.env("PYTHONPATH", path).env("GRADIO_ANALYTICS_ENABLED", "False").env("HF_HUB_OFFLINE", "1");
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program}: {said}{complained}");
    let last = said.trim().lines().last().unwrap_or_default().to_owned();
    serde_json::from_str(&last).with_context(|| format!("{said}{complained}"))
}

#[tokio::test]
async fn gradio_client_of_python_predicts_in_each_of_its_major_versions() -> Result<()> {
    let console = Console::start().await?;
    for version in ["0.6.1", "1.3.0", "2.7.2"] {
        let packages = tools()?.join(format!("gradio_client-{version}"));
        let result = run(&console, "python3", "gradio_predict.py", Some(&packages)).await.context(version)?;
        assert_eq!(result["version"], version);
        assert_eq!(result["scores"].as_object().map(serde_json::Map::len), Some(9), "{version}: {result}");
    }
    console.end().await
}

#[tokio::test]
async fn gradio_client_of_javascript_predicts() -> Result<()> {
    let console = Console::start().await?;
    let result = run(&console, "node", "gradio_predict.mjs", None).await?;
    assert_eq!(result["scores"].as_object().map(serde_json::Map::len), Some(9), "{result}");
    console.end().await
}

#[tokio::test]
async fn the_documented_request_works_from_python() -> Result<()> {
    let console = Console::start().await?;
    // requests comes with gradio_client 0.6.
    let packages = tools()?.join("gradio_client-0.6.1");
    let result = run(&console, "python3", "snippet.py", Some(&packages)).await?;
    assert!(result["emotion"].is_string());
    console.end().await
}

#[tokio::test]
async fn numpy_reads_the_downloaded_embedding() -> Result<()> {
    let console = Console::start().await?;
    let packages = tools()?.join("numpy");
    let result = run(&console, "python3", "embedding.py", Some(&packages)).await?;
    assert_eq!(result["dtype"], "float32");
    assert!(result["shape"].as_array().is_some_and(|shape| shape.iter().any(|n| n.as_u64() >= Some(16))), "{result}");
    console.end().await
}

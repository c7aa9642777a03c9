//! The fleet's programs as processes, which tests kill.

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::rig::project;
use crate::trial::Trial;

/// Builds a program, in the profile of the calling test, and returns its path.
///
/// # Errors
/// When it does not compile.
pub fn built(name: &str) -> Result<PathBuf> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let manifest = project("Cargo.toml");
    // Of the whole workspace, so that features, and with them compiled dependencies, are those of the tests.
    let build = ["build", "-q", "--profile", profile, "--workspace", "--bin", name, "--manifest-path", &manifest];
    let mut command = Command::new(cargo);
    // With what cargo sets for this test, build scripts would run again, and with them most of the build.
    for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_of_this_test(&variable.to_string_lossy())) {
        command.env_remove(variable);
    }
    let output = command.args(build).stdin(Stdio::null()).output().context("cargo can't be run")?;
    if !output.status.success() {
        bail!("building {name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    path(name)
}

fn is_of_this_test(variable: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_", "EMOFLEET_"];
    prefixes.iter().any(|prefix| variable.starts_with(prefix))
}

/// Where a built program is.
///
/// # Errors
/// When the test does not run below `target/`.
pub fn path(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.ancestors().nth(2).context("tests run below target/")?.join(name))
}

/// The environment of a program with a trial's names, and nothing else of the caller's settings that would matter.
pub fn environment(trial: &Trial) -> BTreeMap<String, String> {
    let inherited = ["PATH", "HOME", "TMPDIR"];
    let settings = &trial.settings;
    let delays: Vec<String> = settings.amqp.retry_delays_s.iter().map(ToString::to_string).collect();
    std::env::vars()
        .filter(|(name, _)| name.starts_with("EMOFLEET__") || inherited.contains(&name.as_str()))
        .chain(
            [
                ("EMOFLEET__AMQP__PREFIX", settings.amqp.prefix.clone()),
                ("EMOFLEET__AMQP__RETRY_DELAYS_S", format!("[{}]", delays.join(","))),
                ("EMOFLEET__POSTGRES__URL", settings.postgres.url.expose_secret().to_owned()),
                ("EMOFLEET__S3__ARTIFACT_PREFIX", settings.s3.artifact_prefix.clone()),
                ("EMOFLEET__WORKER__HEALTH_ADDR", "127.0.0.1:0".into()),
                ("EMOFLEET__CONSOLE__UPLOAD_PREFIX", settings.console.upload_prefix.clone()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        )
        .collect()
}

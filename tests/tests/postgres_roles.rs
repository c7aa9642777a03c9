//! Each program and each command under its role of `migrations/grants.sql`, on a database that grants nothing else.

use adapters::postgres::Database;
use adapters::reconcile::Reconciler;
use anyhow::{Context, Result, ensure};
use clap::Parser;
use dispatcher::Dispatcher;
use producer::Outcome;
use settings::Settings;
use std::path::Path;
use std::time::Duration;
use tests::database::as_role;
use tests::fleet::Fleet;

const RULES: &str =
    "[[rule]]\nname = \"team-seven\"\nseverity = \"info\"\nwhen = { team = \"7\" }\nresolve_after = \"1s\"\n";

/// These settings with the rights of a role.
fn with_role(settings: &Settings, role: &str) -> Settings {
    Settings { postgres: as_role(&settings.postgres, role), ..settings.clone() }
}

/// Runs a command of the producer; gives what it printed.
async fn produce(settings: &Settings, arguments: &[&str]) -> Result<String> {
    let cli = producer::cli::Cli::try_parse_from([&["producer", "--no-wait-for-services"], arguments].concat())?;
    let mut out = Vec::new();
    let outcome = Box::pin(producer::run(settings, &cli, &mut out)).await;
    let printed = String::from_utf8_lossy(&out).into_owned();
    let outcome = outcome.with_context(|| format!("producer {}\n{printed}", arguments.join(" ")))?;
    let expected = matches!(outcome, Outcome::Done | Outcome::LeftOut | Outcome::SomeFailed);
    ensure!(expected, "producer {}: {outcome:?}\n{printed}", arguments.join(" "));
    Ok(printed)
}

/// Two recordings, and a file that is none, with their call data.
fn folder(path: &Path) -> Result<()> {
    std::fs::write(path.join("a.wav"), tests::speech::call(4)?)?;
    std::fs::write(path.join("b.wav"), tests::speech::encoded("b.wav", &[])?)?;
    std::fs::write(path.join("bad.wav"), "no sound")?;
    std::fs::write(path.join("../calls.csv"), "key,call_id,team\na.wav,c-1,7\nb.wav,c-2,7\nbad.wav,c-3,8\n")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_program_and_command_works_under_its_role() -> Result<()> {
    let files = tempfile::tempdir()?;
    let (calls, rules) = (files.path().join("calls"), files.path().join("alerts.toml"));
    std::fs::create_dir(&calls)?;
    folder(&calls)?;
    std::fs::write(&rules, RULES)?;
    let mut fleet = Fleet::without_worker().await?;
    fleet.database.grant_roles(&fleet.trial.settings.postgres).await?;
    let owner = fleet.trial.settings.clone();
    let mut settings = owner.clone();
    settings.alerts.rules.clone_from(&rules);
    settings.dispatcher.health_addr = ([127, 0, 0, 1], 0).into();

    // The worker of the fleet has its own role; `fleet.database` stays the owner's, to look.
    fleet.trial.settings = with_role(&settings, "emofleet_worker");
    fleet.start_worker();
    let ours = with_role(&settings, "emofleet_producer");
    let (source, manifest) = (calls.to_string_lossy().into_owned(), files.path().join("calls.csv"));
    let (prefix, manifest) = (format!("{}roles/", fleet.trial.keys), manifest.to_string_lossy().into_owned());
    let rules = rules.to_string_lossy().into_owned();
    let enqueue = ["enqueue", &source, "--manifest", &manifest, "--prefix", &prefix, "--batch", "roles", "--wait"];
    produce(&ours, &enqueue).await?;
    let states = "SELECT count(*) FROM analyses WHERE status = 'done'";
    ensure!(fleet.count(states).await? == 2, "two are done");
    ensure!(fleet.count("SELECT count(*) FROM alerts").await? == 2, "two alerts are recorded");

    let review = files.path().join("reviews.csv");
    std::fs::write(&review, "call_id,emotion,reviewer\nc-1,sad,rita\n")?;
    let review = review.to_string_lossy().into_owned();
    let watched = format!("s3://{}/{prefix}", settings.s3.bucket);
    let commands: &[&[&str]] = &[
        &["status"],
        &["status", "--batch", "roles"],
        &["results", "--batch", "roles"],
        &["results", "--batch", "roles", "--failed", "--format", "csv"],
        &["wait", "--batch", "roles", "--timeout", "60s"],
        &["wait", "--model", &settings.model.name, "--timeout", "60s"],
        &["review", "import", &review],
        &["alerts", "test", &rules],
        &["reconcile", "--silent-for", "0s"],
        &["dlq", "list"],
        &["dlq", "replay", "--all", "--yes"],
        &["wait", "--batch", "roles", "--timeout", "60s"],
        &["dlq", "drop", "--all", "--yes"],
        &["enqueue", &source, "--prefix", &prefix, "--batch", "roles", "--force", "--wait"],
        &["watch", &watched, "--once", "--rest", "0s"],
    ];
    for command in commands {
        produce(&ours, command).await?;
    }

    // The dispatcher: delivers, resolves, shows, retries, compares.
    let theirs = with_role(&settings, "emofleet_dispatcher");
    Dispatcher::open(&theirs, |_| None)?.once().await.context("dispatcher run --once")?;
    ensure!(fleet.count("SELECT count(*) FROM outbox WHERE delivered_at IS NULL").await? == 0, "all is delivered");
    let database = Database::connect(&theirs.postgres).await?;
    ensure!(database.destination_status().await?.len() == 1, "dispatcher status");
    database.retry_given_up("amqp").await.context("dispatcher retry")?;
    let publisher = adapters::amqp::Publisher::new(&theirs.amqp);
    let reconciler = Reconciler::new(database.clone(), publisher.clone(), &theirs.amqp, Duration::from_secs(1));
    reconciler.run(Duration::ZERO).await.context("the dispatcher compares open jobs with the queues")?;
    publisher.close().await;
    sqlx::query("UPDATE alerts SET fired_at = fired_at - interval '1 hour'").execute(fleet.database.pool()).await?;
    Dispatcher::open(&theirs, |_| None)?.once().await.context("dispatcher resolves")?;
    ensure!(fleet.count("SELECT count(*) FROM alerts WHERE resolved_at IS NULL").await? == 0, "all are resolved");
    database.close().await;

    // The console's own commands; `the_consoles_database_role_suffices_for_all_of_it` has its pages.
    let console_settings = with_role(&settings, "emofleet_console");
    let commands: &[&[&str]] = &[
        &["user", "add", "rita", "--role", "admin"],
        &["user", "list"],
        &["user", "disable", "rita"],
        &["token", "add", "t", "--scope", "read"],
        &["token", "list"],
        &["token", "revoke", "t"],
    ];
    for command in commands {
        let cli = console::cli::Cli::try_parse_from([&["console"], *command].concat())?;
        let (settings, mut out) = (console_settings.clone(), Vec::new());
        let ended = cli.run_with(|| Ok(settings), || Ok("correct horse battery staple".into()), &mut out).await;
        ended.with_context(|| format!("console {}", command.join(" ")))?;
    }

    // Deleting comes last.
    for command in [
        &["prune", "--older-than", "1d", "--dry-run"][..],
        &["prune", "--older-than", "1d"],
        &["prune", "--call", "c-1", "--recordings", "--even-unfinished"],
        &["prune", "--call", "c-2", "--dry-run"],
        &["prune", "--call", "c-2"],
        &["prune", "--call", "c-3", "--even-unfinished"],
    ] {
        produce(&ours, command).await?;
    }
    ensure!(fleet.count("SELECT count(*) FROM analyses").await? == 0, "all is deleted");
    fleet.stop_worker().await?;
    fleet.trial.settings = owner;
    fleet.end().await
}

//! The command line: `serve`, and who may use what it serves.

use adapters::postgres::Database;
use adapters::postgres::console::NewToken;
use adapters::shutdown;
use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use clap::{Parser, Subcommand};
use settings::Settings;
use std::io::{IsTerminal, Read};

use crate::auth::{Capability, Passwords, Secret, role_capabilities};

const EXAMPLES: &str = "\
Examples:
  console serve                                      http://localhost:7860, until SIGTERM
  console user add lin --role reviewer               asks for a password (or reads it from standard input)
  console token add nightly --scope predict --days 90
  console token revoke nightly";

/// Shortest password taken.
const MIN_PASSWORD: usize = 10;

/// The console: pages and an API to recognise recordings.
#[derive(Debug, Parser)]
#[command(name = "console", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the pages and the API until SIGTERM
    Serve,
    /// People who log in
    #[command(subcommand)]
    User(UserCommand),
    /// Access of programs
    #[command(subcommand)]
    Token(TokenCommand),
    /// Print the API's description (OpenAPI 3.1)
    Openapi,
    /// Ask the console that runs with these settings whether it is ready; for health checks of containers
    Health,
}

#[derive(Debug, Subcommand)]
enum UserCommand {
    /// Add a user, or give a known one a new password and role
    Add {
        /// Name at the login
        name: String,
        /// viewer, reviewer or admin
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Show only this team's recordings
        #[arg(long)]
        team: Option<String>,
    },
    /// List the users
    List,
    /// Refuse a user's logins and end the sessions
    Disable {
        /// Name at the login
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Add a token and print it, this once
    Add {
        /// What it is for
        name: String,
        /// predict, read, listen, review or admin; may be repeated
        #[arg(long = "scope", required = true)]
        scopes: Vec<String>,
        /// Days until it ends; without: never
        #[arg(long)]
        days: Option<u32>,
        /// Allow only this team's recordings
        #[arg(long)]
        team: Option<String>,
    },
    /// List the tokens
    List,
    /// Refuse a token from now on
    Revoke {
        /// Its name
        name: String,
    },
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// With a sentence that says what to do.
    pub async fn run(self) -> anyhow::Result<()> {
        if let Command::Openapi = self.command {
            println!("{}", crate::openapi());
            return Ok(());
        }
        let settings = Settings::load()?;
        adapters::telemetry::init(&settings.log).map_err(anyhow::Error::from_boxed)?;
        match self.command {
            Command::Serve => {
                let stop = shutdown::stop_on_signals().context("can't receive signals")?;
                let serving = crate::serve(settings, stop).await?;
                tracing::info!(address = %serving.address, "serving");
                serving.ended().await
            }
            Command::User(command) => command.run(&Database::connect(&settings.postgres).await?).await,
            Command::Token(command) => command.run(&Database::connect(&settings.postgres).await?).await,
            Command::Health => adapters::health::check(settings.console.addr).await.map_err(anyhow::Error::msg),
            Command::Openapi => Ok(()),
        }
    }
}

impl UserCommand {
    async fn run(self, database: &Database) -> anyhow::Result<()> {
        match self {
            Self::Add { name, role, team } => {
                ensure!(role_capabilities(&role).is_some(), "the role is viewer, reviewer or admin, not `{role}`");
                ensure!(!name.trim().is_empty() && name.len() <= 100, "a name has 1 to 100 characters");
                let password = password()?;
                ensure!(password.chars().count() >= MIN_PASSWORD, "a password has at least {MIN_PASSWORD} characters");
                database.put_user(&name, &Passwords::hash(&password)?, &role, team.as_deref()).await?;
                println!("{name} may log in as {role}");
            }
            Self::List => {
                for user in database.users().await? {
                    let state = if user.disabled_at.is_some() { "disabled" } else { "active" };
                    println!(
                        "{}\t{}\t{}\t{state}",
                        user.name,
                        user.role,
                        user.team.unwrap_or_else(|| "all teams".into())
                    );
                }
            }
            Self::Disable { name } => {
                ensure!(database.disable_user(&name).await?, "there is no user `{name}`");
                println!("{name} may no longer log in");
            }
        }
        Ok(())
    }
}

impl TokenCommand {
    async fn run(self, database: &Database) -> anyhow::Result<()> {
        match self {
            Self::Add { name, scopes, days, team } => {
                for scope in &scopes {
                    ensure!(
                        Capability::from_label(scope).is_some(),
                        "`{scope}` is no scope: predict, read, listen, review or admin"
                    );
                }
                let secret = Secret::new("emofleet_");
                let (sha256, expires_at) =
                    (secret.sha256(), days.map(|days| Utc::now() + TimeDelta::days(days.into())));
                let token =
                    NewToken { name: &name, sha256: &sha256, scopes: &scopes, team: team.as_deref(), expires_at };
                ensure!(database.add_token(&token).await?, "there is a token `{name}` already");
                println!("{}", secret.reveal());
            }
            Self::List => {
                for token in database.tokens().await? {
                    let state = if token.revoked_at.is_some() { "revoked" } else { "active" };
                    let end =
                        token.expires_at.map_or_else(|| "no end".into(), |end| end.format("%Y-%m-%d").to_string());
                    println!("{}\t{}\t{end}\t{state}", token.name, token.scopes.join(","));
                }
            }
            Self::Revoke { name } => {
                ensure!(database.revoke_token(&name).await?, "there is no token `{name}` in force");
                println!("{name} is refused from now on");
            }
        }
        Ok(())
    }
}

/// From standard input: its first line. At a terminal, it is asked for.
fn password() -> anyhow::Result<String> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        eprint!("Password (it is shown while typed; pipe it in to avoid that): ");
        let mut line = String::new();
        input.read_line(&mut line).context("reading the password")?;
        return Ok(line.trim_end_matches(['\r', '\n']).to_owned());
    }
    let mut text = String::new();
    input.read_to_string(&mut text).context("reading the password")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

//! The command line: `serve`, and the users and tokens that may use it.

use adapters::boxed;
use adapters::postgres::Database;
use adapters::postgres::console::NewToken;
use adapters::shutdown;
use anyhow::{Context, ensure};
use chrono::{TimeDelta, Utc};
use clap::{Parser, Subcommand};
use settings::Settings;
use std::io::{BufRead, IsTerminal, Write};

use crate::auth::{Capability, Passwords, Secret, role_capabilities};

const EXAMPLES: &str = "\
Examples:
  console serve                                      http://localhost:7860, until SIGTERM
  console user add lin --role reviewer               asks for a password (or reads it from standard input)
  console token add nightly --scope predict --days 90
  console token revoke nightly";

/// Shortest password accepted, in characters.
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
    /// Users, who log in
    #[command(subcommand)]
    User(UserCommand),
    /// Tokens, for programs
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
    /// Refuse a user's logins and end the user's sessions
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
        /// Days until it ends, 1 to 3650; without: never
        #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
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
    #[boxed]
    pub async fn run(self) -> anyhow::Result<()> {
        self.run_with(settings, password, &mut std::io::stdout()).await
    }

    /// Runs the command. `settings` and `password` are read where they are needed; the output goes to `out`.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_with(
        self,
        settings: impl FnOnce() -> anyhow::Result<Settings>,
        password: impl FnOnce() -> anyhow::Result<String>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        match self.command {
            Command::Serve => {
                let stop = shutdown::stop_on_signals().context("can't receive signals")?;
                let serving = crate::serve(settings()?, stop).await?;
                tracing::info!(address = %serving.address, "serving");
                serving.ended().await
            }
            Command::User(command) => {
                command.run(&Database::connect(&settings()?.postgres).await?, password, out).await
            }
            Command::Token(command) => command.run(&Database::connect(&settings()?.postgres).await?, out).await,
            Command::Openapi => Ok(write!(out, "{}", crate::openapi())?),
            Command::Health => adapters::health::check(settings()?.console.addr).await.map_err(anyhow::Error::msg),
        }
    }
}

impl UserCommand {
    async fn run(
        self,
        database: &Database,
        password: impl FnOnce() -> anyhow::Result<String>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        match self {
            Self::Add { name, role, team } => {
                ensure!(role_capabilities(&role).is_some(), "the role is viewer, reviewer or admin, not `{role}`");
                check_name(&name)?;
                let password = password()?;
                ensure!(password.chars().count() >= MIN_PASSWORD, "a password has at least {MIN_PASSWORD} characters");
                database.put_user(&name, &Passwords::hash(&password)?, &role, team.as_deref()).await?;
                writeln!(out, "{name} may log in as {role}")?;
            }
            Self::List => {
                for user in database.users().await? {
                    let state = if user.disabled_at.is_some() { "disabled" } else { "active" };
                    let team = user.team.unwrap_or_else(|| "all teams".into());
                    writeln!(out, "{}\t{}\t{team}\t{state}", user.name, user.role)?;
                }
            }
            Self::Disable { name } => {
                ensure!(database.disable_user(&name).await?, "there is no user `{name}`");
                writeln!(out, "{name} may no longer log in")?;
            }
        }
        Ok(())
    }
}

impl TokenCommand {
    async fn run(self, database: &Database, out: &mut impl Write) -> anyhow::Result<()> {
        match self {
            Self::Add { name, scopes, days, team } => {
                check_name(&name)?;
                for scope in &scopes {
                    let known = Capability::ALL.map(Capability::label).join(", ");
                    ensure!(Capability::from_label(scope).is_some(), "`{scope}` is no scope; known: {known}");
                }
                let secret = Secret::new("emofleet_");
                let (sha256, expires_at) =
                    (secret.sha256(), days.map(|days| Utc::now() + TimeDelta::days(days.into())));
                let token =
                    NewToken { name: &name, sha256: &sha256, scopes: &scopes, team: team.as_deref(), expires_at };
                ensure!(database.add_token(&token).await?, "there is a token `{name}` in force already");
                writeln!(out, "{}", secret.reveal())?;
            }
            Self::List => {
                for token in database.tokens().await? {
                    let expired = token.expires_at.is_some_and(|end| end <= Utc::now());
                    let state = match token.revoked_at {
                        Some(_) => "revoked",
                        None if expired => "expired",
                        None => "active",
                    };
                    let end =
                        token.expires_at.map_or_else(|| "no end".into(), |end| end.format("%Y-%m-%d").to_string());
                    let team = token.team.unwrap_or_else(|| "all teams".into());
                    writeln!(out, "{}\t{}\t{team}\t{end}\t{state}", token.name, token.scopes.join(","))?;
                }
            }
            Self::Revoke { name } => {
                ensure!(database.revoke_token(&name).await?, "there is no token `{name}` in force");
                writeln!(out, "{name} is refused from now on")?;
            }
        }
        Ok(())
    }
}

/// The settings, with logs as they say.
fn settings() -> anyhow::Result<Settings> {
    let settings = Settings::load()?;
    adapters::telemetry::init(&settings.log).map_err(anyhow::Error::from_boxed)?;
    Ok(settings)
}

/// A name that the login form can send and the log can show.
fn check_name(name: &str) -> anyhow::Result<()> {
    ensure!(
        (1..=100).contains(&name.chars().count()) && name.trim() == name && !name.contains(char::is_control),
        "a name has 1 to 100 characters, no spaces at its ends and no control characters"
    );
    Ok(())
}

/// Typed twice without being shown; or the first line of standard input, where that is no terminal.
fn password() -> anyhow::Result<String> {
    if !std::io::stdin().is_terminal() {
        return first_line(std::io::stdin().lock());
    }
    let ask = |prompt| rpassword::prompt_password(prompt).context("reading the password");
    let password = ask("Password: ")?;
    ensure!(ask("The same again: ")? == password, "the two passwords differ: nothing was changed");
    Ok(password)
}

fn first_line(mut input: impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    input.read_line(&mut line).context("reading the password")?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        assert_eq!(first_line(b"correct horse \r\nbattery\n".as_slice()).ok().as_deref(), Some("correct horse "));
        assert_eq!(first_line(b"".as_slice()).ok().as_deref(), Some(""));
    }

    #[test]
    fn names_that_the_login_form_cannot_send_are_refused() {
        assert!(check_name("林 lin").is_ok() && check_name(&"林".repeat(100)).is_ok());
        for name in ["", " ", " lin", "lin\n", "l\0", &"x".repeat(101)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn a_token_may_not_end_beyond_the_calendar() {
        for days in ["0", "3651", "4294967295"] {
            assert!(Cli::try_parse_from(["console", "token", "add", "t", "--scope", "read", "--days", days]).is_err());
        }
    }
}

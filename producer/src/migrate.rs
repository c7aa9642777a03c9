//! The command `migrate`: tables, and a database role for each program.

use adapters::postgres::Database;
use adapters::retry::{RetryPolicy, retry_while};
use settings::Settings;
use std::io::Write;

use crate::cli::MigrateArgs;
use crate::error::{Outcome, ProducerError};
use crate::services::POSTGRES;

/// Runs `producer migrate`.
///
/// # Errors
/// [`ProducerError`].
pub(crate) async fn run(
    settings: &Settings,
    args: &MigrateArgs,
    policy: RetryPolicy,
    out: &mut impl Write,
) -> Result<Outcome, ProducerError> {
    let connect = || Database::connect(&settings.postgres);
    let database = retry_while(policy, POSTGRES, connect).await?;
    retry_while(policy, POSTGRES, || database.migrate()).await?;
    let _ = writeln!(out, "the database's tables are up to date");
    if args.roles {
        let grant = || database.grant_roles(&settings.postgres);
        let logins = retry_while(policy, POSTGRES, grant).await?;
        let none = "no role has a password in the settings";
        let logins = if logins.is_empty() { none.to_owned() } else { logins.join(", ") };
        let _ = writeln!(out, "the database's roles have their rights; those that may log in: {logins}");
    }
    Ok(Outcome::Done)
}

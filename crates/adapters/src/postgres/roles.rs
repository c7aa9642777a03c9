//! A role for each program, with the rights of `migrations/grants.sql`, and their passwords.

use domain::{Failure, FailureCode};
use postgres_protocol::password::scram_sha_256;
use secrecy::ExposeSecret;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Error};

use super::{Database, Settings, errors};
use crate::boxed;

const GRANTS: &str = include_str!("../../../../migrations/grants.sql");

const ONE_AT_A_TIME: &str = "SELECT pg_advisory_lock(hashtext('emofleet roles'))";

/// SQLSTATE of what `grants.sql` raises: its message and hint name rights, roles and tables, and no values.
const RAISED: &str = "P0001";

impl Database {
    /// Creates the roles, grants each what its program needs, and lets those with a password in `settings` log in. Safe to
    /// repeat. Returns the names of the roles that may log in by this call.
    ///
    /// # Errors
    /// `database.refused` with the right that the user lacks, or when the tables are missing; `database.unreachable`.
    #[boxed]
    pub async fn grant_roles(&self, settings: &Settings) -> Result<Vec<&'static str>, Failure> {
        // A connection of its own: closed on an error, and with it the transaction that the script began.
        let mut connection = self.options().connect().await.map_err(|e| failure(&e))?;
        // Two programs that grant at once would fail with "tuple concurrently updated".
        sqlx::raw_sql(ONE_AT_A_TIME).execute(&mut connection).await.map_err(|e| failure(&e))?;
        // Lines that begin with a backslash are psql's own.
        let script: Vec<&str> = GRANTS.lines().filter(|line| !line.starts_with('\\')).collect();
        sqlx::raw_sql(AssertSqlSafe(script.join("\n"))).execute(&mut connection).await.map_err(|e| failure(&e))?;
        let mut logins = Vec::new();
        for (role, password) in settings.logins() {
            // The server gets a verifier, so that neither its log nor its table of running statements has the password. The
            // verifier consists of letters, digits and `$:+/=-`.
            let verifier = scram_sha_256(password.expose_secret().as_bytes());
            let statement = format!("ALTER ROLE {role} LOGIN PASSWORD '{verifier}'");
            let altered = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await;
            altered.map_err(|e| {
                let failure = failure(&e);
                let advice =
                    "the owner may not change this role: let an administrator do it, or GRANT it WITH ADMIN OPTION";
                Failure::new(failure.code, format!("{role}: {advice} ({})", failure.message))
            })?;
            logins.push(role);
        }
        let _ = connection.close().await;
        Ok(logins)
    }
}

fn failure(error: &Error) -> Failure {
    let raised = error.as_database_error().filter(|e| e.code().is_some_and(|code| code == RAISED));
    let Some(raised) = raised else { return errors::failure(error) };
    let hint = raised.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|e| e.hint());
    let hint = hint.map_or(String::new(), |hint| format!(": {hint}"));
    Failure::new(FailureCode::DatabaseRefused, format!("{}{hint}", raised.message()))
}

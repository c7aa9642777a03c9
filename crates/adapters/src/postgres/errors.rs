//! sqlx's errors as ours. Messages carry the SQLSTATE and the names of tables or constraints,
//! never a value, a statement or the URL: those may hold personal data or a password.

use domain::{Failure, FailureCode};
use sqlx::Error;
use sqlx::migrate::MigrateError;

/// SQLSTATE of a statement for which the user has no right.
const LACKS_PRIVILEGE: &str = "42501";

/// What a failed statement means to the fleet.
pub(super) fn failure(error: &Error) -> Failure {
    let unreachable = |what: String| Failure::new(FailureCode::DatabaseUnreachable, what);
    let refused = |what: String| Failure::new(FailureCode::DatabaseRefused, what);
    match error {
        Error::Database(database) => {
            let state = database.code().unwrap_or_default();
            if state == LACKS_PRIVILEGE {
                // This message has a name, never a value: "permission denied for table outbox".
                return refused(format!(
                    "the user lacks a privilege ({}) [{state}]: run `producer migrate --roles` as the tables' owner",
                    database.message()
                ));
            }
            let object = database.constraint().or_else(|| database.table());
            by_sqlstate(&state, object)
        }
        Error::Io(e) if e.get_ref().is_some_and(|cause| cause.downcast_ref::<rustls::Error>().is_some()) => refused(
            format!("TLS with Postgres failed ({e}): check sslmode, sslrootcert and the host's name in `postgres.url`"),
        ),
        Error::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            unreachable("a file that `postgres.url` names is not there: sslrootcert for TLS, or a socket".into())
        }
        Error::Io(e) => unreachable(format!("the connection to Postgres broke: {e}")),
        Error::Tls(e) => {
            refused(format!("TLS with Postgres failed ({e}): check sslmode and sslrootcert in `postgres.url`"))
        }
        Error::PoolTimedOut => unreachable("no connection to Postgres within `postgres.connect_timeout_s`".into()),
        Error::PoolClosed | Error::WorkerCrashed => unreachable("the connections to Postgres are closed".into()),
        Error::Protocol(_) | Error::BeginFailed => unreachable("the conversation with Postgres broke off".into()),
        Error::Configuration(_) => Failure::new(FailureCode::ConfigInvalid, "`postgres.url` is no valid Postgres URL"),
        Error::ColumnNotFound(column) => refused(format!("an answer lacks column `{column}`: run `producer migrate`")),
        Error::ColumnDecode { index, .. } => {
            refused(format!("column {index} has another type than expected: run `producer migrate`"))
        }
        Error::Migrate(e) => migration(e),
        _ => refused("a statement could not be sent or its answer not be read".into()),
    }
}

/// What a failed migration means, and what to do.
pub(super) fn migration(error: &MigrateError) -> Failure {
    let refused = |what: String| Failure::new(FailureCode::DatabaseRefused, what);
    match error {
        MigrateError::Execute(e) | MigrateError::ExecuteMigration(e, _) => {
            let cause = failure(e);
            Failure::new(cause.code, format!("migrating: {}", cause.message))
        }
        MigrateError::VersionMissing(version) => refused(format!(
            "the database has migration {version}, which this program does not know: update the program"
        )),
        MigrateError::VersionMismatch(version) => refused(format!(
            "migration {version} was applied with another text: this database was made by a changed copy"
        )),
        MigrateError::Dirty(version) => {
            refused(format!("migration {version} was begun and not ended: look at it by hand, then migrate again"))
        }
        other => refused(format!("migrating failed: {other}")),
    }
}

/// SQLSTATE classes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
fn by_sqlstate(state: &str, object: Option<&str>) -> Failure {
    let on = object.map_or(String::new(), |name| format!(" ({name})"));
    let unreachable = |what: &str| Failure::new(FailureCode::DatabaseUnreachable, format!("{what} [{state}]"));
    let refused = |what: &str| Failure::new(FailureCode::DatabaseRefused, format!("{what}{on} [{state}]"));
    match state {
        "28000" | "28P01" => refused("Postgres refuses the user or its password"),
        "3D000" => {
            refused("the database named in `postgres.url` does not exist: create it, then run `producer migrate`")
        }
        "3F000" | "42P01" | "42703" | "42704" | "42883" => Failure::new(
            FailureCode::DatabaseNotMigrated,
            format!("the database is not migrated yet{on} [{state}]: run `producer migrate`"),
        ),
        "25006" => unreachable("Postgres is read-only: it is a standby, or being switched over"),
        "53100" => unreachable("Postgres has no disk space left"),
        "53300" => {
            unreachable("Postgres has no connection left: lower `postgres.max_connections` or raise the server's")
        }
        // Writes are repeated first (`conflict.rs`): what is left lasted for seconds.
        "40001" | "40P01" | "55P03" => unreachable("another transaction was in the way"),
        "23503" => unreachable(&format!("what a row belongs to{on} was deleted at the same moment")),
        "57014" => unreachable("the statement took longer than `postgres.statement_timeout_s`"),
        "57P01" | "57P02" | "57P03" | "57P05" => unreachable("Postgres is starting or shutting down"),
        _ if state.starts_with("08") || state.starts_with("53") || state.starts_with("58") => {
            unreachable("Postgres is in trouble")
        }
        _ => refused("Postgres refused a statement"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_unreachable_and_the_rest_is_refused_with_advice() {
        for state in ["40001", "40P01", "23503", "53300", "57P01", "08006", "25006", "57014", "53100"] {
            assert_eq!(by_sqlstate(state, None).code, FailureCode::DatabaseUnreachable, "{state}");
        }
        let missing = by_sqlstate("42P01", None);
        assert_eq!(missing.code, FailureCode::DatabaseNotMigrated);
        assert!(missing.message.contains("producer migrate"), "{missing}");
        assert_eq!(by_sqlstate("28P01", None).code, FailureCode::DatabaseRefused);
        let deleted = by_sqlstate("23503", Some("reviews_job_id_fkey"));
        assert!(deleted.message.contains("deleted") && deleted.message.contains("reviews_job_id_fkey"), "{deleted}");
        assert!(by_sqlstate("23514", Some("analyses_status_check")).message.contains("analyses_status_check"));
    }

    #[test]
    fn the_url_stays_out_of_messages() {
        let error = Error::Configuration("invalid port in postgres://u:hunter2@h:x/d".into());
        assert!(!failure(&error).message.contains("hunter2"));
    }
}

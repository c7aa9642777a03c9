//! The audit trail: rows are only added.

use domain::{Failure, JobId};

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, text};

/// An entry of the audit log: who did what.
#[derive(Debug, Clone)]
pub struct AuditEntry<'a> {
    /// `user:NAME`, `token:NAME` or `local`.
    pub who: &'a str,
    /// What: `login`, `login_failed`, `listen`, `download`, `export` or `delete`.
    pub action: &'a str,
    /// On which analysis.
    pub job_id: Option<JobId>,
    /// The file, the filter of an export, or what was deleted; empty for logins.
    pub detail: &'a str,
    /// The caller's address.
    pub address: &'a str,
}

impl Database {
    /// Adds an entry.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn audit(&self, entry: &AuditEntry<'_>) -> Result<(), Failure> {
        const ADD: &str = "INSERT INTO audit (who, action, job_id, detail, address) VALUES ($1, $2, $3, $4, $5)";
        self.add_entry(ADD, entry).await
    }

    /// Adds an entry, unless there is the same one of the last hour.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn audit_hourly(&self, entry: &AuditEntry<'_>) -> Result<(), Failure> {
        const ADD: &str = "INSERT INTO audit (who, action, job_id, detail, address) SELECT $1, $2, $3, $4, $5
            WHERE NOT EXISTS (SELECT FROM audit
                WHERE who = $1 AND action = $2 AND job_id = $3 AND detail = $4 AND at > now() - interval '1 hour')";
        self.add_entry(ADD, entry).await
    }

    async fn add_entry(&self, statement: &'static str, entry: &AuditEntry<'_>) -> Result<(), Failure> {
        let (who, detail) = (text::clean(entry.who, 200), text::clean(entry.detail, 500));
        let add = || {
            let add = sqlx::query(statement).bind(&who).bind(entry.action).bind(entry.job_id.map(|j| j.0));
            add.bind(&detail).bind(entry.address).execute(self.pool())
        };
        repeated(add).await.map(drop)
    }
}

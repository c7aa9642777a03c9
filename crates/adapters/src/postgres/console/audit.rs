//! The audit trail: rows are only added.

use domain::{Failure, JobId};

use crate::postgres::{Database, errors, text};

/// An entry of the audit log: who did what.
#[derive(Debug, Clone)]
pub struct AuditEntry<'a> {
    /// `user:NAME`, `token:NAME` or `local`.
    pub who: &'a str,
    /// What: `login`, `listen`, `download`, ...
    pub action: &'a str,
    /// On which analysis.
    pub job_id: Option<JobId>,
    /// Anything else: the artifact, the reason.
    pub detail: &'a str,
    /// The caller's address.
    pub address: &'a str,
}

impl Database {
    /// Adds an entry.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    pub async fn audit(&self, entry: &AuditEntry<'_>) -> Result<(), Failure> {
        const ADD: &str = "INSERT INTO audit (who, action, job_id, detail, address) VALUES ($1, $2, $3, $4, $5)";
        let add = sqlx::query(ADD).bind(text::clean(entry.who, 200)).bind(entry.action).bind(entry.job_id.map(|j| j.0));
        let add = add.bind(text::clean(entry.detail, 500)).bind(entry.address);
        add.execute(self.pool()).await.map(drop).map_err(|e| errors::failure(&e))
    }
}

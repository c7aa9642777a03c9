//! People who log in.

use chrono::{DateTime, Utc};
use domain::Failure;
use sqlx::FromRow;
use uuid::Uuid;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors};

/// A person who may log in to the console.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct User {
    /// Identity.
    pub id: Uuid,
    /// Name at the login.
    pub name: String,
    /// Argon2id in PHC format.
    pub password_hash: String,
    /// `viewer`, `reviewer` or `admin`.
    pub role: String,
    /// Only recordings of this team are visible; `None`: all.
    pub team: Option<String>,
    /// When added.
    pub created_at: DateTime<Utc>,
    /// Since when the login is refused.
    pub disabled_at: Option<DateTime<Utc>>,
}

impl Database {
    /// Adds a user, or gives a known name a new password, role and team and enables it again.
    /// The user's sessions end.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn put_user(&self, name: &str, hash: &str, role: &str, team: Option<&str>) -> Result<(), Failure> {
        const PUT: &str = "WITH put AS (
                INSERT INTO console_users (id, name, password_hash, role, team) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, role = excluded.role,
                    team = excluded.team, disabled_at = NULL
                RETURNING id)
            DELETE FROM console_sessions WHERE user_id IN (SELECT id FROM put)";
        let put = || {
            let put = sqlx::query(PUT).bind(Uuid::now_v7()).bind(name).bind(hash).bind(role).bind(team);
            put.execute(self.pool())
        };
        repeated(put).await.map(drop)
    }

    /// All users, disabled ones too, by name.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn users(&self) -> Result<Vec<User>, Failure> {
        let query = sqlx::query_as("SELECT * FROM console_users ORDER BY name");
        query.fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// The user of this name who may log in.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn user(&self, name: &str) -> Result<Option<User>, Failure> {
        let query = sqlx::query_as("SELECT * FROM console_users WHERE name = $1 AND disabled_at IS NULL");
        query.bind(name).fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Refuses further logins of a user and ends the sessions. False: there is no such user.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn disable_user(&self, name: &str) -> Result<bool, Failure> {
        const DISABLE: &str = "WITH ended AS (
                DELETE FROM console_sessions WHERE user_id IN (SELECT id FROM console_users WHERE name = $1))
            UPDATE console_users SET disabled_at = coalesce(disabled_at, now()) WHERE name = $1";
        Ok(repeated(|| sqlx::query(DISABLE).bind(name).execute(self.pool())).await?.rows_affected() > 0)
    }

    /// Whether there is a user who may log in, or a token in force.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn has_access_control(&self) -> Result<bool, Failure> {
        const ANY: &str = "SELECT EXISTS (SELECT FROM console_users WHERE disabled_at IS NULL)
            OR EXISTS (SELECT FROM console_tokens WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now()))";
        sqlx::query_scalar(ANY).fetch_one(self.pool()).await.map_err(|e| errors::failure(&e))
    }
}

//! Sessions of people and tokens of programs. Only hashes are stored.

use chrono::{DateTime, Utc};
use domain::Failure;
use sqlx::FromRow;
use uuid::Uuid;

use crate::boxed;
use crate::postgres::conflict::repeated;
use crate::postgres::{Database, errors};

/// A login in force.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Session {
    /// The user's name.
    pub name: String,
    /// `viewer`, `reviewer` or `admin`.
    pub role: String,
    /// Only recordings of this team are visible; `None`: all.
    pub team: Option<String>,
}

/// A program's access.
#[derive(Debug, Clone, PartialEq, Eq, FromRow)]
pub struct Token {
    /// Its name.
    pub name: String,
    /// Any of `predict`, `read`, `listen`, `review`, `admin`.
    pub scopes: Vec<String>,
    /// Only recordings of this team are visible; `None`: all.
    pub team: Option<String>,
    /// When it ends; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is refused.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token to add.
#[derive(Debug, Clone)]
pub struct NewToken<'a> {
    /// Its name.
    pub name: &'a str,
    /// SHA-256 of the token.
    pub sha256: &'a [u8],
    /// What it allows.
    pub scopes: &'a [String],
    /// Only this team's recordings.
    pub team: Option<&'a str>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Database {
    /// Begins a session, and deletes those that have expired.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn begin_session(&self, user: Uuid, sha256: &[u8], expires_at: DateTime<Utc>) -> Result<(), Failure> {
        const BEGIN: &str = "WITH expired AS (DELETE FROM console_sessions WHERE expires_at < now())
            INSERT INTO console_sessions (token_sha256, user_id, expires_at) VALUES ($1, $2, $3)";
        let begin = || sqlx::query(BEGIN).bind(sha256).bind(user).bind(expires_at).execute(self.pool());
        repeated(begin).await.map(drop)
    }

    /// The session of this cookie, unless expired or its user disabled.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn session(&self, sha256: &[u8]) -> Result<Option<Session>, Failure> {
        const SESSION: &str =
            "SELECT u.name, u.role, u.team FROM console_sessions s JOIN console_users u ON u.id = s.user_id
            WHERE s.token_sha256 = $1 AND s.expires_at > now() AND u.disabled_at IS NULL";
        sqlx::query_as(SESSION).bind(sha256).fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn end_session(&self, sha256: &[u8]) -> Result<(), Failure> {
        const END: &str = "DELETE FROM console_sessions WHERE token_sha256 = $1";
        repeated(|| sqlx::query(END).bind(sha256).execute(self.pool())).await.map(drop)
    }

    /// Adds a token, in the place of one of this name that was revoked or has expired. False: there is one in force.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn add_token(&self, token: &NewToken<'_>) -> Result<bool, Failure> {
        const ADD: &str = "INSERT INTO console_tokens (id, name, token_sha256, scopes, team, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT (name) DO UPDATE SET id = excluded.id, token_sha256 = excluded.token_sha256,
                scopes = excluded.scopes, team = excluded.team, expires_at = excluded.expires_at,
                created_at = now(), revoked_at = NULL
            WHERE console_tokens.revoked_at IS NOT NULL OR console_tokens.expires_at <= now()";
        let add = || {
            let add = sqlx::query(ADD).bind(Uuid::now_v7()).bind(token.name).bind(token.sha256).bind(token.scopes);
            add.bind(token.team).bind(token.expires_at).execute(self.pool())
        };
        Ok(repeated(add).await?.rows_affected() > 0)
    }

    /// The token with this hash, unless expired or revoked.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn token(&self, sha256: &[u8]) -> Result<Option<Token>, Failure> {
        const TOKEN: &str = "SELECT name, scopes, team, expires_at, revoked_at FROM console_tokens
            WHERE token_sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())";
        sqlx::query_as(TOKEN).bind(sha256).fetch_optional(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Every token, by name.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn tokens(&self) -> Result<Vec<Token>, Failure> {
        const TOKENS: &str = "SELECT name, scopes, team, expires_at, revoked_at FROM console_tokens ORDER BY name";
        sqlx::query_as(TOKENS).fetch_all(self.pool()).await.map_err(|e| errors::failure(&e))
    }

    /// Refuses a token from now on. False: there is no such token in force.
    ///
    /// # Errors
    /// `database.unreachable`, `database.refused`.
    #[boxed]
    pub async fn revoke_token(&self, name: &str) -> Result<bool, Failure> {
        const REVOKE: &str = "UPDATE console_tokens SET revoked_at = now() WHERE name = $1 AND revoked_at IS NULL";
        Ok(repeated(|| sqlx::query(REVOKE).bind(name).execute(self.pool())).await?.rows_affected() > 0)
    }
}

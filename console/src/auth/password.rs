//! Passwords, by Argon2id.

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::LazyLock;
use tokio::sync::Semaphore;

/// Passwords checked at once: each takes 19 MiB, and a flood of logins must not be a flood of memory.
const AT_ONCE: usize = 2;

/// Checks passwords, few at once.
pub(crate) struct Passwords(Semaphore);

impl Default for Passwords {
    fn default() -> Self {
        Self(Semaphore::new(AT_ONCE))
    }
}

impl Passwords {
    /// The hash of a password, in PHC format.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn hash(password: &str) -> anyhow::Result<String> {
        let hash: PasswordHash =
            Argon2::default().hash_password(password.as_bytes()).ok().context("the password can't be hashed")?;
        Ok(hash.to_string())
    }

    /// Whether the password is right. Takes as long when there is no such user (`hash` is `None`).
    pub(crate) async fn check(&self, password: String, hash: Option<String>) -> bool {
        static NOBODY: LazyLock<String> = LazyLock::new(|| Passwords::hash("nobody").unwrap_or_default());
        let Ok(_permit) = self.0.acquire().await else { return false };
        let checking = tokio::task::spawn_blocking(move || {
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| NOBODY.clone());
            let right = PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok());
            known && right
        });
        checking.await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let hash = Passwords::hash("correct horse").expect("hashes");
        assert!(hash.starts_with("$argon2id$"));
        let passwords = Passwords::default();
        assert!(passwords.check("correct horse".into(), Some(hash.clone())).await);
        assert!(!passwords.check("wrong horse".into(), Some(hash)).await);
        assert!(!passwords.check("nobody".into(), None).await);
    }
}

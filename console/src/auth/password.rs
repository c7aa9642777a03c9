//! Passwords, by Argon2id.

use anyhow::Context;
use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// Passwords checked at once: each takes 19 MiB, and a flood of logins must not be a flood of memory.
const AT_ONCE: usize = 2;

/// Checks passwords, few at once.
pub(crate) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
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
        let Ok(permit) = self.0.clone().acquire_owned().await else { return false };
        let checking = tokio::task::spawn_blocking(move || {
            // Until the end of the work, which goes on when the sender hangs up.
            let _permit = permit;
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

    #[tokio::test]
    async fn a_check_whose_sender_hung_up_counts_until_it_ends() {
        let passwords = Passwords::default();
        for _ in 0..AT_ONCE {
            let mut checking = Box::pin(passwords.check("guess".into(), None));
            assert!(futures_util::poll!(&mut checking).is_pending());
            drop(checking);
        }
        assert_eq!(passwords.0.available_permits(), 0);
        let _all = passwords.0.acquire_many(AT_ONCE as u32).await.expect("given back at their ends");
    }
}

//! Random values of cookies and tokens; only their hashes are stored.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::Rng;
use sha2::{Digest, Sha256};

/// A random value of 256 bits.
pub(crate) struct Secret(String);

impl Secret {
    /// A new one, after a prefix by which people and secret scanners recognise it.
    pub(crate) fn new(prefix: &str) -> Self {
        let mut bytes = [0_u8; 32];
        rand::rng().fill(&mut bytes);
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// The value itself, to be shown or sent once.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        Self::hash(&self.0)
    }

    /// What is stored of a value that a caller sent.
    pub(crate) fn hash(value: &str) -> [u8; 32] {
        Sha256::digest(value.as_bytes()).into()
    }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

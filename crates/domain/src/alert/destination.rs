//! Webhooks that alerts are sent to.

use super::{Rule, Severity};

/// Name of the destination that always exists: the broker's alerts exchange.
pub const AMQP: &str = "amqp";

/// The language of messages for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// 中文
    Chinese,
    /// English
    English,
    /// Both, Chinese first.
    Both,
}

/// Most requests that may be sent to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// In any sixty seconds.
    pub per_minute: u32,
    /// In any second.
    pub per_second: u32,
}

/// A webhook of the alert file. Its URL and its secret are in the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Unique.
    pub name: String,
    /// Name of the chat service that its URL belongs to. The services are in the adapters.
    pub service: String,
    /// Environment variable with the URL.
    pub url_env: String,
    /// Environment variable with the secret that messages are signed with.
    pub secret_env: Option<String>,
    /// Language of its messages.
    pub language: Language,
    /// Least severity that is sent there.
    pub min_severity: Severity,
    /// Most requests.
    pub rate_limit: RateLimit,
}

impl Destination {
    /// Whether alerts of this rule are sent there.
    pub fn accepts(&self, rule: &Rule) -> bool {
        rule.severity >= self.min_severity && rule.notify.as_ref().is_none_or(|names| names.contains(&self.name))
    }
}

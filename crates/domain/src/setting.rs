//! What the section of every crate reports of its settings.

/// Whether one setting is valid, beyond what its type expresses: a range, or how keys depend on each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// The setting, like `amqp.url`.
    pub key: &'static str,
    /// Whether its value is valid.
    pub valid: bool,
    /// What the value must be, after the key: "must be at least 1".
    pub requirement: &'static str,
}

impl Check {
    /// A check of this setting.
    pub fn new(key: &'static str, valid: bool, requirement: &'static str) -> Self {
        Self { key, valid, requirement }
    }
}

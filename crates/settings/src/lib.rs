//! Settings: the built-in `config/default.toml`, then the file named in `EMOFLEET_CONFIG`,
//! then the environment (`EMOFLEET__SECTION__KEY`). An unknown key is an error that names it.

pub mod alert_file;
mod console;
mod dispatcher;
mod watch;
mod worker;

pub use alert_file::Alerts;
pub use console::{Console, Login};
pub use dispatcher::Dispatcher;
pub use watch::Watch;
pub use worker::Worker;

use adapters::{amqp, postgres, s3, telemetry};
use figment::Figment;
use figment::providers::{Env, Format, Toml};
use serde::Deserialize;

/// The commented defaults that are built in.
pub const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// A setting that is missing, unknown, of the wrong type or out of range.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The message names the key and where it was set.
    #[error("configuration: {0}")]
    Invalid(String),
    /// `EMOFLEET_CONFIG` names a file that can't be read: its path, and why.
    #[error("configuration: EMOFLEET_CONFIG names `{0}`, which can't be read: {1}")]
    NoFile(String, std::io::Error),
    /// The alert file is not valid: one line per error, with its place.
    #[error("alert file:\n{0}")]
    AlertFile(String),
}

/// Settings whose values are taken from the environment as they are. The others are parsed, so that `3` is a number, which
/// would change a password of digits or quotes.
const VERBATIM: [&str; 6] =
    ["amqp.user", "amqp.password", "postgres.user", "postgres.password", "s3.access_key", "s3.secret_key"];

/// All settings, one field for each section of `config/default.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each section is documented once, in config/default.toml")]
pub struct Settings {
    pub amqp: amqp::Settings,
    pub s3: s3::Settings,
    pub postgres: postgres::Settings,
    pub worker: Worker,
    pub audio: speech::settings::Audio,
    pub segment: speech::settings::Segment,
    pub analysis: speech::settings::Analysis,
    pub model: speech::settings::Model,
    pub runtime: speech::settings::Runtime,
    pub alerts: Alerts,
    pub dispatcher: Dispatcher,
    pub console: Console,
    pub watch: Watch,
    pub log: telemetry::Settings,
}

impl Settings {
    /// What `speech` needs of them.
    pub fn speech(&self) -> speech::Settings {
        speech::Settings {
            audio: self.audio.clone(),
            segment: self.segment.clone(),
            analysis: self.analysis.clone(),
            model: self.model.clone(),
            runtime: self.runtime.clone(),
        }
    }

    /// What types can't express: ranges, and how keys depend on each other. The message names the key.
    fn check(&self) -> Result<(), String> {
        let sections = [
            self.amqp.checks(),
            self.s3.checks(),
            self.postgres.checks(),
            self.worker.checks(),
            self.audio.checks(),
            self.segment.checks(),
            self.analysis.checks(),
            self.model.checks(),
            self.dispatcher.checks(),
            self.console.checks(),
            self.watch.checks(),
        ];
        match sections.into_iter().flatten().find(|check| !check.valid) {
            Some(check) => Err(format!("`{}` {}", check.key, check.requirement)),
            None => Ok(()),
        }
    }

    /// Defaults, file and environment together.
    ///
    /// # Errors
    /// [`ConfigError`], with the key and its source.
    pub fn load() -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Toml::string(DEFAULTS));
        if let Some(path) = std::env::var_os("EMOFLEET_CONFIG").filter(|p| !p.is_empty()) {
            // Opened here for the reason; figment's error would have neither reason nor path.
            std::fs::read(&path).map_err(|e| ConfigError::NoFile(path.to_string_lossy().into_owned(), e))?;
            figment = figment.merge(Toml::file_exact(path));
        }
        figment = figment.merge(Env::prefixed("EMOFLEET__").split("__"));
        Self::extract(&verbatim(figment, |name| std::env::var(name).ok()))
    }

    /// The built-in defaults with TOML text on top; the environment is not looked at.
    ///
    /// # Errors
    /// [`ConfigError`], with the key.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::extract(&Figment::from(Toml::string(DEFAULTS)).merge(Toml::string(text)))
    }

    fn extract(figment: &Figment) -> Result<Self, ConfigError> {
        let settings: Self = figment.extract().map_err(|errors| ConfigError::Invalid(describe(errors)))?;
        settings.check().map_err(ConfigError::Invalid)?;
        Ok(settings)
    }
}

/// Takes the settings of [`VERBATIM`] from the environment.
fn verbatim(figment: Figment, variable: impl Fn(&str) -> Option<String>) -> Figment {
    VERBATIM.iter().fold(figment, |figment, key| {
        match variable(&format!("EMOFLEET__{}", key.to_uppercase().replace('.', "__"))) {
            Some(value) => figment.merge((*key, value)),
            None => figment,
        }
    })
}

/// One line per error: which key, what is wrong with it, where it was set. Values are left
/// out: they may be secrets.
fn describe(errors: figment::Error) -> String {
    use figment::error::Kind;
    let line = |error: figment::Error| {
        let mut path = error.path.join(".");
        let what = match &error.kind {
            Kind::UnknownField(field, known) => {
                // The path ends in the key or in its section, as the unknown key came last or not.
                if error.path.last() != Some(field) {
                    path = error.path.iter().chain([field]).map(String::as_str).collect::<Vec<_>>().join(".");
                }
                format!("unknown key; the keys here are {}", known.join(", "))
            }
            Kind::MissingField(field) => format!("`{field}` is missing"),
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => format!("must be {expected}"),
            Kind::UnknownVariant(_, known) => format!("must be one of {}", known.join(", ")),
            Kind::Message(message) => message.clone(),
            other => other.to_string(),
        };
        let origin = error.metadata.as_ref().map_or(String::new(), |m| format!(" (set in {})", m.name));
        format!("`{path}`: {what}{origin}")
    };
    errors.into_iter().map(line).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn the_defaults_are_valid_and_complete() {
        let settings = Settings::from_toml("").expect("config/default.toml is valid");
        assert_eq!(settings.amqp.prefix, "emofleet");
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = Settings::from_toml("[worker]\nslotz = 3").expect_err("unknown key").to_string();
        assert!(error.contains("`worker.slotz`") && error.contains("slots"), "{error}");
    }

    #[test]
    fn a_wrong_type_is_named_without_its_value() {
        let error = Settings::from_toml("[worker]\nslots = \"hunter2\"").expect_err("wrong type").to_string();
        assert!(error.contains("`worker.slots`") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (toml, key) in [
            ("[worker]\nmax_attempts_unfinished = 0", "worker.max_attempts_unfinished"),
            ("[model]\nbatch_items = 0", "model.batch_items"),
            ("[watch]\ninterval_s = 0", "watch.interval_s"),
            ("[watch]\nhealth_addr = \"9634\"", "watch.health_addr"),
            ("[segment]\ntarget_max_s = 40.0", "segment.target_max_s"),
            ("[amqp]\nretry_delays_s = []", "amqp.retry_delays_s"),
            ("[amqp]\nurl = \"http://x\"", "amqp.url"),
            ("[amqp]\nurl = \"amqp://h:no-port/v\"", "amqp.url"),
            (&format!("[amqp]\nprefix = \"{}\"", "x".repeat(240)), "amqp.prefix"),
            ("[amqp]\nca_file = \"/no/such/ca.pem\"", "amqp.ca_file"),
            ("[s3]\nca_file = \"/no/such/ca.pem\"", "s3.ca_file"),
            ("[s3]\nendpoint = \"minio.example:9000\"", "s3.endpoint"),
            ("[postgres]\nurl = \"postgres://h:no-port/d\"", "postgres.url"),
            ("[postgres]\nurl = \"postgres://h/d?sslrootcert=/no/such/ca.pem\"", "postgres.url"),
        ] {
            let error = Settings::from_toml(toml).expect_err(toml).to_string();
            assert!(error.contains(key), "{error}");
        }
    }

    #[test]
    fn passwords_are_taken_from_the_environment_as_they_are() {
        for password in ["007", "true", "[a]", "\"quoted\"", "a@b/c:d#e%f$g \\h'"] {
            let variable = |name: &str| (name == "EMOFLEET__AMQP__PASSWORD").then(|| password.to_owned());
            let settings =
                Settings::extract(&verbatim(Figment::from(Toml::string(DEFAULTS)), variable)).expect("valid");
            assert_eq!(settings.amqp.password.expose_secret(), password);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = "[s3]\nsecret_key = \"hunter2\"\n[amqp]\nurl = \"amqp://u:hunter2@h/v\"\n[postgres]\nurl = \"postgres://u:hunter2@h/d\"";
        let settings = Settings::from_toml(text).expect("valid");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

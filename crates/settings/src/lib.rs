//! Settings: the built-in `config/default.toml`, then the file named in `EMOFLEET_CONFIG`,
//! then the environment (`EMOFLEET__SECTION__KEY`). An unknown key is an error that names it.

pub mod alert_file;
mod console;
mod dispatcher;
mod environment;
mod texts;
mod watch;
mod worker;

pub use alert_file::Alerts;
pub use console::{Console, Login};
pub use dispatcher::Dispatcher;
pub use watch::Watch;
pub use worker::Worker;

use adapters::{amqp, postgres, s3, telemetry};
use domain::Check;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;
use std::ffi::OsString;
use std::sync::LazyLock;

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

    /// What types can't express: ranges, and how keys depend on each other.
    fn checks(&self) -> impl Iterator<Item = Check> + use<> {
        let sections = [
            self.amqp.checks(),
            self.s3.checks(),
            self.postgres.checks(),
            self.worker.checks(self.amqp.consumer_timeout_s),
            self.audio.checks(),
            self.segment.checks(),
            self.analysis.checks(),
            self.model.checks(),
            self.dispatcher.checks(),
            self.console.checks(),
            self.watch.checks(),
            self.log.checks(),
        ];
        sections.into_iter().flatten()
    }

    /// Defaults, file and environment together.
    ///
    /// # Errors
    /// [`ConfigError`], with the key and its source.
    pub fn load() -> Result<Self, ConfigError> {
        Self::load_from(std::env::vars_os())
    }

    /// The same with these environment variables.
    ///
    /// # Errors
    /// [`ConfigError`], with the key and its source.
    pub fn load_from(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let variables: Vec<_> = variables.into_iter().collect();
        let mut figment = Figment::from(Defaults);
        let file = variables.iter().find(|(name, path)| name == "EMOFLEET_CONFIG" && !path.is_empty());
        if let Some((_, path)) = file {
            // Opened here for the reason; figment's error would have neither reason nor path.
            std::fs::read(path).map_err(|e| ConfigError::NoFile(path.to_string_lossy().into_owned(), e))?;
            figment = figment.merge(Toml::file_exact(path));
        }
        for variable in environment::read(variables, &VALUES)? {
            figment = figment.merge(variable);
        }
        Self::extract(&figment)
    }

    /// The built-in defaults with TOML text on top; the environment is not looked at.
    ///
    /// # Errors
    /// [`ConfigError`], with the key.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::extract(&Figment::from(Defaults).merge(Toml::string(text)))
    }

    fn extract(figment: &Figment) -> Result<Self, ConfigError> {
        let invalid = |errors| ConfigError::Invalid(describe(errors));
        texts::check(&figment.extract::<Dict>().map_err(invalid)?).map_err(ConfigError::Invalid)?;
        let settings: Self = figment.extract().map_err(invalid)?;
        match settings.checks().find(|check| !check.valid) {
            Some(check) => Err(ConfigError::Invalid(format!("`{}` {}", check.key, check.requirement))),
            None => Ok(settings),
        }
    }
}

/// The values of [`DEFAULTS`].
static VALUES: LazyLock<Dict> = LazyLock::new(|| {
    Figment::from(Toml::string(DEFAULTS)).extract().expect("config/default.toml is valid: a test reads it")
});

/// The range of each number, as its check says it: what the number's type alone allows is no help.
static RANGES: LazyLock<Vec<Check>> = LazyLock::new(|| {
    let settings: Option<Settings> = Figment::from(Defaults).extract().ok();
    settings.iter().flat_map(Settings::checks).filter(|check| check.is_range).collect()
});

/// The built-in defaults, read once.
struct Defaults;

impl Provider for Defaults {
    fn metadata(&self) -> Metadata {
        Metadata::named("config/default.toml")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(VALUES.clone()))
    }
}

fn range_of(key: &str) -> Option<&'static str> {
    RANGES.iter().find(|check| check.key == key).map(|check| &*check.requirement)
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
            Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
                // An element of a list has its number as the last part.
                let element = error.path.last().is_some_and(|part| part.parse::<usize>().is_ok());
                let key = error.path[..error.path.len() - usize::from(element)].join(".");
                range_of(&key).map_or_else(|| format!("must be {expected}"), str::to_owned)
            }
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
            ("[worker]\njob_timeout_s = 1800", "worker.job_timeout_s"),
            ("[amqp]\nconsumer_timeout_s = 600", "worker.job_timeout_s"),
            ("[amqp]\nconsumer_timeout_s = 9", "amqp.consumer_timeout_s"),
            ("[model]\nbatch_items = 0", "model.batch_items"),
            ("[watch]\ninterval_s = 0", "watch.interval_s"),
            ("[watch]\nhealth_addr = \"9634\"", "watch.health_addr"),
            ("[segment]\ntarget_max_s = 40.0", "segment.target_max_s"),
            ("[segment]\npadding_s = 5.0\nhard_max_s = 10.0", "segment.padding_s"),
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

    fn with_variable(name: &str, value: &str) -> Result<Settings, ConfigError> {
        Settings::load_from([(name.into(), value.into())])
    }

    #[test]
    fn texts_are_taken_from_the_environment_as_they_are() {
        for text in ["007", "12345", "1e5", "true", "nan", "2024", "[a]", "{a=1}", "\"quoted\"", "a@b/c:d#e%f$g \\h'"] {
            let settings = with_variable("EMOFLEET__AMQP__PASSWORD", text).expect("valid");
            assert_eq!(settings.amqp.password.expose_secret(), text);
            let settings = with_variable("EMOFLEET__S3__SECRET_KEY", text).expect("valid");
            assert_eq!(settings.s3.secret_key.expose_secret(), text);
        }
        for text in ["2024", "1e5", "true", "0x10", "3.0"] {
            let of = |key: &str| with_variable(&format!("EMOFLEET__{key}"), text).expect("valid");
            assert_eq!(of("S3__BUCKET").s3.bucket, text);
            assert_eq!(of("S3__ARTIFACT_PREFIX").s3.artifact_prefix, text);
            assert_eq!(of("AMQP__PREFIX").amqp.prefix, text);
            assert_eq!(of("MODEL__NAME").model.name, text);
            assert_eq!(of("WORKER__NAME").worker.name, text);
            assert_eq!(of("CONSOLE__HOSTS").console.hosts, [text]);
            assert_eq!(of("WORKER__TEMP_DIR").worker.temp_dir.as_os_str(), text);
        }
    }

    #[test]
    fn numbers_and_lists_are_read_from_the_environment() {
        assert_eq!(with_variable("EMOFLEET__WORKER__SLOTS", " 3 ").expect("valid").worker.slots, 3);
        assert!(!with_variable("emofleet__s3__path_style", "false").expect("valid").s3.path_style);
        for list in ["[1,2]", "1, 2", "[ 1, 2 ]"] {
            let settings = with_variable("EMOFLEET__AMQP__RETRY_DELAYS_S", list).expect(list);
            assert_eq!(settings.amqp.retry_delays_s, [1, 2]);
        }
        let error = with_variable("EMOFLEET__WORKER__SLOTZ", "3").expect_err("unknown").to_string();
        assert!(error.contains("`worker.slotz`") && error.contains("EMOFLEET__WORKER__SLOTZ"), "{error}");
    }

    #[test]
    fn a_value_beyond_its_type_is_answered_with_the_range() {
        for (variable, value) in
            [("WORKER__SLOTS", "70000"), ("AMQP__HEARTBEAT_S", "-1"), ("AMQP__RETRY_DELAYS_S", "1,x")]
        {
            let error = with_variable(&format!("EMOFLEET__{variable}"), value).expect_err(value).to_string();
            assert!(error.contains(" to ") && !error.contains("u16"), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let text = "[s3]\nsecret_key = \"hunter2\"\n[amqp]\nurl = \"amqp://u:hunter2@h/v\"\n[postgres]\nurl = \"postgres://u:hunter2@h/d\"";
        let settings = Settings::from_toml(text).expect("valid");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}

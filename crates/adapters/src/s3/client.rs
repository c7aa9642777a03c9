//! The S3 client.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation, SharedHttpClient,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use domain::{Failure, FailureCode};
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

use super::genuine::GenuineAnswers;
use super::{Checksums, Settings};

/// Slowest upload that is allowed, bytes per second, on top of the stall timeout.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

/// The object store of the settings. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct Store {
    pub(super) client: Client,
    pub(super) stall_timeout: Duration,
    pub(super) connect_timeout: Duration,
    pub(super) attempts: u32,
    pub(super) part_bytes: u64,
    pub(super) region: String,
    pub(super) endpoint: String,
}

impl Store {
    /// A client of these settings. No network yet.
    ///
    /// # Errors
    /// `config.invalid` without credentials, or when `s3.ca_file` can't be used.
    pub fn new(settings: &Settings) -> Result<Self, Failure> {
        let stall_timeout = Duration::from_secs(settings.stall_timeout_s.max(1));
        let connect_timeout = Duration::from_secs(settings.connect_timeout_s.max(1));
        let (requests, responses) = match settings.checksums {
            Checksums::WhenRequired => {
                (RequestChecksumCalculation::WhenRequired, ResponseChecksumValidation::WhenRequired)
            }
            Checksums::WhenSupported => {
                (RequestChecksumCalculation::WhenSupported, ResponseChecksumValidation::WhenSupported)
            }
        };
        let mut builder = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(settings.region.clone()))
            .credentials_provider(credentials(settings)?)
            .http_client(http_client(settings)?)
            .interceptor(GenuineAnswers)
            .force_path_style(settings.path_style)
            .request_checksum_calculation(requests)
            .response_checksum_validation(responses)
            .retry_config(RetryConfig::standard().with_max_attempts(settings.attempts.max(1)))
            .timeout_config(timeouts(connect_timeout, stall_timeout))
            .stalled_stream_protection(StalledStreamProtectionConfig::enabled().grace_period(stall_timeout).build());
        if !settings.endpoint.is_empty() {
            builder = builder.endpoint_url(&settings.endpoint);
        }
        Ok(Self {
            client: Client::from_conf(builder.build()),
            stall_timeout,
            connect_timeout,
            attempts: settings.attempts.max(1),
            part_bytes: settings.part_mib * 1024 * 1024,
            region: settings.region.clone(),
            endpoint: settings.endpoint.clone(),
        })
    }

    /// Timeouts for sending this many bytes: the client counts the sending as part of the wait for an answer.
    pub(super) fn upload_config(&self, bytes: u64) -> aws_sdk_s3::config::Builder {
        let answer = self.stall_timeout + Duration::from_secs(bytes / SLOWEST_UPLOAD);
        aws_sdk_s3::Config::builder().timeout_config(timeouts(self.connect_timeout, answer))
    }
}

fn timeouts(connect: Duration, answer: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(connect).read_timeout(answer).build()
}

fn credentials(settings: &Settings) -> Result<Credentials, Failure> {
    let take = |setting: &SecretString, variable: &str| {
        let set = setting.expose_secret();
        if set.is_empty() { std::env::var(variable).unwrap_or_default() } else { set.to_owned() }
    };
    if settings.access_key.expose_secret().is_empty() != settings.secret_key.expose_secret().is_empty() {
        return Err(Failure::new(
            FailureCode::ConfigInvalid,
            "s3.access_key and s3.secret_key belong together: set both, or neither for those of the environment",
        ));
    }
    let access_key = take(&settings.access_key, "AWS_ACCESS_KEY_ID");
    let secret_key = take(&settings.secret_key, "AWS_SECRET_ACCESS_KEY");
    if access_key.is_empty() || secret_key.is_empty() {
        return Err(Failure::new(
            FailureCode::ConfigInvalid,
            "no S3 credentials: set s3.access_key and s3.secret_key, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ));
    }
    // A session token belongs to the keys of the environment, not to those of the settings.
    let token =
        settings.access_key.expose_secret().is_empty().then(|| std::env::var("AWS_SESSION_TOKEN").ok()).flatten();
    Ok(Credentials::new(access_key, secret_key, token.filter(|t| !t.is_empty()), None, "emofleet settings"))
}

fn http_client(settings: &Settings) -> Result<SharedHttpClient, Failure> {
    let builder = aws_smithy_http_client::Builder::new();
    if settings.endpoint.starts_with("http://") {
        return Ok(builder.build_http());
    }
    let builder = builder.tls_provider(Provider::Rustls(CryptoMode::Ring));
    if settings.ca_file.as_os_str().is_empty() {
        return Ok(builder.build_https());
    }
    let refused = |what: String| {
        Failure::new(FailureCode::ConfigInvalid, format!("`s3.ca_file` {}: {what}", settings.ca_file.display()))
    };
    let pem = std::fs::read(&settings.ca_file).map_err(|e| refused(e.to_string()))?;
    // Checked here, because the client panics on an invalid certificate.
    crate::pem::certificates(&pem).map_err(refused)?;
    let context = TlsContext::builder()
        .with_trust_store(TrustStore::empty().with_pem_certificate(pem))
        .build()
        .map_err(|e| refused(e.to_string()))?;
    Ok(builder.tls_context(context).build_https())
}

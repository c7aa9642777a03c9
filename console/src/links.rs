//! Links by which browsers read audio from the store itself, where `console.signed_links_s` allows it.

use adapters::s3::Store;
use domain::Failure;
use settings::Settings;
use std::time::Duration;
use url::Url;

/// Signs links to audio.
pub(crate) struct SignedLinks {
    store: Store,
    lifetime: Duration,
    /// Where the links lead, as a content security policy names it.
    pub origin: String,
}

impl SignedLinks {
    /// `None`: the console passes the bytes on.
    ///
    /// # Errors
    /// When a URL or credentials are wrong.
    pub(crate) fn open(settings: &Settings) -> Result<Option<Self>, Failure> {
        let (console, mut s3) = (&settings.console, settings.s3.clone());
        if console.signed_links_s == 0 {
            return Ok(None);
        }
        if !console.signed_links_endpoint.is_empty() {
            s3.endpoint.clone_from(&console.signed_links_endpoint);
        }
        let origin = origin(&s3.endpoint, s3.path_style);
        Ok(Some(Self { store: Store::new(&s3)?, lifetime: Duration::from_secs(console.signed_links_s), origin }))
    }

    /// A link to one object.
    ///
    /// # Errors
    /// `config.invalid`.
    pub(crate) async fn sign(&self, bucket: &str, key: &str, content_type: &str) -> Result<String, Failure> {
        self.store.signed_link(bucket, key, content_type, self.lifetime).await
    }
}

/// The source of the links: of any bucket, where the bucket is part of the host name.
fn origin(endpoint: &str, path_style: bool) -> String {
    let Ok(url) = endpoint.parse::<Url>() else { return "https://*.amazonaws.com".into() };
    let origin = url.origin().ascii_serialization();
    match origin.split_once("://") {
        Some((scheme, host)) if !path_style => format!("{scheme}://*.{host}"),
        _ => origin,
    }
}

#[cfg(test)]
mod tests {
    use super::origin;

    #[test]
    fn the_policy_names_where_the_links_lead() {
        assert_eq!(origin("http://10.0.0.7:9000/", true), "http://10.0.0.7:9000");
        assert_eq!(origin("https://s3.example.org", false), "https://*.s3.example.org");
        assert_eq!(origin("", false), "https://*.amazonaws.com");
    }
}

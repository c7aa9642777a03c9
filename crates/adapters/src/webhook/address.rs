//! URLs and secrets, from the environment.

use secrecy::SecretString;
use url::{Host, Url};

/// The URL in this environment variable.
pub(super) fn url(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Url, String> {
    let text = value(name, variable)?;
    let url: Url = text.parse().map_err(|_| format!("the environment variable {name} holds no URL"))?;
    let loopback = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        _ => Err(format!("the URL in {name} must begin with https://; plain http is for this machine only")),
    }
}

/// The secret in this environment variable.
pub(super) fn secret(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<SecretString, String> {
    value(name, variable).map(SecretString::from)
}

fn value(name: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let value = variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    value.ok_or_else(|| format!("the environment variable {name} is not set"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Url, String> {
        url("CHAT_URL", |_| Some(value.to_owned()))
    }

    #[test]
    fn plain_http_is_for_this_machine_only() {
        assert!(read("https://oapi.dingtalk.com/robot/send?access_token=x").is_ok());
        for local in ["http://127.0.0.1:9/x", "http://localhost/", "http://[::1]:80/"] {
            assert!(read(local).is_ok(), "{local}");
        }
        for open in ["http://10.0.0.1/", "http://example.com/", "http://localhost.example.com/", "ftp://127.0.0.1/"] {
            assert!(read(open).is_err_and(|e| e.contains("https://")), "{open}");
        }
    }

    #[test]
    fn errors_name_the_variable_and_never_show_its_value() {
        assert!(url("CHAT_URL", |_| None).is_err_and(|e| e.contains("CHAT_URL is not set")));
        let error = read("hunter2").expect_err("no URL");
        assert!(error.contains("CHAT_URL") && !error.contains("hunter2"), "{error}");
    }
}

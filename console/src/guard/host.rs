//! Refuses requests for unknown host names: another site could let a name of its own point to this address
//! (DNS rebinding), and its pages would then have the same origin.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;

use crate::app::Shared;
use crate::problem::Problem;

/// Lets requests for localhost, an IP address or a name of `console.hosts` pass.
pub(crate) async fn known_host(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let named = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    if named.is_some_and(|host| is_known(host, &app.settings.console.hosts)) {
        return next.run(request).await;
    }
    let detail = "The console is not known under this host name. Its operator adds the name to `console.hosts`.";
    Problem::new(StatusCode::MISDIRECTED_REQUEST, "request.host", detail).into_response()
}

fn is_known(host: &str, known: &[String]) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || known.iter().any(|known| known.eq_ignore_ascii_case(host) || known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::is_known;

    #[test]
    fn addresses_and_configured_names_are_known_and_other_names_are_not() {
        let known = ["console.example.org".to_string()];
        for host in ["localhost:7860", "127.0.0.1:7860", "[::1]:7860", "10.0.0.7", "Console.example.org:443"] {
            assert!(is_known(host, &known), "{host}");
        }
        for host in ["evil.example:7860", "localhost.evil.example", "", "127.0.0.1.evil.example:7860"] {
            assert!(!is_known(host, &known), "{host}");
        }
    }
}

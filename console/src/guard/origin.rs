//! Refuses requests that change something and come from a page of another site (CSRF).

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::Problem;

/// Lets safe methods, bearers of tokens, programs that are no browsers, and our own pages pass.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || request.headers().contains_key(header::AUTHORIZATION) || is_ours(request.headers()) {
        return next.run(request).await;
    }
    let detail = "The request comes from a page of another site.";
    Problem::new(StatusCode::FORBIDDEN, "request.origin", detail).into_response()
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    // Browsers without Sec-Fetch-Site send Origin; what sends neither is no browser.
    let Some(origin) = text("origin") else { return true };
    let host = text("host").unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, origin)| origin.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_sites_are_refused() {
        let ours = |pairs: &[(&'static str, &'static str)]| {
            let headers =
                pairs.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value")));
            is_ours(&headers.collect())
        };
        assert!(ours(&[("host", "localhost:7860")]));
        assert!(ours(&[("host", "localhost:7860"), ("origin", "http://localhost:7860")]));
        assert!(ours(&[("sec-fetch-site", "same-origin")]));
        assert!(!ours(&[("host", "localhost:7860"), ("origin", "http://localhost:3000")]));
        assert!(!ours(&[("host", "localhost:7860"), ("origin", "null")]));
        assert!(!ours(&[
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://localhost:7860"),
            ("host", "localhost:7860")
        ]));
        assert!(!ours(&[("sec-fetch-site", "same-site")]));
    }
}

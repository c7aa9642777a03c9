//! Refuses requests of other sites' pages that change something (CSRF).

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::auth::bearer;
use crate::problem::Problem;

/// Lets safe methods, requests with a token, programs that are not browsers, and our own pages pass.
pub(crate) async fn same_origin(request: Request, next: Next) -> Response {
    let safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if safe || is_allowed(request.headers()) {
        return next.run(request).await;
    }
    let detail = "The request was sent by a page of another site.";
    Problem::new(StatusCode::FORBIDDEN, "request.origin", detail).into_response()
}

fn is_allowed(headers: &HeaderMap) -> bool {
    // Not any `Authorization`: browsers add that of a proxy's basic authentication by themselves, as they add cookies.
    bearer(headers).is_some() || is_ours(headers)
}

fn is_ours(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return matches!(site, "same-origin" | "none");
    }
    // Browsers without Sec-Fetch-Site send Origin; what sends neither is not a browser.
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
            is_allowed(&headers.collect())
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
        assert!(ours(&[("sec-fetch-site", "cross-site"), ("authorization", "Bearer t")]));
        assert!(!ours(&[("sec-fetch-site", "cross-site"), ("authorization", "Basic dTpw")]));
    }
}

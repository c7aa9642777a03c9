//! Errors as pages, in the reader's language; programs get the problem itself.

use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::frame::{Frame, LANG_COOKIE, asked, html};
use crate::app::Shared;
use crate::auth::Principal;
use crate::problem::Problem;

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    f: Frame,
    code: &'static str,
    status: u16,
    sentence: String,
    /// The same address again.
    again: Option<String>,
}

/// The key of a code's sentence in the catalogues.
pub(crate) fn error_key(code: &str) -> String {
    format!("error-{}", code.replace(['.', '_'], "-"))
}

/// The sentence of a problem in the page's language; the problem's own when there is none.
pub(super) fn sentence(f: &Frame, problem: &Problem) -> String {
    f.lang.find(&error_key(problem.code), problem.number).unwrap_or_else(|| problem.detail.clone())
}

/// Turns problems into pages for browsers, and keeps the language that `?lang=` chose.
pub(crate) async fn errors(State(app): State<Shared>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let frame = <Frame as axum::extract::FromRequestParts<Shared>>::from_request_parts(&mut parts, &app).await;
    let Ok(frame) = frame;
    let accepts = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let for_people = accepts.contains("text/html") && !parts.uri.path().starts_with("/api/");
    let lang = asked(parts.uri.query());
    // A link or a redirect can lead back to what was requested by GET only.
    let address = parts.uri.path_and_query().filter(|_| parts.method == Method::GET).map(ToString::to_string);
    // A review that was sent after the session has ended: its page says that it was not saved.
    let lost = (parts.method == Method::POST && parts.uri.path().starts_with("/review/"))
        .then(|| format!("{}?unsaved=1", parts.uri.path()));
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if for_people && let Some(problem) = response.extensions().get::<Problem>().cloned() {
        let reader = response.extensions().get::<Principal>().cloned();
        let mut shown = page(Frame { reader, ..frame }, &problem, address.as_deref(), lost.as_deref());
        for name in [header::RETRY_AFTER, header::ALLOW] {
            if let Some(value) = response.headers().get(&name) {
                shown.headers_mut().insert(name, value.clone());
            }
        }
        response = shown;
    }
    if let Some(lang) = lang {
        let cookie = format!("{LANG_COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax", lang.tag());
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// `address`: what was requested, where it can be requested again; `lost`: where to go after a login if it can't.
fn page(f: Frame, problem: &Problem, address: Option<&str>, lost: Option<&str>) -> Response {
    if problem.status == StatusCode::UNAUTHORIZED {
        let next = address.or(lost).unwrap_or("/");
        let next: String = url::form_urlencoded::byte_serialize(next.as_bytes()).collect();
        return Redirect::to(&format!("/login?next={next}")).into_response();
    }
    let sentence = sentence(&f, problem);
    // A query alone: it can't lead to another host, whatever the path is.
    let query = |address: &str| format!("?{}", address.split_once('?').map_or("", |(_, query)| query));
    let again = address.filter(|_| problem.retry_after_s.is_some()).map(query);
    let page = ErrorPage { f, code: problem.code, status: problem.status.as_u16(), sentence, again };
    match html(&page) {
        Ok(response) => (problem.status, response).into_response(),
        Err(problem) => problem.into_response(),
    }
}

/// For addresses without a route.
pub(crate) async fn not_found() -> Problem {
    Problem::not_found("page")
}

/// For methods that an address does not take.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "request.method", "This address does not take this method.")
}

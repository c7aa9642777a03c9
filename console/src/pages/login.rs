//! Login and logout.

use adapters::postgres::console::AuditEntry;
use askama::Template;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{TimeDelta, Utc};
use serde::Deserialize;
use url::{Position, Url};

use super::frame::{Frame, html};
use crate::app::{App, Shared};
use crate::auth::{SESSION_COOKIE, Secret, cookie, peer_name};
use crate::extract::Query;
use crate::problem::Problem;

/// Longest form, bytes.
const MAX_FORM: usize = 8 << 10;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    f: Frame,
    next: String,
    wrong: bool,
}

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

struct Form {
    name: String,
    password: String,
    next: Option<String>,
}

/// `GET /login`
pub(super) async fn page(f: Frame, Query(Next { next }): Query<Next>) -> Result<Response, Problem> {
    html(&LoginPage { f, next: local(next), wrong: false })
}

/// `POST /login`
pub(super) async fn login(State(app): State<Shared>, f: Frame, request: Request) -> Result<Response, Problem> {
    let address = peer_name(&request);
    let body = app.small_body(request, MAX_FORM).await?;
    let form = read(&body).ok_or_else(|| Problem::bad_request("The form has `name` and `password`."))?;
    app.rate.check_login(&address, &form.name)?;
    let user = app.database.user(&form.name).await?;
    let right = app.passwords.check(form.password, user.as_ref().map(|user| user.password_hash.clone())).await;
    let (next, who) = (local(form.next), format!("user:{}", form.name));
    let Some(user) = user.filter(|_| right) else {
        app.note_login(&who, "login_failed", &address).await?;
        return Ok((StatusCode::UNAUTHORIZED, html(&LoginPage { f, next, wrong: true })?).into_response());
    };
    let (secret, hours) = (Secret::new(""), app.settings.console.session_hours);
    app.database.begin_session(user.id, &secret.sha256(), Utc::now() + TimeDelta::hours(hours.into())).await?;
    app.note_login(&who, "login", &address).await?;
    let secure = if app.settings.console.secure_cookie { "; Secure" } else { "" };
    let age = u64::from(hours) * 3600;
    let cookie = format!("{SESSION_COOKIE}={}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}{secure}", secret.reveal());
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to(&next)).into_response())
}

/// `POST /logout`
pub(super) async fn logout(State(app): State<Shared>, headers: HeaderMap) -> Result<Response, Problem> {
    if let Some(session) = cookie(&headers, SESSION_COOKIE) {
        app.database.end_session(&Secret::hash(session)).await?;
    }
    let cookie = format!("{SESSION_COOKIE}=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    Ok(([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response())
}

fn read(body: &[u8]) -> Option<Form> {
    let (mut name, mut password, mut next) = (None, None, None);
    for (key, value) in url::form_urlencoded::parse(body) {
        match &*key {
            "name" => name = Some(value.trim().to_owned()),
            "password" => password = Some(value.into_owned()),
            "next" => next = Some(value.into_owned()),
            _ => {}
        }
    }
    // Postgres' text holds no NUL, so no user has one in the name.
    Some(Form { name: name.filter(|name: &String| !name.contains('\0'))?, password: password?, next })
}

/// A path on this site; `/` for anything else. Read as browsers read it: they drop tabs, and take `\` for `/`.
fn local(next: Option<String>) -> String {
    let path = || {
        let next = next.filter(|next| next.starts_with('/') && !next.contains(char::is_control))?;
        let site = Url::parse("http://console.invalid/").ok()?;
        let url = site.join(&next).ok()?;
        let path = url[Position::BeforePath..].to_owned();
        (url.origin() == site.origin() && !path.starts_with("//")).then_some(path)
    };
    path().unwrap_or_else(|| "/".into())
}

impl App {
    async fn note_login(&self, who: &str, action: &str, address: &str) -> Result<(), Problem> {
        let entry = AuditEntry { who, action, job_id: None, detail: "", address };
        Ok(self.database.audit(&entry).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::{local, read};

    #[test]
    fn a_form_without_a_possible_name_is_refused() {
        assert!(read(b"name=lin&password=secret").is_some());
        for form in [b"password=secret".as_slice(), b"name=lin", b"name=l%00&password=secret"] {
            assert!(read(form).is_none());
        }
    }

    #[test]
    fn after_the_login_the_browser_stays_on_this_site() {
        assert_eq!(local(Some("/recognise/1?t=3".into())), "/recognise/1?t=3");
        assert_eq!(local(Some("/recognise/通话".into())), "/recognise/%E9%80%9A%E8%AF%9D");
        for foreign in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "/\u{1}x",
            "/\u{7f}",
            "/\u{85}",
            "/.//evil.example",
            "/a/..//evil.example",
            "evil",
            "",
        ] {
            assert_eq!(local(Some(foreign.into())), "/");
        }
    }
}

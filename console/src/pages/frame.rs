//! What every page has: language, who is logged in, and the nonce of its styles.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use domain::Emotion;
use std::convert::Infallible;
use uuid::Uuid;

use super::assets;
use super::nav::{self, Entry};
use crate::auth::{Principal, cookie};
use crate::guard::Nonce;
use crate::i18n::Lang;
use crate::problem::Problem;

/// Name of the cookie that keeps the language chosen.
pub(super) const LANG_COOKIE: &str = "lang";

/// The frame of a page.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Language.
    pub(super) lang: Lang,
    /// Allows the page's style elements.
    pub(super) nonce: String,
    /// Who reads it; `None` before the login.
    pub(super) reader: Option<Principal>,
    /// Path of the page.
    pub(super) path: String,
    /// The page in the other language. A query alone: it can't lead to another host, whatever the path is.
    pub(super) switch: String,
}

impl Frame {
    /// A text in the page's language.
    pub(super) fn t(&self, key: &str) -> String {
        self.lang.text(key)
    }

    /// A text with a number in it.
    pub(super) fn n(&self, key: &str, number: &f64) -> String {
        self.lang.with(key, "n", *number)
    }

    /// A text with a word in it.
    pub(super) fn w(&self, key: &str, word: &str) -> String {
        self.lang.with(key, "name", word.to_owned())
    }

    /// A text with several words in it.
    pub(super) fn fill(&self, key: &str, words: &[(&str, &str)]) -> String {
        self.lang.fill(key, words)
    }

    /// An emotion in the page's language.
    pub(super) fn emotion(&self, emotion: &Emotion) -> &'static str {
        match self.lang {
            Lang::Zh => emotion.chinese(),
            Lang::En => emotion.label(),
        }
    }

    /// An emotion in the other language.
    pub(super) fn emotion_other(&self, emotion: &Emotion) -> &'static str {
        match self.lang {
            Lang::Zh => emotion.label(),
            Lang::En => emotion.chinese(),
        }
    }

    /// Address of a file of the pages, with its hash.
    #[expect(clippy::unused_self, reason = "templates call it on the frame")]
    pub(super) fn asset(&self, name: &str) -> String {
        assets::address(name)
    }

    /// The pages that its reader may open.
    pub(super) fn nav(&self) -> Vec<&'static Entry> {
        nav::of(self.reader.as_ref())
    }

    /// Name of who is logged in.
    pub(super) fn user(&self) -> Option<&str> {
        self.reader.as_ref()?.user()
    }

    /// The other language.
    pub(super) fn other(&self) -> Lang {
        self.lang.other()
    }
}

impl<S: Sync> FromRequestParts<S> for Frame {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accepted = || {
            let header = parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
            Lang::accepted(header.unwrap_or_default())
        };
        let kept = || cookie(&parts.headers, LANG_COOKIE).and_then(Lang::from_tag);
        let lang = asked(parts.uri.query()).or_else(kept).unwrap_or_else(accepted);
        Ok(Self {
            lang,
            switch: switch(&parts.method, &parts.uri, lang.other()),
            nonce: parts.extensions.get::<Nonce>().map(|nonce| nonce.0.clone()).unwrap_or_default(),
            reader: parts.extensions.get::<Principal>().cloned(),
            path: parts.uri.path().to_owned(),
        })
    }
}

/// Where the switch to this language leads: the same address with `lang`, or the page whose form was sent.
fn switch(method: &Method, uri: &Uri, lang: Lang) -> String {
    let safe = matches!(*method, Method::GET | Method::HEAD);
    let page = match uri.path() {
        _ if safe => "",
        "/login" => "/login",
        path => path.strip_suffix("/again").filter(|page| is_result(page)).unwrap_or("/"),
    };
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    if safe {
        let kept = url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        query.extend_pairs(kept.filter(|(name, _)| name != "lang"));
    }
    format!("{page}?{}", query.append_pair("lang", lang.tag()).finish())
}

fn is_result(path: &str) -> bool {
    path.strip_prefix("/recognise/").is_some_and(|job| job.parse::<Uuid>().is_ok())
}

/// `?lang=`
pub(super) fn asked(query: Option<&str>) -> Option<Lang> {
    let mut pairs = url::form_urlencoded::parse(query?.as_bytes());
    pairs.find_map(|(name, value)| if name == "lang" { Lang::from_tag(&value) } else { None })
}

/// A template as an answer.
pub(super) fn html(template: &impl Template) -> Result<Response, Problem> {
    match template.render() {
        Ok(text) => Ok(Html(text).into_response()),
        Err(error) => {
            tracing::error!(%error, "a page can't be written");
            Err(Problem::internal("The page can't be written."))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_switch_of_languages_stays_on_the_page() {
        let job = "/recognise/0190a5e2-0000-7000-8000-000000000000";
        for (method, address, switch_to) in [
            (Method::GET, "/recognise/1?t=83&lang=en", "?t=83&lang=zh"),
            (Method::GET, "/", "?lang=zh"),
            (Method::GET, "//evil.example/a", "?lang=zh"),
            (Method::POST, "/recognise", "/?lang=zh"),
            (Method::POST, "/login?next=x", "/login?lang=zh"),
            (Method::POST, &format!("{job}/again"), &format!("{job}?lang=zh")),
            (Method::POST, "//evil.example/again", "/?lang=zh"),
        ] {
            assert_eq!(switch(&method, &address.parse().expect("an address"), Lang::Zh), switch_to, "{address}");
        }
    }
}

//! What every page has: language, who is logged in, and the nonce of its styles.
#![expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Response};
use domain::Emotion;
use std::convert::Infallible;

use super::assets;
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
    /// Name of who is logged in.
    pub(super) user: Option<String>,
    /// Path of the page, for the switch of languages.
    pub(super) path: String,
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

    /// The other language.
    pub(super) fn other(&self) -> Lang {
        if self.lang == Lang::Zh { Lang::En } else { Lang::Zh }
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
        Ok(Self {
            lang: asked(parts.uri.query()).or_else(kept).unwrap_or_else(accepted),
            nonce: parts.extensions.get::<Nonce>().map(|nonce| nonce.0.clone()).unwrap_or_default(),
            user: parts.extensions.get::<Principal>().and_then(|p| p.user().map(str::to_owned)),
            path: parts.uri.path().to_owned(),
        })
    }
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

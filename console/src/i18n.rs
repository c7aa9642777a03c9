//! The pages' languages: two catalogues, built in.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::sync::LazyLock;
use unic_langid::LanguageIdentifier;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lang {
    /// 中文
    Zh,
    /// English
    En,
}

const ZH: &str = include_str!("../locales/zh.ftl");
const EN: &str = include_str!("../locales/en.ftl");

static CATALOGUES: LazyLock<[FluentBundle<FluentResource>; 2]> =
    LazyLock::new(|| [catalogue(Lang::Zh, ZH), catalogue(Lang::En, EN)]);

fn catalogue(lang: Lang, text: &str) -> FluentBundle<FluentResource> {
    let id: LanguageIdentifier = lang.tag().parse().expect("a tag of ours is a language tag");
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // Marks around values would be copied along with them, into file names and numbers.
    bundle.set_use_isolating(false);
    let resource = FluentResource::try_new(text.to_owned()).unwrap_or_else(|(resource, _)| resource);
    bundle.add_resource_overriding(resource);
    bundle
}

impl Lang {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Zh, Self::En];

    /// Its tag, for `<html lang>` and the cookie.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }

    /// The other one.
    pub(crate) fn other(self) -> Self {
        if self == Self::Zh { Self::En } else { Self::Zh }
    }

    /// Its own name.
    pub(crate) fn own_name(self) -> &'static str {
        match self {
            Self::Zh => "中文",
            Self::En => "English",
        }
    }

    /// The language of a tag like `zh` or `en-GB`.
    pub(crate) fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.trim().split(['-', '_']).next().unwrap_or_default().to_lowercase();
        Self::ALL.into_iter().find(|lang| lang.tag() == primary)
    }

    /// The best of `Accept-Language`; English for those who read neither.
    pub(crate) fn accepted(header: &str) -> Self {
        let mut preferences: Vec<(f32, Self)> = header
            .split(',')
            .filter_map(|preference| {
                let (tag, quality) = preference.split_once(";q=").unwrap_or((preference, "1"));
                Some((quality.trim().parse().unwrap_or(0.0), Self::from_tag(tag)?))
            })
            .collect();
        // Stable: of equal preferences the first one.
        preferences.sort_by(|a, b| b.0.total_cmp(&a.0));
        preferences.first().map_or(Self::En, |preference| preference.1)
    }

    /// A text by its key; the key itself when there is none.
    pub(crate) fn text(self, key: &str) -> String {
        self.format(key, None)
    }

    /// A text with one value.
    pub(crate) fn with<'a>(self, key: &str, name: &'a str, value: impl Into<FluentValue<'a>>) -> String {
        let mut arguments = FluentArgs::new();
        arguments.set(name, value);
        self.format(key, Some(&arguments))
    }

    /// A text with several words in it.
    pub(crate) fn fill(self, key: &str, words: &[(&str, &str)]) -> String {
        let words: FluentArgs<'_> = words.iter().map(|(name, word)| (*name, FluentValue::from(*word))).collect();
        self.format(key, Some(&words))
    }

    /// A text by its key, if there is one; with a number, if the text has one.
    pub(crate) fn find(self, key: &str, number: Option<u32>) -> Option<String> {
        let arguments = number.map(|number| FluentArgs::from_iter([("n", FluentValue::from(number))]));
        CATALOGUES[self as usize].has_message(key).then(|| self.format(key, arguments.as_ref()))
    }

    fn format(self, key: &str, arguments: Option<&FluentArgs<'_>>) -> String {
        let bundle = &CATALOGUES[self as usize];
        let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
            tracing::error!(key, lang = self.tag(), "no such text");
            return key.to_owned();
        };
        bundle.format_pattern(pattern, arguments, &mut Vec::new()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fluent_syntax::ast::{Entry, Expression, InlineExpression, PatternElement};
    use fluent_syntax::parser;
    use std::collections::{BTreeMap, BTreeSet};

    /// The variables of each key.
    fn keys(text: &str) -> BTreeMap<String, BTreeSet<String>> {
        let resource = parser::parse(text).expect("the catalogue has no error of syntax");
        let messages = resource.body.iter().filter_map(|entry| match entry {
            Entry::Message(message) => Some(message),
            _ => None,
        });
        messages
            .map(|message| {
                let mut variables = BTreeSet::new();
                for element in message.value.iter().flat_map(|pattern| &pattern.elements) {
                    if let PatternElement::Placeable { expression } = element {
                        let (Expression::Inline(inline) | Expression::Select { selector: inline, .. }) = expression;
                        if let InlineExpression::VariableReference { id } = inline {
                            variables.insert(id.name.to_owned());
                        }
                    }
                }
                (message.id.name.to_owned(), variables)
            })
            .collect()
    }

    #[test]
    fn both_catalogues_have_the_same_keys_and_variables() {
        assert_eq!(keys(ZH), keys(EN));
    }

    #[test]
    fn the_browsers_wish_decides() {
        assert_eq!(Lang::accepted("zh-CN,zh;q=0.9,en;q=0.8"), Lang::Zh);
        assert_eq!(Lang::accepted("de,en;q=0.5,zh;q=0.2"), Lang::En);
        assert_eq!(Lang::accepted("fr"), Lang::En);
        assert_eq!(Lang::accepted(""), Lang::En);
    }

    #[test]
    fn every_failure_code_has_a_sentence() {
        for code in domain::FailureCode::ALL {
            let key = crate::pages::error_key(code.code());
            assert!(Lang::ALL.iter().all(|lang| lang.find(&key, None).is_some()), "{key}");
        }
    }
}

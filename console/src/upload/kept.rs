//! A JSON body of which only what a request can say is kept. A tree of all its values would take a hundred times the memory
//! of the text when the text is many small values.

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

use crate::problem::Problem;

/// The keys that mean something, of the body or of a file.
const KEYS: [&str; 11] = [
    "data",
    "audio",
    "file",
    "granularity",
    "extract_embedding",
    "session_hash",
    "orig_name",
    "name",
    "path",
    "url",
    "is_file",
];
/// Elements kept of a list.
const ELEMENTS: usize = 3;
/// Values within values that are kept: the body, its `data`, a file, and the texts of a file.
const DEPTH: u8 = 4;

/// A value, with what can't mean anything left out. Texts without escapes are borrowed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kept<'a> {
    Null,
    Bool(bool),
    Number(f64),
    Text(Cow<'a, str>),
    /// The first elements.
    List(Vec<Kept<'a>>),
    /// The known keys, each once: the last one counts.
    Object(Vec<(&'static str, Kept<'a>)>),
    /// Too deep.
    Other,
}

impl<'a> Kept<'a> {
    /// Reads a text.
    ///
    /// # Errors
    /// 400 when it is no JSON.
    pub(crate) fn read(text: &'a [u8]) -> Result<Self, Problem> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let read = Keep { depth: DEPTH }.deserialize(&mut json).and_then(|kept| json.end().map(|()| kept));
        read.map_err(|error| Problem::bad_request(format!("The body is no JSON: {error}.")))
    }

    /// The value of a key; `None` for what is no object as well.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// A text.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Keeps a value down to so many levels.
#[derive(Clone, Copy)]
struct Keep {
    depth: u8,
}

impl<'de> DeserializeSeed<'de> for Keep {
    type Value = Kept<'de>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Kept<'de>, D::Error> {
        if self.depth == 0 {
            return json.deserialize_ignored_any(IgnoredAny).map(|_| Kept::Other);
        }
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Kept<'de>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<Kept<'de>, E> {
        Ok(Kept::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kept<'de>, E> {
        Ok(Kept::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kept<'de>, E> {
        Ok(Kept::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kept<'de>, E> {
        Ok(Kept::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Kept<'de>, E> {
        Ok(Kept::Number(value))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Kept<'de>, E> {
        Ok(Kept::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Kept<'de>, E> {
        Ok(Kept::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Kept<'de>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < ELEMENTS {
            match list.next_element_seed(Self { depth: self.depth - 1 })? {
                Some(value) => kept.push(value),
                None => return Ok(Kept::List(kept)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Kept::List(kept))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Kept<'de>, A::Error> {
        let mut kept: Vec<(&'static str, Kept<'de>)> = Vec::new();
        while let Some(key) = object.next_key_seed(Key)? {
            let Some(key) = key else {
                object.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = object.next_value_seed(Self { depth: self.depth - 1 })?;
            kept.retain(|(name, _)| *name != key);
            kept.push((key, value));
        }
        Ok(Kept::Object(kept))
    }
}

/// Reads a key without storing it; `None`: an unknown one.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Option<&'static str>;

    fn expecting(&self, text: &mut fmt::Formatter<'_>) -> fmt::Result {
        text.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(KEYS.into_iter().find(|key| *key == text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(kept: &Kept<'_>) -> usize {
        1 + match kept {
            Kept::List(list) => list.iter().map(values).sum(),
            Kept::Object(entries) => entries.iter().map(|(_, value)| values(value)).sum(),
            _ => 0,
        }
    }

    #[test]
    fn of_many_small_values_few_are_kept() {
        let many = "[],".repeat(100_000);
        let deep = format!("{}{}", "[".repeat(50), "]".repeat(50));
        let keys = "\"data\":1,\"x\":{},".repeat(1000);
        for text in [
            format!("[{many}[]]"),
            format!("{{\"data\": [{many}[]], \"x\": [{many}[]]}}"),
            format!("{{\"data\": [[{many}[]], [{many}[]], [{many}[]], 1]}}"),
            format!("{{\"data\": [{{\"name\": [{many}[]], \"path\": {{\"name\": [{many}[]]}}}}]}}"),
            format!("{{\"data\": {deep}}}"),
            format!("{{{keys}\"data\": []}}"),
        ] {
            let kept = Kept::read(text.as_bytes()).expect("JSON");
            assert!(values(&kept) <= 1 + 3 + 9 + 27 + 81, "{}", values(&kept));
        }
    }

    #[test]
    fn texts_are_borrowed_and_the_last_of_a_key_counts() {
        let kept =
            Kept::read(br#"{"data": 1, "name": "first", "data": ["UklG"], "other": {"data": 2}}"#).expect("JSON");
        let Some(Kept::List(list)) = kept.get("data") else { panic!("{kept:?}") };
        assert!(matches!(list.as_slice(), [Kept::Text(Cow::Borrowed("UklG"))]));
        assert_eq!(kept.get("name").and_then(Kept::text), Some("first"));
        for broken in ["{\"data\": [", "{} {}", "", "{\"data\": nul}"] {
            assert_eq!(Kept::read(broken.as_bytes()).expect_err(broken).status.as_u16(), 400);
        }
    }
}

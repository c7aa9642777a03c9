//! Files of call data beside recordings: `call.wav.json` or `call.json` for `call.wav`.

use adapters::s3::ObjectInfo;
use std::collections::HashMap;

use crate::source::looks_like_audio;

const ENDING: &str = ".json";

/// Whether a name may be that of a sidecar.
pub(super) fn is_sidecar(key: &str) -> bool {
    key.len() > ENDING.len() && key.is_char_boundary(key.len() - ENDING.len()) && {
        key[key.len() - ENDING.len()..].eq_ignore_ascii_case(ENDING)
    }
}

/// What a recording and its sidecars have in common: the name without the endings.
pub(super) fn base(key: &str) -> &str {
    let key = if is_sidecar(key) { &key[..key.len() - ENDING.len()] } else { key };
    if !looks_like_audio(key) {
        return key;
    }
    key.rsplit_once('.').map_or(key, |(base, _)| base)
}

/// Names of the sidecars of a recording; the first that exists counts.
pub(super) fn names(recording: &str) -> [String; 2] {
    [format!("{recording}{ENDING}"), format!("{}{ENDING}", base(recording))]
}

/// The recording that a sidecar of the longer form belongs to.
pub(super) fn recording(sidecar: &str) -> Option<&str> {
    let name = sidecar.get(..sidecar.len() - ENDING.len()).filter(|_| is_sidecar(sidecar))?;
    looks_like_audio(name).then_some(name)
}

/// Brings recordings of a listing together with their sidecars. Since keys come in order, few are in memory.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    recordings: Vec<ObjectInfo>,
    sidecars: HashMap<String, ObjectInfo>,
}

impl Pairs {
    /// The next object of the listing, a recording or a sidecar. Returns recordings that can have no further sidecars.
    pub(super) fn add(&mut self, object: ObjectInfo) -> Vec<(ObjectInfo, Option<ObjectInfo>)> {
        let belongs = |other: &str| object.key.strip_prefix(base(other)).is_some_and(|rest| rest.starts_with('.'));
        let (kept, done) = std::mem::take(&mut self.recordings).into_iter().partition(|held| belongs(&held.key));
        self.recordings = kept;
        let done = self.paired(done);
        self.sidecars.retain(|key, _| belongs(key));
        if is_sidecar(&object.key) {
            self.sidecars.insert(object.key.clone(), object);
        } else {
            self.recordings.push(object);
        }
        done
    }

    /// The rest, at the end of the listing.
    pub(super) fn end(&mut self) -> Vec<(ObjectInfo, Option<ObjectInfo>)> {
        let recordings = std::mem::take(&mut self.recordings);
        let paired = self.paired(recordings);
        self.sidecars.clear();
        paired
    }

    fn paired(&self, recordings: Vec<ObjectInfo>) -> Vec<(ObjectInfo, Option<ObjectInfo>)> {
        let find = |name: &String| {
            let exact = self.sidecars.get(name);
            exact.or_else(|| self.sidecars.values().find(|sidecar| sidecar.key.eq_ignore_ascii_case(name)))
        };
        let pair = |object: ObjectInfo| {
            let sidecar = names(&object.key).iter().find_map(find).cloned();
            (object, sidecar)
        };
        recordings.into_iter().map(pair).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_and_its_sidecars_have_a_base_in_common() {
        for name in ["a/call.wav", "a/call.json", "a/call.wav.json", "a/call.WAV.JSON"] {
            assert_eq!(base(name), "a/call", "{name}");
        }
        assert_eq!(base("2026.11.26-call"), "2026.11.26-call");
        assert_eq!(recording("a/call.mp3.json"), Some("a/call.mp3"));
        assert_eq!(recording("a/call.json"), None);
        assert_eq!(names("a/call.wav"), ["a/call.wav.json", "a/call.json"]);
        assert!(!is_sidecar(".json") && !is_sidecar("音") && is_sidecar("音.json"));
    }

    #[test]
    fn pairs_come_out_of_a_listing_in_order() {
        let mut keys = ["a.json", "a.m.wav", "a.wav", "b.wav", "b.wav.json", "c.json", "d.wav"].map(str::to_owned);
        keys.sort();
        let mut pairs = Pairs::default();
        let mut found = Vec::new();
        for key in keys {
            found.extend(pairs.add(ObjectInfo { key, etag: None, bytes: 1, modified: None }));
            assert!(pairs.recordings.len() + pairs.sidecars.len() <= 3);
        }
        found.extend(pairs.end());
        let mut names: Vec<_> = found.into_iter().map(|(r, s)| (r.key, s.map(|s| s.key).unwrap_or_default())).collect();
        names.sort();
        let expected = [("a.m.wav", ""), ("a.wav", "a.json"), ("b.wav", "b.wav.json"), ("d.wav", "")];
        assert_eq!(names, expected.map(|(r, s)| (r.to_owned(), s.to_owned())));
    }
}

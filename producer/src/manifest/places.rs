//! Where the keys of a manifest are: folders whose listing may take the place of a request for each key.

use std::collections::BTreeMap;

/// With more folders than these, what all keys begin with takes their place.
const MOST_FOLDERS: usize = 1000;
/// A folder is listed by itself where it has this many lines on average.
const LINES_PER_FOLDER: u64 = 20;

/// Counts lines by the folder of their key.
#[derive(Debug, Clone, Default)]
pub(super) struct Places {
    folders: BTreeMap<String, u64>,
    too_many: bool,
    common: Option<String>,
    lines: u64,
}

impl Places {
    pub(super) fn add(&mut self, key: &str) {
        self.lines += 1;
        let folder = key.rfind('/').map_or("", |at| &key[..=at]);
        let common = self.common.get_or_insert_with(|| folder.to_owned());
        let same = common.bytes().zip(folder.bytes()).take_while(|(a, b)| a == b).count();
        common.truncate((0..=same).rev().find(|at| common.is_char_boundary(*at)).unwrap_or(0));
        if let Some(lines) = self.folders.get_mut(folder) {
            *lines += 1;
        } else if self.folders.len() < MOST_FOLDERS {
            self.folders.insert(folder.to_owned(), 1);
        } else {
            self.too_many = true;
        }
    }

    /// Prefixes of keys, none of them within another, and the number of lines below each.
    pub(super) fn prefixes(&self) -> Vec<(String, u64)> {
        let folders = u64::try_from(self.folders.len()).unwrap_or(u64::MAX);
        if self.too_many || folders.saturating_mul(LINES_PER_FOLDER) > self.lines {
            return vec![(self.common.clone().unwrap_or_default(), self.lines)];
        }
        let mut prefixes: Vec<(String, u64)> = Vec::new();
        for (folder, lines) in &self.folders {
            match prefixes.last_mut() {
                Some((outer, all)) if folder.starts_with(outer.as_str()) => *all += lines,
                _ => prefixes.push((folder.clone(), *lines)),
            }
        }
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefixes(keys: impl IntoIterator<Item = String>) -> Vec<(String, u64)> {
        let mut places = Places::default();
        keys.into_iter().for_each(|key| places.add(&key));
        places.prefixes()
    }

    #[test]
    fn full_folders_are_listed_and_the_beginning_of_scattered_keys() {
        let day = |day: u32| (0..30).map(move |i| format!("2026/11/{day}/{i}.wav"));
        let expected = [("2026/11/20/".to_owned(), 30), ("2026/11/25/".to_owned(), 30)];
        assert_eq!(prefixes(day(25).chain(day(20))), expected);
        let within = day(25).chain(day(20)).chain((0..30).map(|i| format!("2026/11/{i}.wav")));
        assert_eq!(prefixes(within), [("2026/11/".to_owned(), 90)]);
        let scattered = (0..40).map(|i| format!("2026/{i:02}/通{}/x.wav", i % 2));
        assert_eq!(prefixes(scattered), [("2026/".to_owned(), 40)]);
        assert_eq!(prefixes(["a.wav".to_owned()]), [(String::new(), 1)]);
        assert!(prefixes([]).is_empty());
    }
}

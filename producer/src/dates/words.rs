//! Words in dates: halves of the day, months and days of the week, in English, German and Chinese.

/// A part of the day, to which an hour up to 12 belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartOfDay {
    /// 12 is 0.
    Morning,
    /// From 10 to 15.
    Noon,
    /// 12 is 12.
    Afternoon,
    /// From 17 to 23: 12 may be 0.
    Evening,
}

impl PartOfDay {
    /// The hour of the day; `None` where it is none of this part, or may be two.
    pub(super) fn hour(self, hour: u32) -> Option<u32> {
        match (self, hour) {
            (Self::Morning, 12) => Some(0),
            (Self::Morning, 13..) => None,
            (Self::Noon, 1..=3) | (Self::Afternoon, 0..12) | (Self::Evening, 5..12) => Some(hour + 12),
            (Self::Noon, 10..=15) | (Self::Evening, 17..) | (Self::Morning | Self::Afternoon, _) => Some(hour),
            (Self::Noon | Self::Evening, _) => None,
        }
    }
}

/// Which part of the day, and the text without that word.
pub(super) fn part_of_day(text: &str) -> (String, Option<PartOfDay>) {
    let words = [
        ("上午", PartOfDay::Morning),
        ("凌晨", PartOfDay::Morning),
        ("早上", PartOfDay::Morning),
        ("早晨", PartOfDay::Morning),
        ("清晨", PartOfDay::Morning),
        ("下午", PartOfDay::Afternoon),
        ("傍晚", PartOfDay::Afternoon),
        ("晚上", PartOfDay::Evening),
        ("中午", PartOfDay::Noon),
        ("a.m.", PartOfDay::Morning),
        ("p.m.", PartOfDay::Afternoon),
        ("am", PartOfDay::Morning),
        ("pm", PartOfDay::Afternoon),
    ];
    let lower = text.to_ascii_lowercase();
    for (word, part) in words {
        if let Some(at) = lower.find(word) {
            let (before, behind) = (&text[..at], &text[at + word.len()..]);
            let letter = |c: char| c.is_ascii_alphabetic();
            if word.is_ascii() && (before.ends_with(letter) || behind.starts_with(letter)) {
                continue;
            }
            return (format!("{before} {behind}"), Some(part));
        }
    }
    (text.to_owned(), None)
}

/// The month of this name, 1 to 12.
pub(super) fn month_named(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let lower = word.to_lowercase();
    let german = match lower.as_str() {
        "januar" => "january",
        "februar" => "february",
        "märz" | "mär" | "mrz" => "march",
        "mai" => "may",
        "juni" => "june",
        "juli" => "july",
        "oktober" | "okt" => "october",
        "dezember" | "dez" => "december",
        other => other,
    };
    let full = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let found = full
        .iter()
        .zip(MONTHS)
        .position(|(full, short)| german == *full || german == short || (german == "sept" && short == "sep"));
    found.map(|at| at as u32 + 1)
}

/// Whether it names a day of the week.
pub(super) fn is_weekday(word: &str) -> bool {
    const DAYS: [&str; 31] = [
        "montag",
        "dienstag",
        "mittwoch",
        "donnerstag",
        "freitag",
        "samstag",
        "sonnabend",
        "sonntag",
        "mon",
        "tue",
        "wed",
        "thu",
        "fri",
        "sat",
        "sun",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "mo",
        "di",
        "mi",
        "do",
        "fr",
        "sa",
        "so",
        "tues",
        "thurs",
    ];
    let chinese = word.strip_prefix("星期").or_else(|| word.strip_prefix('周'));
    DAYS.contains(&word.to_lowercase().as_str())
        || chinese.is_some_and(|day| "一二三四五六日天".contains(day) && !day.is_empty())
}

//! Words in dates: halves of the day, months and days of the week, in English, German and Chinese.

/// Which half of the day, and the text without that word.
pub(super) fn half_of_day(text: &str) -> (String, Option<bool>) {
    let words = [
        ("上午", false),
        ("凌晨", false),
        ("早上", false),
        ("下午", true),
        ("晚上", true),
        ("中午", true),
        ("a.m.", false),
        ("p.m.", true),
        ("am", false),
        ("pm", true),
    ];
    let lower = text.to_ascii_lowercase();
    for (word, afternoon) in words {
        if let Some(at) = lower.find(word) {
            let (before, behind) = (&text[..at], &text[at + word.len()..]);
            let letter = |c: char| c.is_ascii_alphabetic();
            if word.is_ascii() && (before.ends_with(letter) || behind.starts_with(letter)) {
                continue;
            }
            return (format!("{before} {behind}"), Some(afternoon));
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
    const DAYS: [&str; 23] = [
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

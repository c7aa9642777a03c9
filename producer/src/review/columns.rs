//! The columns of a table of verdicts.

use adapters::postgres::Review;
use domain::{Emotion, JobId};

use crate::dates::time;
use crate::sheet::Fields;

const KNOWN: [&str; 10] =
    ["job_id", "call_id", "key", "channel", "segment", "at_s", "emotion", "reviewer", "reviewed_at", "note"];
/// Those that identify the call.
const CALL: [&str; 3] = ["job_id", "call_id", "key"];
/// A day: no recording is longer.
const LONGEST_S: f32 = 86_400.0;

/// The columns of one table, checked to suffice.
#[derive(Debug)]
pub(super) struct Columns {
    /// For lines without one.
    reviewer: Option<String>,
}

impl Columns {
    /// Checks the header.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(header: &[String], reviewer: Option<&str>) -> Result<Self, String> {
        let has = |column: &str| header.iter().any(|name| name.eq_ignore_ascii_case(column));
        if let Some(name) =
            header.iter().find(|name| !name.is_empty() && !KNOWN.contains(&name.to_lowercase().as_str()))
        {
            return Err(format!("unknown column `{name}`; the columns are {}", KNOWN.join(", ")));
        }
        if !has("emotion") {
            return Err("the header has no column `emotion`".into());
        }
        if !CALL.iter().any(|column| has(column)) {
            return Err(
                "the header has none of the columns job_id, call_id, key: one of them must identify the call".into()
            );
        }
        let reviewer = reviewer.map(str::trim).filter(|name| !name.is_empty());
        if reviewer.is_none() && !has("reviewer") {
            return Err("the header has no column `reviewer`; --reviewer names one for the whole file".into());
        }
        Ok(Self { reviewer: reviewer.map(str::to_owned) })
    }

    /// The verdict of a line.
    ///
    /// # Errors
    /// What is wrong with its fields.
    pub(super) fn review(&self, fields: &Fields) -> Result<Review, String> {
        let field = |column: &str| {
            let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(column));
            found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
        };
        let text = |column| field(column).map(str::to_owned);
        let review = Review {
            job_id: field("job_id").map(job_id).transpose()?,
            call_id: text("call_id"),
            key: text("key"),
            channel: field("channel").map(|value| number("channel", value)).transpose()?,
            segment: field("segment").map(|value| number("segment", value)).transpose()?,
            at_s: field("at_s").map(second).transpose()?,
            reviewer: text("reviewer").or_else(|| self.reviewer.clone()).ok_or("`reviewer` is empty")?,
            reviewed_at: field("reviewed_at").map(time).transpose().map_err(|e| format!("reviewed_at {e}"))?,
            emotion: emotion(field("emotion").ok_or("`emotion` is empty")?)?,
            note: text("note").unwrap_or_default(),
        };
        if review.job_id.is_none() && review.call_id.is_none() && review.key.is_none() {
            return Err("job_id, call_id and key are empty: one of them must identify the call".into());
        }
        Ok(review)
    }
}

fn job_id(value: &str) -> Result<JobId, String> {
    value.parse().map(JobId).map_err(|_| format!("job_id `{value}` is not a UUID"))
}

fn emotion(value: &str) -> Result<Emotion, String> {
    let found = Emotion::from_label(&value.to_lowercase());
    found.or_else(|| Emotion::ALL.into_iter().find(|emotion| emotion.chinese() == value)).ok_or_else(|| {
        let known: Vec<_> = Emotion::ALL.iter().map(|emotion| emotion.label()).collect();
        format!("`{value}` is not an emotion; use one of {}", known.join(", "))
    })
}

fn number<T: TryFrom<i32>>(column: &str, value: &str) -> Result<T, String> {
    let number = value.parse::<i32>().ok().and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("{column} `{value}` is not a whole number from 0"))
}

/// `83.2`, `1:23` or `1:02:03.5`.
fn second(value: &str) -> Result<f32, String> {
    let wrong = || format!("at_s `{value}` is not a time like 83.2 or 1:23");
    let mut parts = value.split(':').rev();
    let mut seconds: f32 = parts.next().unwrap_or_default().parse().map_err(|_| wrong())?;
    for (unit, part) in [60.0, 3600.0].into_iter().zip(parts.by_ref()) {
        seconds += unit * f32::from(part.parse::<u16>().map_err(|_| wrong())?);
    }
    if parts.next().is_some() || !(0.0..=LONGEST_S).contains(&seconds) {
        return Err(wrong());
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(header: &[&str], reviewer: Option<&str>) -> Result<Columns, String> {
        Columns::of(&header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), reviewer)
    }

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn a_header_must_name_reviewer_emotion_and_call() {
        assert!(columns(&["Call_ID", "emotion", "reviewer"], None).is_ok());
        assert!(columns(&["key", "emotion"], Some("rita")).is_ok());
        for (header, reviewer, said) in [
            (vec!["call_id", "emotion", "reviewer", "mood"], None, "unknown column `mood`"),
            (vec!["call_id", "reviewer"], None, "no column `emotion`"),
            (vec!["emotion", "reviewer"], None, "job_id, call_id, key"),
            (vec!["call_id", "emotion"], None, "--reviewer"),
            (vec!["call_id", "emotion"], Some(" "), "--reviewer"),
        ] {
            let error = columns(&header, reviewer).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_line_becomes_a_verdict() {
        let columns = columns(&["call_id", "emotion"], Some("rita")).expect("valid");
        let line = [("call_id", " c-17 "), ("at_s", "1:02:03.5"), ("Emotion", "生气"), ("channel", "1"), ("note", "")];
        let review = columns.review(&fields(&line)).expect("valid");
        assert_eq!((review.call_id.as_deref(), review.at_s, review.channel), (Some("c-17"), Some(3723.5), Some(1)));
        assert_eq!((review.emotion, review.reviewer.as_str(), review.reviewed_at), (Emotion::Angry, "rita", None));
    }

    #[test]
    fn errors_of_a_line_are_reported() {
        let columns = columns(&["call_id", "emotion", "reviewer"], None).expect("valid");
        for (column, value, said) in [
            ("emotion", "furious", "`furious` is not an emotion"),
            ("emotion", "", "`emotion` is empty"),
            ("reviewer", " ", "`reviewer` is empty"),
            ("call_id", "", "must identify the call"),
            ("job_id", "17", "not a UUID"),
            ("channel", "-1", "not a whole number from 0"),
            ("segment", "3.5", "not a whole number from 0"),
            ("at_s", "1:xx", "not a time"),
            ("at_s", "-3", "not a time"),
            ("at_s", "NaN", "not a time"),
            ("at_s", "1:1:1:1", "not a time"),
            ("reviewed_at", "yesterday", "reviewed_at `yesterday`"),
        ] {
            let mut line = fields(&[("call_id", "c"), ("emotion", "sad"), ("reviewer", "rita")]);
            line.retain(|(name, _)| name != column);
            line.push((column.to_owned(), value.to_owned()));
            let error = columns.review(&line).expect_err(said);
            assert!(error.contains(said), "{error}");
        }
    }
}

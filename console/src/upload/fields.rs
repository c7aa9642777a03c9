//! The options of a request, as text.

use domain::{CallData, ChannelLayout, Granularity};

use crate::problem::Problem;

/// Longest value of call data, in characters.
const MAX_CALL_DATA: usize = 200;

/// How a caller wants the recording analysed; `None`: not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fields {
    /// `utterance` or `frame`.
    pub granularity: Option<Granularity>,
    /// Whether `embedding.npy` is wanted.
    pub embedding: Option<bool>,
    /// Roles of the channels.
    pub channels: Option<ChannelLayout>,
    /// What is known of the call.
    pub call: CallData,
}

impl Fields {
    /// Takes one named value. Unknown names are ignored, since forms have other fields too.
    ///
    /// # Errors
    /// 422 that says what is allowed.
    pub(crate) fn take(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        let call_data = matches!(name, "call_id" | "agent" | "team" | "customer");
        if call_data && (value.contains('\0') || value.chars().count() > MAX_CALL_DATA) {
            let detail = format!("`{name}` has at most {MAX_CALL_DATA} characters, and no NUL among them.");
            return Err(Problem::unprocessable(detail));
        }
        let text = || Some(value.trim().to_owned()).filter(|text| !text.is_empty());
        match name {
            "granularity" => self.granularity = Some(granularity(value)?),
            "extract_embedding" | "embedding" if !value.trim().is_empty() => self.embedding = Some(boolean(value)?),
            "channels" if !value.trim().is_empty() => self.channels = Some(channels(value)?),
            "call_id" => self.call.call_id = text(),
            "agent" => self.call.agent = text(),
            "team" => self.call.team = text(),
            "customer" => self.call.customer = text(),
            _ => {}
        }
        Ok(())
    }
}

/// Reads a granularity in any case.
///
/// # Errors
/// 422 that lists the two.
pub(crate) fn granularity(value: &str) -> Result<Granularity, Problem> {
    match value.trim().to_lowercase().as_str() {
        "utterance" => Ok(Granularity::Utterance),
        "frame" => Ok(Granularity::Frame),
        _ => Err(Problem::unprocessable("`granularity` must be `utterance` or `frame`.")),
    }
}

/// Reads the usual spellings of yes and no.
///
/// # Errors
/// 422 that says what is allowed.
pub(crate) fn boolean(value: &str) -> Result<bool, Problem> {
    match value.trim().to_lowercase().as_str() {
        "true" | "1" | "on" | "yes" => Ok(true),
        "false" | "0" | "off" | "no" | "none" | "" => Ok(false),
        _ => Err(Problem::unprocessable("`extract_embedding` must be `true` or `false`.")),
    }
}

/// Reads `mix`, `0=agent,1=customer` or the JSON of a job.
fn channels(value: &str) -> Result<ChannelLayout, Problem> {
    let value = value.trim();
    let read = if value.starts_with(['{', '"']) {
        serde_json::from_str(value).map_err(|e| e.to_string())
    } else {
        value.parse()
    };
    read.map_err(|what| Problem::unprocessable(format!("`channels`: {what}.")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_read_as_programs_write_them() {
        for yes in ["True", "true", "1", "on", "YES"] {
            assert!(boolean(yes).is_ok_and(|yes| yes), "{yes}");
        }
        for no in ["False", "0", "off", "no", ""] {
            assert!(boolean(no).is_ok_and(|yes| !yes), "{no}");
        }
        assert!(boolean("perhaps").is_err());
    }

    #[test]
    fn an_unknown_granularity_is_refused_with_the_two_that_are_known() {
        let refused = granularity("word").expect_err("must be refused");
        assert!(refused.detail.contains("utterance") && refused.detail.contains("frame"));
        assert_eq!(granularity(" Frame ").ok(), Some(Granularity::Frame));
    }

    #[test]
    fn channel_roles_are_read_in_both_notations() {
        let mut fields = Fields::default();
        assert!(fields.take("channels", "0=customer,1=agent").is_ok());
        let typed = fields.channels.clone();
        assert!(fields.take("channels", r#"{"0":"customer","1":"agent"}"#).is_ok());
        assert_eq!(fields.channels, typed);
        assert!(fields.take("channels", "left").is_err());
    }
}

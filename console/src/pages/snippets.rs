//! The same request from a shell and from Python, to copy.

use axum::http::{HeaderMap, header};
use domain::{CallData, ChannelLayout, Granularity};
use serde_json::Value;
use std::fmt::Write;

/// What of a request a snippet repeats.
pub(super) struct Snippets {
    base: String,
    name: String,
    fields: Vec<(&'static str, String)>,
}

impl Snippets {
    /// For this analysis' file name, options and call data, against the address that the browser used.
    pub(super) fn new(headers: &HeaderMap, secure: bool, name: &str, options: &Value, call: &CallData) -> Self {
        let granularity = options["granularity"].as_str().unwrap_or(Granularity::Utterance.label());
        let embedding = options["embedding"].as_bool().unwrap_or(true);
        let mut fields = vec![("granularity", granularity.to_owned()), ("extract_embedding", embedding.to_string())];
        if let Ok(layout) = serde_json::from_value::<ChannelLayout>(options["channels"].clone()) {
            fields.push(("channels", written(&layout)));
        }
        let known =
            [("call_id", &call.call_id), ("agent", &call.agent), ("team", &call.team), ("customer", &call.customer)];
        fields.extend(known.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        Self { base: base(headers, secure), name: name.to_owned(), fields }
    }

    /// For a shell.
    pub(super) fn curl(&self) -> String {
        let mut fields = String::new();
        for (name, value) in &self.fields {
            // curl reads a file for a value that begins with `@` or `<`, and takes `;type=` out of others.
            let option = if value.starts_with(['@', '<']) || value.contains(';') { "--form-string" } else { "-F" };
            let _ = write!(fields, " \\\n  {option} {}", shell(&format!("{name}={value}")));
        }
        // Within double quotes, curl reads `\"` and `\\`.
        let name = self.name.replace('\\', r"\\").replace('"', r#"\""#);
        format!("curl {}/api/predict/ \\\n  -F {}{fields}", self.base, shell(&format!("audio=@\"{name}\"")))
    }

    /// For Python with `requests`.
    pub(super) fn python(&self) -> String {
        let quoted = |text: &str| Value::from(text).to_string();
        let fields: Vec<String> =
            self.fields.iter().map(|(name, value)| format!("{}: {}", quoted(name), quoted(value))).collect();
        format!(
            "import requests\n\nanswer = requests.post(\n    {},\n    files={{\"audio\": open({}, \"rb\")}},\n    data={{{}}},\n)\n\
             answer.raise_for_status()\nresult = answer.json()\nprint(result[\"emotion\"], result[\"confidence\"])\n",
            quoted(&format!("{}/api/predict/", self.base)),
            quoted(&self.name),
            fields.join(", ")
        )
    }
}

/// The address of this console, as the browser that sent these headers knows it.
pub(super) fn base(headers: &HeaderMap, secure: bool) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost:7860");
    format!("{}://{host}", if secure { "https" } else { "http" })
}

/// One word of a shell.
fn shell(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

fn written(layout: &ChannelLayout) -> String {
    match layout {
        ChannelLayout::Mix => "mix".into(),
        ChannelLayout::Roles(roles) => {
            let roles: Vec<String> = roles.iter().map(|(channel, role)| format!("{channel}={role}")).collect();
            roles.join(",")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names_are_quoted_for_each_language() {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost:7860".parse().expect("a host"));
        let options = json!({"granularity": "frame", "embedding": false, "channels": {"0": "customer", "1": "agent"}});
        let call = CallData { call_id: Some("c'17".into()), ..CallData::default() };
        let snippets = Snippets::new(&headers, false, "it's \"me\".wav", &options, &call);
        assert!(snippets.curl().contains(r"-F 'call_id=c'\''17'"), "{}", snippets.curl());
        assert!(snippets.curl().contains(r#"-F 'audio=@"it'\''s \"me\".wav"'"#), "{}", snippets.curl());
        assert!(snippets.curl().contains("-F 'channels=0=customer,1=agent'"));
        assert!(snippets.python().contains(r#"open("it's \"me\".wav", "rb")"#), "{}", snippets.python());
        assert!(snippets.python().contains(r#""granularity": "frame", "extract_embedding": "false""#));
    }
}

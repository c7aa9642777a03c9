//! JSON for programs: always a list, whether it tells of one alert or of many.

use chrono::Utc;
use domain::alert::Notice;
use serde_json::{Value, json};

use super::Phrase;

pub(super) fn json(phrase: &Phrase, notices: &[&Notice]) -> Value {
    let alerts: Vec<_> = notices.iter().map(|notice| alert(phrase, notice)).collect();
    json!({ "v": 1, "sent_at": Utc::now(), "alerts": alerts })
}

fn alert(phrase: &Phrase, notice: &Notice) -> Value {
    let mut alert = json!(notice);
    alert["second"] = json!(notice.second());
    alert["link"] = json!(phrase.link(notice));
    alert["text"] = json!({ "en": notice.in_english(), "zh": notice.in_chinese() });
    alert
}

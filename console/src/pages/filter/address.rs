//! Addresses of the pages that have filters: what a form sends becomes an address to share, and one filter more or less
//! another one.

use axum::http::HeaderMap;

use super::offset::Offset;
use super::{DAYS, Filter};

/// The names that filters have, in the order in which addresses have them.
const NAMES: [&str; 10] =
    ["days", "from", "to", "utc_offset_min", "team", "agent", "customer", "emotion", "alerts", "after"];

/// The filters of a query; of a name that is there twice, the last.
pub(super) fn pairs(query: Option<&str>) -> Vec<(String, String)> {
    let sent = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let sent: Vec<(String, String)> = sent.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
    let last = |name: &&str| sent.iter().rev().find(|(sent, value)| sent == name && !value.trim().is_empty());
    NAMES.iter().filter_map(last).cloned().collect()
}

pub(super) fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

fn join(path: &str, pairs: &[(String, String)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let query = query.extend_pairs(pairs).finish();
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// Where a form's address leads: without what says nothing, and with the offset of the reader, so that whoever gets the
/// address sees the same calls. `None`: it is so already.
pub(in crate::pages) fn canonical(path: &str, query: Option<&str>, headers: &HeaderMap) -> Option<String> {
    let sent = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let idle = sent.filter(|(name, value)| NAMES.contains(&&**name) && value.trim().is_empty()).count() > 0;
    let mut kept = pairs(query);
    let all = kept.len();
    let dated = ["from", "to"].iter().any(|name| value(&kept, name).is_some());
    kept.retain(|(name, value)| name != "days" || !(dated || *value == DAYS.to_string()));
    let mut changed = idle || kept.len() < all;
    let offset = Offset::kept(headers).unwrap_or_default();
    // A date is one of UTC where nothing else is known, and stays so for whoever gets the address.
    if value(&kept, "utc_offset_min").is_none() && (offset != Offset::default() || dated) {
        kept.push(("utc_offset_min".into(), offset.0.to_string()));
        changed = true;
    }
    changed.then(|| join(path, &kept))
}

impl Filter {
    /// The same page with other values; `None` takes a filter away. The list begins anew.
    pub(in crate::pages) fn with(&self, path: &str, changes: &[(&str, Option<&str>)]) -> String {
        let dates = changes.iter().any(|(name, value)| matches!(*name, "from" | "to") && value.is_some());
        let replaced = |name: &str| {
            name == "after" || (dates && name == "days") || changes.iter().any(|(other, _)| *other == name)
        };
        let mut pairs: Vec<(String, String)> = self.pairs.iter().filter(|(name, _)| !replaced(name)).cloned().collect();
        let added = changes.iter().filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.to_owned())));
        pairs.extend(added);
        join(path, &pairs)
    }

    /// The page after this place.
    pub(in crate::pages) fn after(&self, path: &str, place: &str) -> String {
        self.with(path, &[("after", Some(place))])
    }

    /// The first page.
    pub(in crate::pages) fn first(&self, path: &str) -> String {
        self.with(path, &[])
    }

    /// The file of these calls.
    pub(in crate::pages) fn export(&self) -> String {
        let calls = self.calls();
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        let mut add = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        };
        let moment = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        add("from", calls.from.map(moment));
        add("to", calls.to.map(moment));
        add("emotion", calls.emotion.map(|emotion| emotion.label().to_owned()));
        add("team", calls.team);
        add("agent", calls.agent);
        add("customer", calls.customer);
        add("alerts", calls.alerts.then(|| "true".to_owned()));
        format!("/api/v1/export/calls.csv?{}", query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_form_sends_becomes_an_address_to_share() {
        let headers =
            |cookie: &str| HeaderMap::from_iter([(axum::http::header::COOKIE, cookie.parse().expect("text"))]);
        let canonical = |query| canonical("/calls", Some(query), &headers("utc_offset_min=480"));
        for (sent, address) in [
            ("", "/calls?utc_offset_min=480"),
            ("days=30&from=&to=&team=7&utc_offset_min=0", "/calls?utc_offset_min=0&team=7"),
            ("days=7&from=2025-03-01&to=&utc_offset_min=60", "/calls?from=2025-03-01&utc_offset_min=60"),
            ("utc_offset_min=60&team=", "/calls?utc_offset_min=60"),
        ] {
            assert_eq!(canonical(sent).as_deref(), Some(address), "{sent}");
            let query = address.split_once('?').map(|(_, query)| query).unwrap_or_default();
            assert_eq!(canonical(query), None, "{address} leads to itself");
        }
        assert_eq!(super::canonical("/calls", None, &HeaderMap::new()), None);
        let dated = super::canonical("/calls", Some("from=2025-03-01"), &HeaderMap::new());
        assert_eq!(dated.as_deref(), Some("/calls?from=2025-03-01&utc_offset_min=0"));
    }
}

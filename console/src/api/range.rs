//! `Range` of HTTP: one range of bytes.

use axum::http::{HeaderMap, header};
use std::ops::RangeInclusive;

use crate::problem::Problem;

/// The range that a header asks for, of a file of `total` bytes; `None`: the whole file.
///
/// # Errors
/// 416 when no byte of it exists. What is no single range of bytes is ignored, as RFC 9110 allows.
pub(crate) fn wanted(header: Option<&str>, total: u64) -> Result<Option<RangeInclusive<u64>>, Problem> {
    let Some((first, last)) = header.and_then(|h| h.trim().strip_prefix("bytes=")).and_then(|r| r.split_once('-'))
    else {
        return Ok(None);
    };
    let (first, last) = (first.trim(), last.trim());
    let end = total.saturating_sub(1);
    let range = match (first.parse::<u64>(), last.parse::<u64>()) {
        (Ok(first), Ok(last)) if first <= last => first..=last.min(end),
        (Ok(first), Err(_)) if last.is_empty() => first..=end.max(first),
        // The last so many bytes.
        (Err(_), Ok(count)) if first.is_empty() => total.saturating_sub(count)..=end,
        _ => return Ok(None),
    };
    if *range.start() >= total {
        return Err(Problem::unsatisfiable(total));
    }
    Ok(Some(range))
}

/// Whether `If-None-Match` names this version: one of a list, a weak one, or any.
pub(crate) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    let named = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = named.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_known_by_any_of_a_list() {
        for (header, known) in [("\"a\"", true), ("\"b\", W/\"a\"", true), ("*", true), ("\"b\"", false), ("a", false)]
        {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, header.parse().expect("a header"))]);
            assert_eq!(is_known(&headers, "\"a\""), known, "{header}");
        }
        assert!(!is_known(&HeaderMap::new(), "\"a\""));
    }

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        let range = |text| wanted(Some(text), 100);
        assert_eq!(range("bytes=0-0").ok().flatten(), Some(0..=0));
        assert_eq!(range("bytes=10-").ok().flatten(), Some(10..=99));
        assert_eq!(range("bytes=-10").ok().flatten(), Some(90..=99));
        assert_eq!(range("bytes=90-1000").ok().flatten(), Some(90..=99));
        assert_eq!(range("bytes=-1000").ok().flatten(), Some(0..=99));
        for ignored in ["bytes=5-2", "bytes=0-1,4-5", "items=0-1", "bytes=a-b", "bytes=-"] {
            assert_eq!(range(ignored).ok(), Some(None), "{ignored}");
        }
        for refused in ["bytes=100-", "bytes=-0"] {
            assert_eq!(range(refused).expect_err(refused).status.as_u16(), 416);
        }
        assert_eq!(wanted(None, 100).ok(), Some(None));
    }
}

//! The links of a page's head: the pages that its reader may open.

use crate::auth::{Capability, Principal};

/// A page that the head of every page leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its address.
    pub(super) path: &'static str,
    /// Key of its name in the catalogues.
    pub(super) key: &'static str,
    /// What the page demands of its reader.
    needs: Capability,
    /// Whether the page is only for those who see all teams.
    all_teams: bool,
}

/// The pages, in the order in which they are shown. A page that demands something else than its entry says is a link
/// that leads to a refusal.
const ENTRIES: [Entry; 6] = [
    Entry { path: "/", key: "nav-recognise", needs: Capability::Predict, all_teams: false },
    Entry { path: "/calls", key: "nav-calls", needs: Capability::Read, all_teams: false },
    Entry { path: "/overview", key: "nav-overview", needs: Capability::Read, all_teams: false },
    Entry { path: "/review", key: "nav-review", needs: Capability::Review, all_teams: false },
    Entry { path: "/operations", key: "nav-operations", needs: Capability::Read, all_teams: true },
    Entry { path: "/api", key: "nav-api", needs: Capability::Predict, all_teams: false },
];

/// What this reader may open; nothing before the login.
pub(super) fn of(reader: Option<&Principal>) -> Vec<&'static Entry> {
    let may = |entry: &&Entry| reader.is_some_and(|reader| entry.is_for(reader));
    ENTRIES.iter().filter(may).collect()
}

impl Entry {
    fn is_for(&self, reader: &Principal) -> bool {
        reader.may(self.needs) && (reader.team.is_none() || !self.all_teams)
    }

    /// Whether this path is the entry's page, or below it.
    pub(super) fn is_at(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.path).filter(|_| self.path != "/");
        path == self.path || below.is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Who;

    fn reader(capabilities: &[Capability], team: Option<&str>) -> Principal {
        let address = std::net::Ipv4Addr::LOCALHOST.into();
        Principal { who: Who::Local, team: team.map(str::to_owned), capabilities: capabilities.to_vec(), address }
    }

    #[test]
    fn readers_are_shown_what_they_may_open() {
        let page = |all_teams| Entry { path: "/x", key: "nav-api", needs: Capability::Read, all_teams };
        assert!(page(true).is_for(&reader(&[Capability::Read], None)));
        assert!(!page(true).is_for(&reader(&[Capability::Read], Some("7"))));
        assert!(page(false).is_for(&reader(&[Capability::Read], Some("7"))));
        assert!(!page(false).is_for(&reader(&[Capability::Predict], None)));
        assert_eq!(of(None), Vec::<&Entry>::new());
        assert_eq!(of(Some(&reader(&Capability::ALL, None))).len(), ENTRIES.len());
    }

    #[test]
    fn the_page_and_what_is_below_it_are_its_own() {
        let page = |path| Entry { path, key: "nav-api", needs: Capability::Read, all_teams: false };
        assert!(page("/calls").is_at("/calls") && page("/calls").is_at("/calls/1"));
        assert!(!page("/calls").is_at("/callsign") && !page("/").is_at("/calls"));
        assert!(page("/").is_at("/"));
    }
}

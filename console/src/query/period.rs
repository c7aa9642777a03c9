//! Which time is counted.

use adapters::postgres::console::Period;
use chrono::{DateTime, TimeDelta, Utc};

use super::{cursor, refuse_nul};
use crate::auth::Principal;
use crate::problem::Problem;

/// Days counted by default.
const DAYS: i64 = 30;
/// Most days counted at once.
pub(crate) const MOST_DAYS: i64 = 366;

/// Bounds and team of what is counted, as asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct PeriodFilter {
    /// From this moment on; 30 days before `to` when absent.
    pub from: Option<DateTime<Utc>>,
    /// Before this moment; now when absent.
    pub to: Option<DateTime<Utc>>,
    /// Team of the agent.
    pub team: Option<String>,
}

impl PeriodFilter {
    /// With its bounds set, at most 366 days apart; a caller bound to a team sees that team only.
    ///
    /// # Errors
    /// 400 for a text with NUL.
    pub(crate) fn seen_by(self, caller: &Principal) -> Result<Period, Problem> {
        refuse_nul(&[&self.team])?;
        let to = cursor::within_years(self.to.unwrap_or_else(Utc::now));
        let back = |days| to.checked_sub_signed(TimeDelta::days(days)).unwrap_or(to);
        let from = self.from.map_or_else(|| back(DAYS), cursor::within_years).max(back(MOST_DAYS));
        Ok(Period { from: cursor::within_years(from), to, team: caller.team.clone().or(self.team) })
    }
}

//! Which calls a list or an export holds.

use adapters::postgres::console::AnalysisFilter;
use chrono::{DateTime, Utc};
use domain::Emotion;

use super::{cursor, refuse_nul};
use crate::auth::Principal;
use crate::problem::Problem;

/// Filters of calls. Every field narrows the list.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallFilter {
    /// Calls from this moment on.
    pub from: Option<DateTime<Utc>>,
    /// Calls before this moment.
    pub to: Option<DateTime<Utc>>,
    /// Likeliest emotion.
    pub emotion: Option<Emotion>,
    /// Team of the agent.
    pub team: Option<String>,
    /// Agent.
    pub agent: Option<String>,
    /// Customer.
    pub customer: Option<String>,
    /// Only calls on which an alert fired.
    pub alerts: bool,
}

impl CallFilter {
    /// What this caller may see of it: a caller bound to a team sees that team only.
    ///
    /// # Errors
    /// 400 for a text with NUL.
    pub(crate) fn seen_by(self, caller: &Principal) -> Result<AnalysisFilter, Problem> {
        refuse_nul(&[&self.team, &self.agent, &self.customer])?;
        Ok(AnalysisFilter {
            from: self.from.map(cursor::within_years),
            to: self.to.map(cursor::within_years),
            emotion: self.emotion,
            team: caller.team.clone().or(self.team),
            agent: self.agent,
            customer: self.customer,
            alerts: self.alerts,
            ..AnalysisFilter::default()
        })
    }
}

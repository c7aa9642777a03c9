//! What lists and counts are asked for, the same over the API and on the pages.

mod calls;
pub(crate) mod cursor;
mod period;

pub(crate) use calls::CallFilter;
pub(crate) use period::{MOST_DAYS, PeriodFilter};

use crate::problem::Problem;

/// Postgres' text holds no NUL.
pub(crate) fn refuse_nul(texts: &[&Option<String>]) -> Result<(), Problem> {
    if texts.iter().filter_map(|text| text.as_deref()).any(|text| text.contains('\0')) {
        return Err(Problem::bad_request("A parameter contains a NUL character."));
    }
    Ok(())
}

//! The address of a call in the links of alerts, which leads to its result.

use axum::extract::RawQuery;
use axum::response::Redirect;
use uuid::Uuid;

use crate::extract::Path;

/// `GET /calls/{job_id}?t=`
pub(in crate::pages) async fn link(Path(job): Path<Uuid>, RawQuery(query): RawQuery) -> Redirect {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Redirect::to(&format!("/recognise/{job}{query}"))
}

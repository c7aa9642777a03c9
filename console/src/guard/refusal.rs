//! The rest of a body whose request was refused. Clients that are still sending would see a broken connection, not the answer.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::problem::Problem;
use crate::upload::SharedBody;

/// Most bytes drained after an error of a known caller's request.
const MOST: u64 = 512 << 20;
/// Most bytes drained of a caller who is not known, or sends too much.
const MOST_OF_STRANGERS: u64 = 64 << 20;

/// Drains the body after a problem, within limits of bytes and time.
pub(crate) async fn drain_refused(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let asks_first = parts.headers.contains_key(header::EXPECT);
    let body = SharedBody::new(body);
    let response = next.run(Request::from_parts(parts, Body::from_stream(body.clone()))).await;
    // A body that took too long would again.
    let late = response.status() == StatusCode::REQUEST_TIMEOUT;
    if late || response.extensions().get::<Problem>().is_none() {
        return response;
    }
    let refused_at_once = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    if !refused_at_once.contains(&response.status()) {
        body.drain(MOST).await;
    } else if !asks_first {
        body.drain(MOST_OF_STRANGERS).await;
    }
    response
}

//! A request's body that can be drained after an error of its reader.

use axum::body::{Body, BodyDataStream, Bytes};
use futures_util::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Longest time of draining.
const LONGEST_DRAIN: Duration = Duration::from_secs(15);

/// The chunks of a body. Clones share it.
#[derive(Clone)]
pub(crate) struct SharedBody(Arc<Mutex<BodyDataStream>>);

impl SharedBody {
    /// Of this request.
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(body.into_data_stream())))
    }

    /// Reads and drops the rest, at most so many bytes. Without this, clients that are still sending see a broken
    /// connection instead of the answer.
    pub(crate) async fn drain(mut self, most: u64) {
        let read = async {
            let mut drained = 0;
            while let Some(Ok(chunk)) = self.next().await {
                drained += chunk.len() as u64;
                if drained > most {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(LONGEST_DRAIN, read).await;
    }
}

impl Stream for SharedBody {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).poll_next_unpin(context)
    }
}

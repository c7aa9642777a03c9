//! `/upload`: files that wait for the request which names them.

use axum::Json;
use axum::extract::{Request, State};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::problem::Problem;
use crate::upload::Spooled;

/// How long a file waits.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two sweeps.
pub(crate) const SWEEP: Duration = Duration::from_secs(30);
/// Most files of one request.
const MOST_FILES: usize = 20;
/// Most files that wait; with one more, the oldest is dropped.
const MOST: usize = 200;

/// Files by the path that `/upload` returned, which is not their path on disk.
#[derive(Clone, Default)]
pub(crate) struct Parked(Arc<Mutex<HashMap<String, (Instant, Spooled)>>>);

impl Parked {
    fn put(&self, file: Spooled) -> String {
        let path = format!("uploads/{}/{}", Uuid::new_v4().simple(), file.name);
        let mut files = self.files();
        if files.len() >= MOST
            && let Some(oldest) = files.iter().min_by_key(|(_, (since, _))| *since).map(|(path, _)| path.clone())
        {
            files.remove(&oldest);
        }
        files.insert(path.clone(), (Instant::now(), file));
        path
    }

    /// The file of a path; `None` when there is none or it has expired.
    pub(crate) fn get(&self, path: &str) -> Option<Spooled> {
        self.files().get(path).map(|(_, file)| file.clone())
    }

    /// Deletes files that have waited for too long, until `stop`: no request may come that would.
    pub(crate) async fn sweep(&self, pause: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            drop(self.files());
        }
    }

    fn files(&self) -> MutexGuard<'_, HashMap<String, (Instant, Spooled)>> {
        let mut files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.retain(|_, (since, _)| since.elapsed() < PATIENCE);
        files
    }
}

/// `POST /upload`: a form with `files`; answers with a path for each.
pub(super) async fn upload(
    State(app): State<Shared>,
    _: Caller<Predicts>,
    request: Request,
) -> Result<Json<Vec<String>>, Problem> {
    let received = app.receive(request, MOST_FILES).await?;
    // Each path belongs to the file at its place: without one of them, the caller would mix them up.
    if let Some(refused) = received.refused.into_iter().next() {
        return Err(refused.problem);
    }
    Ok(Json(received.files.into_iter().map(|file| app.parked.put(file)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::Spool;

    #[tokio::test]
    async fn a_file_that_no_request_names_is_deleted_after_its_time() {
        let file =
            Spool::begin(std::path::Path::new(""), 1).expect("a temporary file").finish(None).await.expect("a file");
        let (parked, on_disk) = (Parked::default(), file.path().to_owned());
        let path = parked.put(file);
        let stop = CancellationToken::new();
        let sweeping = tokio::spawn({
            let (parked, stop) = (parked.clone(), stop.clone());
            async move { parked.sweep(Duration::from_millis(1), stop).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(on_disk.exists() && parked.get(&path).is_some());
        let old = Instant::now().checked_sub(PATIENCE).expect("the machine has been up for ten minutes");
        parked.files().get_mut(&path).expect("the file").0 = old;
        while on_disk.exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        stop.cancel();
        sweeping.await.expect("ends");
    }
}

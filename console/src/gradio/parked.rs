//! `/upload`: files that wait for the request which names them.

use axum::Json;
use axum::extract::{Request, State};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

use crate::app::Shared;
use crate::auth::{Caller, Predicts};
use crate::problem::Problem;
use crate::upload::Spooled;

/// How long a file waits.
const PATIENCE: Duration = Duration::from_secs(600);
/// Most files that wait; with one more, the oldest is dropped.
const MOST: usize = 200;

/// Files by the path that `/upload` returned, which is not their path on disk.
#[derive(Default)]
pub(crate) struct Parked(Mutex<HashMap<String, (Instant, Spooled)>>);

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
    let received = app.receive(request, 1).await?;
    Ok(Json(received.files.into_iter().map(|file| app.parked.put(file)).collect()))
}

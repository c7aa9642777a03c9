//! The inference thread: one OS thread owns the session and runs segments of all jobs in batches of similar length,
//! so that little of a batch is padding.

use crate::framing::SAMPLE_RATE;
use crate::settings;
use domain::{Emotion, Failure, FailureCode};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::Session;

/// A segment joins a batch only if the shortest one is then at least this share of the longest.
const MIN_FILL: f64 = 0.7;

/// A segment to predict.
#[derive(Debug)]
pub struct Request {
    /// Mono, 16 kHz, in [-1, 1].
    pub samples: Vec<f32>,
    /// Whether the prediction has frames.
    pub frames: bool,
}

/// The model's output for one segment.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// One per emotion, before the softmax.
    pub logits: [f32; Emotion::COUNT],
    /// Shape `[D]`.
    pub embedding: Vec<f32>,
    /// Shape [T, D], row after row; empty unless the request has `frames`.
    pub frames: Vec<f32>,
    /// Shape `[T][9]`; empty unless the request has `frames`.
    pub frame_logits: Vec<[f32; Emotion::COUNT]>,
}

/// A request in the queue, and where its prediction goes.
struct Queued {
    request: Request,
    reply: oneshot::Sender<Result<Prediction, Failure>>,
}

/// Submits segments to the inference thread. Clones share the thread, which ends when the last is dropped.
#[derive(Debug, Clone)]
pub struct InferenceHandle {
    queue: SyncSender<Queued>,
}

impl std::fmt::Debug for Queued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Queued({} samples)", self.request.samples.len())
    }
}

/// A prediction that is not made yet.
#[derive(Debug)]
pub struct PendingPrediction(oneshot::Receiver<Result<Prediction, Failure>>);

impl PendingPrediction {
    /// Waits for the prediction. Blocks: must not be called on an async runtime's own thread.
    ///
    /// # Errors
    /// `model.failed`, also when the inference thread has ended.
    pub fn wait(self) -> Result<Prediction, Failure> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(thread_ended()))
    }
}

fn thread_ended() -> Failure {
    Failure::new(FailureCode::ModelFailed, "the inference thread has ended; the worker must be restarted")
}

impl InferenceHandle {
    /// Starts the thread that owns `session`.
    ///
    /// # Errors
    /// When the system can't start a thread.
    pub fn start(session: Session, settings: &settings::Model) -> std::io::Result<Self> {
        // Bounded: a caller with more than two batches in the queue waits.
        let (queue, requests) = sync_channel(settings.batch_items * 2);
        let settings = settings.clone();
        std::thread::Builder::new().name("inference".into()).spawn(move || serve(session, &requests, &settings))?;
        Ok(Self { queue })
    }

    /// Submits a segment; waits while the queue is full.
    ///
    /// # Errors
    /// `model.failed` when the inference thread has ended.
    pub fn submit(&self, request: Request) -> Result<PendingPrediction, Failure> {
        let (reply, prediction) = oneshot::channel();
        self.queue.send(Queued { request, reply }).map_err(|_| thread_ended())?;
        Ok(PendingPrediction(prediction))
    }
}

fn serve(mut session: Session, requests: &Receiver<Queued>, settings: &settings::Model) {
    let mut queue = VecDeque::new();
    while collect_requests(requests, &mut queue, settings) {
        let batch = next_batch(&mut queue, settings);
        // A cancelled job no longer waits for its prediction.
        let batch: Vec<Queued> = batch.into_iter().filter(|w| !w.reply.is_closed()).collect();
        if batch.is_empty() {
            continue;
        }
        let frames = batch.iter().any(|w| w.request.frames);
        let samples: Vec<&[f32]> = batch.iter().map(|w| w.request.samples.as_slice()).collect();
        match session.run(&samples, frames) {
            Ok(predictions) => {
                for (queued, prediction) in batch.into_iter().zip(predictions) {
                    // An error means that the job was cancelled meanwhile.
                    let _ = queued.reply.send(Ok(prediction));
                }
            }
            Err(failure) => {
                for queued in batch {
                    let _ = queued.reply.send(Err(failure.clone()));
                }
            }
        }
    }
}

/// Waits for a first request, then up to `batch_wait_ms` for more. False: all handles are dropped.
fn collect_requests(requests: &Receiver<Queued>, queue: &mut VecDeque<Queued>, settings: &settings::Model) -> bool {
    if queue.is_empty() {
        match requests.recv() {
            Ok(first) => queue.push_back(first),
            Err(_) => return false,
        }
    }
    let until = Instant::now() + Duration::from_millis(settings.batch_wait_ms);
    while queue.len() < settings.batch_items {
        match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => queue.push_back(next),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    true
}

/// Takes the oldest request, and with it those of similar length, within `batch_seconds` and `batch_items`.
fn next_batch(queue: &mut VecDeque<Queued>, settings: &settings::Model) -> Vec<Queued> {
    let Some(oldest) = queue.pop_front() else { return Vec::new() };
    let budget = settings.batch_seconds * f64::from(SAMPLE_RATE);
    let (mut shortest, mut longest) = (oldest.request.samples.len(), oldest.request.samples.len());
    let mut batch = vec![oldest];
    let mut i = 0;
    while i < queue.len() && batch.len() < settings.batch_items {
        let length = queue[i].request.samples.len();
        let (low, high) = (shortest.min(length), longest.max(length));
        let fits = low as f64 >= MIN_FILL * high as f64 && (high * (batch.len() + 1)) as f64 <= budget;
        match if fits { queue.remove(i) } else { None } {
            Some(next) => {
                (shortest, longest) = (low, high);
                batch.push(next);
            }
            None => i += 1,
        }
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> settings::Model {
        settings::Model { batch_seconds: 30.0, batch_items: 4, ..settings::Settings::default().model }
    }

    fn queue(seconds: &[usize]) -> VecDeque<Queued> {
        let one = |s: &usize| Queued {
            request: Request { samples: vec![0.0; s * SAMPLE_RATE as usize], frames: false },
            reply: oneshot::channel().0,
        };
        seconds.iter().map(one).collect()
    }

    fn seconds(batch: &[Queued]) -> Vec<usize> {
        batch.iter().map(|w| w.request.samples.len() / SAMPLE_RATE as usize).collect()
    }

    #[test]
    fn a_batch_holds_segments_of_similar_length_oldest_first() {
        let mut queue = queue(&[10, 3, 8, 30, 9]);
        assert_eq!(seconds(&next_batch(&mut queue, &settings())), [10, 8, 9]);
        assert_eq!(seconds(&next_batch(&mut queue, &settings())), [3]);
        assert_eq!(seconds(&next_batch(&mut queue, &settings())), [30]);
        assert!(next_batch(&mut queue, &settings()).is_empty());
    }

    #[test]
    fn a_batch_keeps_its_limits() {
        assert_eq!(seconds(&next_batch(&mut queue(&[2; 9]), &settings())).len(), 4);
        assert_eq!(seconds(&next_batch(&mut queue(&[15; 9]), &settings())).len(), 2);
    }
}

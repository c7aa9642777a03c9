//! The inference thread: one OS thread owns the session and hears segments of all jobs in
//! batches of similar length, so that little of a batch is padding.

use crate::framing::SAMPLE_RATE;
use crate::settings;
use domain::{Emotion, Failure, FailureCode};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::Session;

/// A segment is put into a batch only if it is at least this share of the longest one in it.
const LEAST_FILL: f64 = 0.7;

/// A segment to hear.
#[derive(Debug)]
pub struct Request {
    /// Mono, 16 kHz, in [-1, 1].
    pub samples: Vec<f32>,
    /// Whether the answer has frames.
    pub frames: bool,
}

/// What the model prediction in one segment.
#[derive(Debug, Clone)]
pub struct Prediction {
    /// One per emotion, before the softmax.
    pub logits: [f32; Emotion::COUNT],
    /// Shape `[D]`.
    pub embedding: Vec<f32>,
    /// Shape [T, D], row after row; empty unless frames were asked for.
    pub frames: Vec<f32>,
    /// Shape `[T][9]`; empty unless frames were asked for.
    pub frame_logits: Vec<[f32; Emotion::COUNT]>,
}

struct Waiting {
    request: Request,
    answer: oneshot::Sender<Result<Prediction, Failure>>,
}

/// Where segments are handed in. Clones share the thread; it ends with the last of them.
#[derive(Debug, Clone)]
pub struct InferenceHandle {
    queue: SyncSender<Waiting>,
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Waiting({} samples)", self.request.samples.len())
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub struct PendingPrediction(oneshot::Receiver<Result<Prediction, Failure>>);

impl PendingPrediction {
    /// Waits for the answer. Must not be called on an async runtime's own thread.
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
    /// When the system gives no thread.
    pub fn start(session: Session, settings: &settings::Model) -> std::io::Result<Self> {
        // Bounded: whoever hands in more than two batches waits.
        let (queue, requests) = sync_channel(settings.batch_items * 2);
        let settings = settings.clone();
        std::thread::Builder::new().name("inference".into()).spawn(move || serve(session, &requests, &settings))?;
        Ok(Self { queue })
    }

    /// Hands in a segment; waits while the queue is full.
    ///
    /// # Errors
    /// `model.failed` when the inference thread has ended.
    pub fn submit(&self, request: Request) -> Result<PendingPrediction, Failure> {
        let (answer, answered) = oneshot::channel();
        self.queue.send(Waiting { request, answer }).map_err(|_| thread_ended())?;
        Ok(PendingPrediction(answered))
    }
}

fn serve(mut session: Session, requests: &Receiver<Waiting>, settings: &settings::Model) {
    let mut waiting = VecDeque::new();
    while collect(requests, &mut waiting, settings) {
        let batch = choose(&mut waiting, settings);
        // A job that was cancelled no longer waits for its answer.
        let batch: Vec<Waiting> = batch.into_iter().filter(|w| !w.answer.is_closed()).collect();
        if batch.is_empty() {
            continue;
        }
        let frames = batch.iter().any(|w| w.request.frames);
        let samples: Vec<&[f32]> = batch.iter().map(|w| w.request.samples.as_slice()).collect();
        match session.run(&samples, frames) {
            Ok(answers) => {
                for (waiting, prediction) in batch.into_iter().zip(answers) {
                    // Nobody waits any more: fine.
                    let _ = waiting.answer.send(Ok(prediction));
                }
            }
            Err(failure) => {
                for waiting in batch {
                    let _ = waiting.answer.send(Err(failure.clone()));
                }
            }
        }
    }
}

/// Waits for a first request, then a little for company. False: nobody can ask any more.
fn collect(requests: &Receiver<Waiting>, waiting: &mut VecDeque<Waiting>, settings: &settings::Model) -> bool {
    if waiting.is_empty() {
        match requests.recv() {
            Ok(first) => waiting.push_back(first),
            Err(_) => return false,
        }
    }
    let until = Instant::now() + Duration::from_millis(settings.batch_wait_ms);
    while waiting.len() < settings.batch_items {
        match requests.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => waiting.push_back(next),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
        }
    }
    true
}

/// Takes the oldest request, and with it those of similar length, within the budgets.
fn choose(waiting: &mut VecDeque<Waiting>, settings: &settings::Model) -> Vec<Waiting> {
    let Some(oldest) = waiting.pop_front() else { return Vec::new() };
    let budget = settings.batch_seconds * f64::from(SAMPLE_RATE);
    let (mut shortest, mut longest) = (oldest.request.samples.len(), oldest.request.samples.len());
    let mut batch = vec![oldest];
    let mut i = 0;
    while i < waiting.len() && batch.len() < settings.batch_items {
        let length = waiting[i].request.samples.len();
        let (low, high) = (shortest.min(length), longest.max(length));
        let fits = low as f64 >= LEAST_FILL * high as f64 && (high * (batch.len() + 1)) as f64 <= budget;
        match if fits { waiting.remove(i) } else { None } {
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

    fn waiting(seconds: &[usize]) -> VecDeque<Waiting> {
        let one = |s: &usize| Waiting {
            request: Request { samples: vec![0.0; s * SAMPLE_RATE as usize], frames: false },
            answer: oneshot::channel().0,
        };
        seconds.iter().map(one).collect()
    }

    fn seconds(batch: &[Waiting]) -> Vec<usize> {
        batch.iter().map(|w| w.request.samples.len() / SAMPLE_RATE as usize).collect()
    }

    #[test]
    fn a_batch_holds_segments_of_similar_length_oldest_first() {
        let mut queue = waiting(&[10, 3, 8, 30, 9]);
        assert_eq!(seconds(&choose(&mut queue, &settings())), [10, 8, 9]);
        assert_eq!(seconds(&choose(&mut queue, &settings())), [3]);
        assert_eq!(seconds(&choose(&mut queue, &settings())), [30]);
        assert!(choose(&mut queue, &settings()).is_empty());
    }

    #[test]
    fn a_batch_keeps_to_its_budgets() {
        assert_eq!(seconds(&choose(&mut waiting(&[2; 9]), &settings())).len(), 4);
        assert_eq!(seconds(&choose(&mut waiting(&[15; 9]), &settings())).len(), 2);
    }
}

//! Callers of the model: OS threads that run segments of all jobs, each for itself, on one copy of the weights.

use crate::settings;
use domain::{Emotion, Failure, FailureCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

use super::Session;
use super::batch::BatchLimits;
use super::queue::RequestQueue;

/// A segment to predict.
#[derive(Debug)]
pub struct Request {
    /// Mono, 16 kHz, in [-1, 1].
    pub samples: Vec<f32>,
    /// Whether the prediction has frames.
    pub frames: bool,
    /// Whether a person waits for it: it is run before all that is not interactive.
    pub interactive: bool,
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
    /// Time that the model took for it; of a batch, the share by length.
    pub model_time: Duration,
}

/// A request in the queue, and where its prediction goes.
pub(super) struct Queued {
    pub(super) request: Request,
    reply: oneshot::Sender<Result<Prediction, Failure>>,
}

impl Queued {
    pub(super) fn new(request: Request) -> (Self, PendingPrediction) {
        let (reply, prediction) = oneshot::channel();
        (Self { request, reply }, PendingPrediction(prediction))
    }
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
    /// `model.failed`, also when the callers have ended.
    pub fn wait(self) -> Result<Prediction, Failure> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(callers_ended()))
    }
}

fn callers_ended() -> Failure {
    Failure::new(FailureCode::ModelFailed, "a thread of the model has ended; the worker must be restarted")
}

/// Submits segments to the model's callers. Clones share the callers, which end when the last is dropped.
#[derive(Debug, Clone)]
pub struct InferenceHandle {
    queue: Arc<Submitters>,
}

/// Closes the queue when it is dropped.
#[derive(Debug)]
struct Submitters(Arc<RequestQueue>);

impl Drop for Submitters {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl InferenceHandle {
    /// Starts the callers of `session`, as many as the settings say.
    ///
    /// # Errors
    /// When the system can't start a thread.
    pub fn start(session: &Session, settings: &settings::Model) -> anyhow::Result<Self> {
        let callers = settings.concurrency().callers;
        // What runs one at a time anyway needs no batch: it would only keep work from other callers.
        let items = if session.precision().allows_batches() { settings.batch_items } else { 1 };
        let limits = BatchLimits { items, seconds: settings.batch_seconds };
        let queue = Arc::new(RequestQueue::new(settings, limits, callers));
        let handle = Self { queue: Arc::new(Submitters(queue.clone())) };
        for number in 0..callers {
            let (caller, queue) = (session.caller()?, Caller(queue.clone()));
            std::thread::Builder::new().name(format!("inference-{number}")).spawn(move || serve(caller, &queue.0))?;
        }
        Ok(handle)
    }

    /// Submits a segment; waits while the queue is full.
    ///
    /// # Errors
    /// `model.failed` when the callers have ended.
    pub fn submit(&self, request: Request) -> Result<PendingPrediction, Failure> {
        let (queued, prediction) = Queued::new(request);
        self.queue.0.push(queued).map_err(|_| callers_ended())?;
        Ok(prediction)
    }
}

/// A caller's place at the queue: given up when its thread ends, by a panic too.
struct Caller(Arc<RequestQueue>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.caller_ended();
    }
}

fn serve(mut session: Session, queue: &RequestQueue) {
    while let Some(batch) = queue.take() {
        // A cancelled job no longer waits for its prediction.
        let batch: Vec<Queued> = batch.into_iter().filter(|queued| !queued.reply.is_closed()).collect();
        if batch.is_empty() {
            continue;
        }
        let frames = batch.iter().any(|queued| queued.request.frames);
        let samples: Vec<&[f32]> = batch.iter().map(|queued| queued.request.samples.as_slice()).collect();
        let (begun, total) = (Instant::now(), samples.iter().map(|samples| samples.len()).sum::<usize>());
        match session.run(&samples, frames) {
            Ok(predictions) => {
                let took = begun.elapsed();
                for (queued, mut prediction) in batch.into_iter().zip(predictions) {
                    prediction.model_time = took.mul_f64(queued.request.samples.len() as f64 / total.max(1) as f64);
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

//! Silero VAD: the probability of speech in 32 ms of audio.

use crate::framing::SAMPLE_RATE;
use crate::runtime::Runtime;
use domain::{Failure, FailureCode};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use std::sync::{Mutex, PoisonError};

/// Samples of one prediction: 32 ms.
pub(super) const CHUNK: usize = 512;
/// Samples of the chunk before that the network takes as context.
const CONTEXT: usize = 64;
/// Shape of the network's recurrent state: two layers, batch of one, 128 cells.
const STATE: [usize; 3] = [2, 1, 128];

/// A pool of Silero sessions for all tracks and threads. Each thread acquires one, and the pool never holds more
/// than were in use at once.
#[derive(Debug)]
pub struct VoiceDetector {
    runtime: Runtime,
    idle: Mutex<Vec<Session>>,
}

impl VoiceDetector {
    /// Loads the model that `runtime` found and runs it once.
    ///
    /// # Errors
    /// `worker.internal` when the file is not Silero's model.
    pub fn load(runtime: &Runtime) -> Result<Self, Failure> {
        let detector = Self { runtime: runtime.clone(), idle: Mutex::new(Vec::new()) };
        detector.acquire()?.probability(&mut VadState::new(), &[0.0; CHUNK])?;
        Ok(detector)
    }

    /// A session for one thread. Dropping it returns it to the pool.
    pub(in crate::audio) fn acquire(&self) -> Result<PooledSession<'_>, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle {
            Some(session) => session,
            None => self.session().map_err(|e| failure(&e))?,
        };
        Ok(PooledSession { pool: self, session: Some(session) })
    }

    fn session(&self) -> ort::Result<Session> {
        // One thread: the network is tiny, and the cores belong to the emotion model.
        Session::builder(self.runtime.environment())?
            .with_intra_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .commit_from_file(self.runtime.vad_model())
    }
}

/// A session from the pool, returned on drop.
pub(in crate::audio) struct PooledSession<'a> {
    pool: &'a VoiceDetector,
    session: Option<Session>,
}

impl PooledSession<'_> {
    /// The probability of speech in `chunk`, which follows the chunks that made `state`.
    pub(super) fn probability(&mut self, state: &mut VadState, chunk: &[f32; CHUNK]) -> Result<f32, Failure> {
        let session = self.session.as_mut().expect("a session is only taken on drop");
        state.run(session, chunk).map_err(|e| failure(&e))
    }
}

impl Drop for PooledSession<'_> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.session.take());
    }
}

/// The network's recurrent state for one track.
pub(super) struct VadState {
    state: Vec<f32>,
    /// The context, then the chunk.
    input: [f32; CONTEXT + CHUNK],
}

impl VadState {
    pub(super) fn new() -> Self {
        Self { state: vec![0.0; STATE.iter().product()], input: [0.0; CONTEXT + CHUNK] }
    }

    fn run(&mut self, session: &mut Session, chunk: &[f32; CHUNK]) -> ort::Result<f32> {
        self.input.copy_within(CHUNK.., 0);
        self.input[CONTEXT..].copy_from_slice(chunk);
        let rate = ndarray::arr0(i64::from(SAMPLE_RATE));
        let outputs = session.run(ort::inputs![
            "input" => TensorRef::from_array_view(([1, CONTEXT + CHUNK], &self.input[..]))?,
            "state" => TensorRef::from_array_view((STATE, &self.state[..]))?,
            "sr" => TensorRef::from_array_view(rate.view())?,
        ])?;
        let (_, probability) = outputs["output"].try_extract_tensor::<f32>()?;
        let (_, state) = outputs["stateN"].try_extract_tensor::<f32>()?;
        self.state.copy_from_slice(state);
        Ok(probability.first().copied().unwrap_or(0.0))
    }
}

fn failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::WorkerInternal, format!("the voice detector (silero_vad.onnx): {error}"))
}

//! Silero VAD: the probability of speech in each 32 ms of audio, a block of chunks a run.
//!
//! The network is `models/vad/silero_vad_blocks.onnx`: Silero's weights in a graph whose encoder covers all chunks of a
//! block at once. It is built in.

use crate::runtime::Runtime;
use domain::{Failure, FailureCode};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use std::sync::{Mutex, PoisonError};

/// The network, 1.2 MB. Its README gives inputs, outputs, licence and how it was made.
static NETWORK: &[u8] = include_bytes!("../../../../../models/vad/silero_vad_blocks.onnx");
/// Samples of one prediction: 32 ms.
pub(super) const CHUNK: usize = 512;
/// Samples of the chunk before that the network takes as context.
const CONTEXT: usize = 64;
/// Shape of the network's recurrent state: hidden and cell, one track, 128 units.
const STATE: [usize; 3] = [2, 1, 128];

/// A pool of Silero sessions for all tracks and threads. Each thread acquires one, and the pool never holds more
/// than were in use at once.
#[derive(Debug)]
pub struct VoiceDetector {
    runtime: Runtime,
    idle: Mutex<Vec<Session>>,
}

impl VoiceDetector {
    /// Makes a first session and runs it once.
    ///
    /// # Errors
    /// `worker.internal` when ONNX Runtime can't run the network.
    pub fn load(runtime: &Runtime) -> Result<Self, Failure> {
        let detector = Self { runtime: runtime.clone(), idle: Mutex::new(Vec::new()) };
        detector.acquire()?.probabilities(&mut VadState::new(), &[[0.0; CHUNK]])?;
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
            .commit_from_memory(NETWORK)
    }
}

/// A session from the pool, returned on drop.
pub(in crate::audio) struct PooledSession<'a> {
    pool: &'a VoiceDetector,
    session: Option<Session>,
}

impl PooledSession<'_> {
    /// The probability of speech in each of `chunks`, which follow those that made `state`. The result does not depend
    /// on how chunks are divided into blocks.
    pub(super) fn probabilities(&mut self, state: &mut VadState, chunks: &[[f32; CHUNK]]) -> Result<Vec<f32>, Failure> {
        if chunks.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session.as_mut().expect("a session is only taken on drop");
        state.run(session, chunks).map_err(|e| failure(&e))
    }
}

impl Drop for PooledSession<'_> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.session.take());
    }
}

/// The network's memory of one track.
pub(super) struct VadState {
    /// Recurrent state, of shape [`STATE`].
    recurrent: Vec<f32>,
    /// The last samples.
    context: [f32; CONTEXT],
}

impl VadState {
    pub(super) fn new() -> Self {
        Self { recurrent: vec![0.0; STATE.iter().product()], context: [0.0; CONTEXT] }
    }

    fn run(&mut self, session: &mut Session, chunks: &[[f32; CHUNK]]) -> ort::Result<Vec<f32>> {
        let mut input = Vec::with_capacity(chunks.len() * (CONTEXT + CHUNK));
        for chunk in chunks {
            input.extend_from_slice(&self.context);
            input.extend_from_slice(chunk);
            self.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);
        }
        let outputs = session.run(ort::inputs![
            "chunks" => TensorRef::from_array_view(([chunks.len(), 1, CONTEXT + CHUNK], &input[..]))?,
            "state" => TensorRef::from_array_view((STATE, &self.recurrent[..]))?,
        ])?;
        let (_, probabilities) = outputs["probability"].try_extract_tensor::<f32>()?;
        let (_, next) = outputs["next_state"].try_extract_tensor::<f32>()?;
        self.recurrent.copy_from_slice(next);
        Ok(probabilities.to_vec())
    }
}

fn failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::WorkerInternal, format!("the voice detector: {error}"))
}

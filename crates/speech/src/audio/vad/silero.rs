//! Silero: where somebody speaks.

use crate::framing::SAMPLE_RATE;
use crate::runtime::Runtime;
use domain::{Failure, FailureCode};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use std::sync::{Mutex, PoisonError};

/// Samples that are judged at a time.
pub(super) const CHUNK: usize = 512;
/// Samples of the chunk before that the network wants to see again.
const CONTEXT: usize = 64;
/// The network's memory: two layers, one recording, 128 cells.
const STATE: [usize; 3] = [2, 1, 128];

/// Silero's network, shared by all tracks and threads: each borrows a session of its own, and
/// there are never more than were in use at once.
#[derive(Debug)]
pub struct VoiceDetector {
    runtime: Runtime,
    idle: Mutex<Vec<Session>>,
}

impl VoiceDetector {
    /// Loads the model that `runtime` found and tries it.
    ///
    /// # Errors
    /// `worker.internal` when the file is no such model.
    pub fn load(runtime: &Runtime) -> Result<Self, Failure> {
        let detector = Self { runtime: runtime.clone(), idle: Mutex::new(Vec::new()) };
        detector.borrow()?.probability(&mut VadState::new(), &[0.0; CHUNK])?;
        Ok(detector)
    }

    /// A session for one thread, until it is dropped.
    pub(in crate::audio) fn borrow(&self) -> Result<Borrowed<'_>, Failure> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let session = match idle {
            Some(session) => session,
            None => self.session().map_err(|e| failure(&e))?,
        };
        Ok(Borrowed { home: self, session: Some(session) })
    }

    fn session(&self) -> ort::Result<Session> {
        // One thread: the network is tiny, and the cores belong to the emotion model.
        Session::builder(self.runtime.environment())?
            .with_intra_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .commit_from_file(self.runtime.vad_model())
    }
}

/// A session on loan.
pub(in crate::audio) struct Borrowed<'a> {
    home: &'a VoiceDetector,
    session: Option<Session>,
}

impl Borrowed<'_> {
    /// The probability that somebody speaks in `chunk`, given what `hearing` heard before.
    pub(super) fn probability(&mut self, hearing: &mut VadState, chunk: &[f32; CHUNK]) -> Result<f32, Failure> {
        let session = self.session.as_mut().expect("a session is only taken on drop");
        hearing.run(session, chunk).map_err(|e| failure(&e))
    }
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.home.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.session.take());
    }
}

/// What the network remembers of one track.
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

//! Silero VAD: the probability of speech in each 32 ms of audio, a block of chunks a run.
//!
//! The network is `models/vad/silero_vad_blocks.onnx`: Silero's weights in a graph whose encoder covers all chunks of a
//! block at once. It is built in.

use super::spectrum::{BINS, CHUNK, CONTEXT, Spectrum, WINDOWS};
use crate::runtime::Runtime;
use domain::{Failure, FailureCode};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use std::sync::{Mutex, PoisonError};

/// The network, 1.2 MB. Its README gives inputs, outputs, licence and how it was made.
static NETWORK: &[u8] = include_bytes!("../../../../../models/vad/silero_vad_blocks.onnx");
/// Units of the network's recurrent cell.
const UNITS: usize = 128;

/// A pool of Silero sessions for all tracks and threads. Each thread acquires one, and the pool never holds more
/// than were in use at once.
#[derive(Debug)]
pub struct VoiceDetector {
    runtime: Runtime,
    idle: Mutex<Vec<Network>>,
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
        let network = match idle {
            Some(network) => network,
            None => Network { session: self.session().map_err(|e| failure(&e))?, spectrum: Spectrum::new() },
        };
        Ok(PooledSession { pool: self, network: Some(network) })
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
    network: Option<Network>,
}

impl PooledSession<'_> {
    /// The probability of speech in each of `chunks`, which follow those that made `state`. The result does not depend
    /// on how chunks are divided into blocks.
    pub(super) fn probabilities(&mut self, state: &mut VadState, chunks: &[[f32; CHUNK]]) -> Result<Vec<f32>, Failure> {
        Ok(self.of_tracks(&mut [state], &[chunks])?.swap_remove(0))
    }

    /// The same of several tracks, with equally many chunks of each: faster than one by one, since the weights are read once.
    pub(super) fn of_tracks(
        &mut self,
        states: &mut [&mut VadState],
        blocks: &[&[[f32; CHUNK]]],
    ) -> Result<Vec<Vec<f32>>, Failure> {
        if blocks.iter().all(|chunks| chunks.is_empty()) {
            return Ok(vec![Vec::new(); blocks.len()]);
        }
        self.network.as_mut().expect("it is only taken on drop").run(states, blocks).map_err(|e| failure(&e))
    }
}

impl Drop for PooledSession<'_> {
    fn drop(&mut self) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).extend(self.network.take());
    }
}

/// The network's memory of one track.
pub(super) struct VadState {
    /// Output of the recurrent cell.
    hidden: [f32; UNITS],
    /// The recurrent cell.
    cell: [f32; UNITS],
    /// The last samples.
    context: [f32; CONTEXT],
}

impl VadState {
    pub(super) fn new() -> Self {
        Self { hidden: [0.0; UNITS], cell: [0.0; UNITS], context: [0.0; CONTEXT] }
    }
}

#[derive(Debug)]
struct Network {
    session: Session,
    spectrum: Spectrum,
}

impl Network {
    fn run(&mut self, states: &mut [&mut VadState], blocks: &[&[[f32; CHUNK]]]) -> ort::Result<Vec<Vec<f32>>> {
        let (steps, tracks) = (blocks.first().map_or(0, |chunks| chunks.len()), blocks.len());
        let mut magnitudes = Vec::with_capacity(steps * tracks * WINDOWS * BINS);
        for step in 0..steps {
            for (state, chunks) in states.iter_mut().zip(blocks) {
                let chunk = &chunks[step];
                self.spectrum.append(&state.context, chunk, &mut magnitudes);
                state.context.copy_from_slice(&chunk[CHUNK - CONTEXT..]);
            }
        }
        let hidden: Vec<f32> = states.iter().flat_map(|state| state.hidden).collect();
        let cell: Vec<f32> = states.iter().flat_map(|state| state.cell).collect();
        let state = [1, tracks, UNITS];
        let outputs = self.session.run(ort::inputs![
            "magnitudes" => TensorRef::from_array_view(([steps, tracks, WINDOWS, BINS], &magnitudes[..]))?,
            "hidden" => TensorRef::from_array_view((state, &hidden[..]))?,
            "cell" => TensorRef::from_array_view((state, &cell[..]))?,
        ])?;
        let (_, probabilities) = outputs["probability"].try_extract_tensor::<f32>()?;
        let (_, hidden) = outputs["next_hidden"].try_extract_tensor::<f32>()?;
        let (_, cell) = outputs["next_cell"].try_extract_tensor::<f32>()?;
        let next = hidden.as_chunks().0.iter().zip(cell.as_chunks().0);
        for (state, (hidden, cell)) in states.iter_mut().zip(next) {
            (state.hidden, state.cell) = (*hidden, *cell);
        }
        Ok((0..tracks).map(|track| probabilities[track..].iter().step_by(tracks).copied().collect()).collect())
    }
}

fn failure(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureCode::WorkerInternal, format!("the voice detector: {error}"))
}

#[cfg(test)]
#[path = "silero_tests.rs"]
mod tests;

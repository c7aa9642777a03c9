//! Execution providers: on which device ONNX Runtime computes the emotion model. All that depends on the
//! device is in this file; `docs/recipes/execution-provider.md` says how to add one.
//!
//! The voice detector always runs on the CPU: its network is too small to be worth a transfer.

use super::processor::Products;
use ort::environment::Environment;
use ort::session::builder::SessionBuilder;
use ort::session::{RunOptions, Session};

domain::label_enum! {
    /// `model.provider` in the settings.
    pub enum Provider: "execution provider" {
        /// ONNX Runtime's default, in every build of it.
        Cpu = "cpu",
    }
}

impl Provider {
    /// Most threads that may run one session at the same time.
    pub(crate) fn max_callers(self) -> usize {
        match self {
            Self::Cpu => usize::MAX,
        }
    }

    /// How the device adds products of 8-bit numbers.
    pub(super) fn products(self) -> Products {
        match self {
            Self::Cpu => Products::of_this_processor(),
        }
    }

    /// A builder for a session on this device. `threads`: of one run.
    pub(super) fn session_builder(self, environment: &Environment, threads: usize) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(environment)?
            .with_intra_threads(threads)?
            // Spinning threads would take the cores from decoding.
            .with_intra_op_spinning(false)?
            // Patterns are kept per input shape, and here every batch has another shape.
            .with_memory_pattern(false)?;
        match self {
            Self::Cpu => Ok(builder),
        }
    }

    /// Options of every run.
    pub(super) fn run_options(self) -> ort::Result<RunOptions> {
        let mut options = RunOptions::new()?;
        // Returns memory after a long batch: the arena would keep its peak until the process ends.
        options.set("memory.enable_memory_arena_shrinkage", self.arena())?;
        Ok(options)
    }

    /// ONNX Runtime's name of the device's memory arena.
    fn arena(self) -> &'static str {
        match self {
            Self::Cpu => "cpu:0",
        }
    }
}

//! One session of ONNX Runtime for several threads: one copy of the weights, however many run it.

use ort::session::{HasSelectedOutputs, RunOptions, Session, SessionInputs, SessionOutputs};
use std::mem::ManuallyDrop;
use std::sync::Arc;

/// A session that several threads run at the same time.
///
/// ONNX Runtime allows it: `OrtApi::Run` of one session may be called from any number of threads, and its CPU provider
/// keeps that promise. `ort` takes `&mut` all the same, because of other providers that do not; so only providers whose
/// `Provider::max_callers` says so are run by more than one thread.
#[derive(Debug, Clone)]
pub(super) struct SharedSession(Arc<Session>);

impl SharedSession {
    pub(super) fn new(session: Session) -> Self {
        Self(Arc::new(session))
    }

    /// Runs the model; `read` sees the outputs.
    pub(super) fn run<'i, 'v: 'i, const N: usize, T>(
        &self,
        inputs: impl Into<SessionInputs<'i, 'v, N>>,
        options: &RunOptions<HasSelectedOutputs>,
        read: impl FnOnce(&SessionOutputs<'_>) -> T,
    ) -> ort::Result<T> {
        // SAFETY: a `Session` is a reference-counted pointer to ONNX Runtime's session, and the names of its inputs and
        // outputs. `run_with_options` only reads them. The bitwise copy is this call's own, so that its `&mut` is
        // exclusive; it is never dropped, and `self` keeps alive what it points to until the outputs are read.
        #[expect(unsafe_code, reason = "ort has no other way to run a session on several threads")]
        let mut session = ManuallyDrop::new(unsafe { std::ptr::read(Arc::as_ptr(&self.0)) });
        let outputs = session.run_with_options(inputs, options)?;
        Ok(read(&outputs))
    }
}

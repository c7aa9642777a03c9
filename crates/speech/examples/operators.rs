//! A library of the operators in bf16, for ONNX Runtime in other programs:
//! `cargo build --release -p emofleet-speech --example operators`, then `register_custom_ops_library` in Python. The
//! exporter measures models in bf16 with it (`models/emotion2vec/exporter/operators.py`).

use std::ffi::c_void;

/// ONNX Runtime calls it by this name.
///
/// # Safety
/// ONNX Runtime's own: `OrtSessionOptions*` and `const OrtApiBase*`.
#[expect(unsafe_code, reason = "the name and the arguments are ONNX Runtime's")]
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RegisterCustomOps(options: *mut c_void, base: *const c_void) -> *mut c_void {
    // SAFETY: the arguments are handed on as they are.
    unsafe { speech::model::register_operators(options, base) }
}

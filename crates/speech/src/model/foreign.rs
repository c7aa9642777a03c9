//! The operators of this crate for sessions that other programs open, by the entry that ONNX Runtime looks for in a library
//! of operators. The exporter's measurements run models that name them with it (`models/emotion2vec/exporter/operators.py`):
//! `cargo rustc --release -p emofleet-speech --lib --features operators-library --crate-type cdylib`, then
//! `register_custom_ops_library` in Python.

use super::operators;
use ort::AsPointer as _;
use ort::sys::{OrtApiBase, OrtErrorCode, OrtSessionOptions};
use std::ffi::{CString, c_void};

/// Adds the operators to the options of a session; gives null, or ONNX Runtime's status with what went wrong. ONNX Runtime
/// calls it by this name.
///
/// # Safety
/// The arguments are those that ONNX Runtime gives to `RegisterCustomOps`: `OrtSessionOptions*` and `OrtApiBase*`.
#[expect(unsafe_code, reason = "the name and the arguments are ONNX Runtime's")]
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub unsafe extern "C" fn RegisterCustomOps(options: *mut c_void, base: *const c_void) -> *mut c_void {
    // SAFETY: the caller's promise. ONNX Runtime keeps its table of functions until the process ends.
    unsafe {
        let api = ((*base.cast::<OrtApiBase>()).GetApi)(ort::sys::ORT_API_VERSION);
        if api.is_null() {
            // An older table has the function that makes a status.
            let oldest = ((*base.cast::<OrtApiBase>()).GetApi)(1);
            let why = c"this ONNX Runtime is older than 1.24";
            let status = (!oldest.is_null()).then(|| ((*oldest).CreateStatus)(OrtErrorCode::ORT_FAIL, why.as_ptr()).0);
            return status.map_or(std::ptr::null_mut(), <*mut _>::cast);
        }
        ort::set_api(std::ptr::read(api));
        let status = match operators::domain() {
            Ok(domain) => {
                // ONNX Runtime refers to it as long as sessions of these options live.
                let domain = std::mem::ManuallyDrop::new(domain);
                ((*api).AddCustomOpDomain)(options.cast::<OrtSessionOptions>(), domain.ptr().cast_mut())
            }
            Err(error) => {
                let why = CString::new(error.to_string()).unwrap_or_default();
                ((*api).CreateStatus)(OrtErrorCode::ORT_FAIL, why.as_ptr())
            }
        };
        status.0.cast()
    }
}

//! The operators of this crate for sessions that other programs open, by the entry that ONNX Runtime looks for in a library
//! of operators. The exporter's measurements run models in bf16 with it (`examples/operators.rs`).

use super::bf16;
use ort::AsPointer as _;
use ort::sys::{OrtApiBase, OrtErrorCode, OrtSessionOptions};
use std::ffi::{CString, c_void};

/// Adds the operators to the options of a session; gives null, or ONNX Runtime's status with what went wrong.
///
/// # Safety
/// The arguments are those that ONNX Runtime gives to `RegisterCustomOps`: `OrtSessionOptions*` and `OrtApiBase*`.
#[expect(unsafe_code, reason = "the arguments are foreign pointers")]
pub unsafe fn register_operators(options: *mut c_void, base: *const c_void) -> *mut c_void {
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
        let status = match bf16::available().then(bf16::domain) {
            Some(Ok(domain)) => {
                // ONNX Runtime refers to it as long as sessions of these options live.
                let domain = std::mem::ManuallyDrop::new(domain);
                ((*api).AddCustomOpDomain)(options.cast::<OrtSessionOptions>(), domain.ptr().cast_mut())
            }
            other => {
                let why = other.map_or("this processor has no AVX512-BF16".into(), |domain| match domain {
                    Ok(_) => String::new(),
                    Err(error) => error.to_string(),
                });
                let why = CString::new(why).unwrap_or_default();
                ((*api).CreateStatus)(OrtErrorCode::ORT_FAIL, why.as_ptr())
            }
        };
        status.0.cast()
    }
}

//! Processors other than x86-64: the operators in bf16 are not written for them.

use ort::operator::OperatorDomain;

/// Never.
pub(in crate::model) fn available() -> bool {
    false
}

/// Not called, since a model in bf16 is refused before.
pub(in crate::model) fn domain() -> ort::Result<OperatorDomain> {
    Err(ort::Error::new("this processor has no operators in bf16"))
}

//! Processors other than x86-64: the operators are not written for them.

use super::instructions::Instructions;
use ort::operator::OperatorDomain;

/// Never.
pub(in crate::model) fn available(_: Instructions) -> bool {
    false
}

/// Not called, since a model that names the operators is refused before.
pub(in crate::model) fn domain() -> ort::Result<OperatorDomain> {
    Err(ort::Error::new("this processor has none of the operators"))
}

//! Operators that ONNX Runtime's CPU provider does not have, for emotion2vec+: linear layers in bf16 and in int8 with a
//! scale for each row, attention and grouped convolution in bf16, and GELU after a layer norm.
//!
//! A graph names them in the domain `emofleet`, and its `model.json` which instructions of the processor they need
//! ([`Instructions`]); everything else in it is ONNX Runtime's own, in fp32. `docs/decisions/0014-own-bf16-operators.md`
//! and `0016-own-int8-operators.md` say why they are here.
#![expect(unsafe_code, reason = "instructions of the processor have no safe form")]

mod activation;
mod attend;
mod attention;
mod convolution;
mod linear;
mod pack;
mod product;
mod softmax;

use super::instructions::Instructions;
use ort::operator::{ComputeContext, OperatorDomain};
use ort::value::ValueRef;

/// For sessions of graphs that name the operators.
pub(in crate::model) fn domain() -> ort::Result<OperatorDomain> {
    OperatorDomain::new("emofleet")?
        .add(linear::Bf16)?
        .add(linear::Int8)?
        .add(activation::NormGelu)?
        .add(attention::Attention)?
        .add(convolution::Convolution)
}

/// Whether this processor has them.
pub(in crate::model) fn available(instructions: Instructions) -> bool {
    match instructions {
        Instructions::Avx512Bf16 => product::bf16::available(),
        Instructions::Avx512Vnni => product::int8::available(),
    }
}

/// Most frames that a window, a step or a kernel covers: sizes stay far from what numbers can hold.
const MOST_FRAMES: usize = 1024;

/// For each kernel that is made: a session of such a graph is refused where its instructions are missing, whichever program
/// opens it.
fn require(instructions: Instructions) -> ort::Result<()> {
    if available(instructions) {
        return Ok(());
    }
    Err(ort::Error::new(format!("this processor has no {} (in /proc/cpuinfo)", instructions.label())))
}

fn wrong(what: &str) -> ort::Error {
    ort::Error::new(format!("{what}: the graph does not fit this version of emofleet, export it again"))
}

fn input(context: &ComputeContext, index: usize) -> ort::Result<ValueRef<'_>> {
    context.input(index)?.ok_or_else(|| wrong("an input is missing"))
}

/// Shape and numbers of an input that is a tensor on the CPU.
macro_rules! numbers {
    ($value:expr, $kind:ty) => {
        $value.try_extract_tensor::<$kind>().map(|(shape, numbers)| (shape.to_vec(), numbers))
    };
}
use numbers;

/// An output of which each task writes columns of its own.
struct Shared(*mut f32);

impl Shared {
    /// From the number at `index`.
    fn at(&self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

// SAFETY: no two tasks write the same number, and nothing reads until all are done.
unsafe impl Sync for Shared {}

#[cfg(test)]
mod test_numbers {
    /// Random numbers between -1 and 1, the same in each run.
    pub(super) struct Numbers(u32);

    impl Numbers {
        pub(super) fn new() -> Self {
            Self(1)
        }

        pub(super) fn take(&mut self, count: usize) -> Vec<f32> {
            let mut next = || {
                self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(|_| next()).collect()
        }
    }

    /// The nearest bf16.
    pub(super) fn nearest(value: f32) -> u16 {
        let bits = value.to_bits();
        ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
    }

    /// Of a bf16.
    pub(super) fn value(bits: u16) -> f64 {
        f64::from(f32::from_bits(u32::from(bits) << 16))
    }
}

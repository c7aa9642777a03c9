//! Operators in bf16, which ONNX Runtime's CPU provider does not have: linear layers and attention of emotion2vec+.
//!
//! A graph whose `model.json` says `"precision": "bf16"` names them in the domain `emofleet`; everything else in it is
//! ONNX Runtime's own, in fp32. `docs/decisions/0014-own-bf16-operators.md` says why they are here.
#![expect(unsafe_code, reason = "instructions of the processor have no safe form")]

mod attention;
mod operators;
mod product;
mod softmax;

pub(super) use operators::domain;
pub(super) use product::available;

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

//! What the processor does with sums of 8-bit products.

/// How ONNX Runtime's CPU kernels add products of 8-bit activations and 8-bit weights on a processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Products {
    /// In 32 bits.
    Exact,
    /// Two at a time in 16 bits, where the sum of two products with 8-bit weights does not fit.
    Saturating,
}

impl Products {
    /// Of this processor. x86 needs VNNI for exact sums; ARM's instructions are exact.
    pub(super) fn of_this_processor() -> Self {
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        let exact = std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni");
        #[cfg(not(any(target_arch = "x86", target_arch = "x86_64")))]
        let exact = true;
        if exact { Self::Exact } else { Self::Saturating }
    }
}

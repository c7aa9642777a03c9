//! Softmax over biased scores.

use super::attend::NEGLIGIBLE;
use super::product::PANEL;
use super::product::bf16::available;
use std::arch::x86_64::{
    __m512, _CMP_LT_OQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _mm512_abs_ps, _mm512_add_ps, _mm512_cmp_ps_mask,
    _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_mask_mov_ps, _mm512_maskz_mov_ps, _mm512_max_ps,
    _mm512_mul_ps, _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_ps,
    _mm512_setr_ps, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_sub_ps,
};
use std::ops::Range;

/// `ALiBi` for one query.
#[derive(Clone, Copy)]
pub(super) struct Bias {
    /// Its token.
    pub(super) query: usize,
    /// Tokens in front of the frames.
    pub(super) extra: usize,
    /// Of a frame's distance, at most 0.
    pub(super) slope: f32,
}

/// Turns scores into weights whose sum is returned; the largest weight is 1. `ranges`: the keys that the scores are of,
/// in whole panels. `valid`: for each key 0, or negative infinity where there is nothing to attend to.
pub(super) fn weigh(scores: &mut [f32], ranges: &[Range<usize>], valid: &[f32], bias: Bias) -> f32 {
    let keys: usize = ranges.iter().map(ExactSizeIterator::len).sum();
    assert!(available() && scores.len() == keys, "a score for each key");
    assert!(
        ranges.iter().all(|r| r.start % PANEL == 0 && r.len() % PANEL == 0 && r.end <= valid.len()),
        "whole panels"
    );
    // SAFETY: the processor has the instructions; the lengths fit.
    unsafe { weigh_with_instructions(scores, ranges, valid, bias) }
}

#[target_feature(enable = "avx512f")]
unsafe fn weigh_with_instructions(scores: &mut [f32], ranges: &[Range<usize>], valid: &[f32], bias: Bias) -> f32 {
    let lanes = _mm512_setr_ps(0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15.);
    let (query, extra) = (_mm512_set1_ps(bias.query as f32), _mm512_set1_ps(bias.extra as f32));
    // The extra tokens have no place in time.
    let slope = _mm512_set1_ps(if bias.query < bias.extra { 0.0 } else { bias.slope });
    let far = _mm512_set1_ps(NEGLIGIBLE);
    let none = _mm512_set1_ps(f32::NEG_INFINITY);
    let mut largest = none;
    let mut at = scores.as_mut_ptr();
    // SAFETY: `scores` has as many numbers as the ranges have keys, `valid` reaches to their ends, and all lengths are
    // multiples of 16.
    unsafe {
        for key in ranges.iter().flat_map(|range| range.clone().step_by(16)) {
            let token = _mm512_add_ps(lanes, _mm512_set1_ps(key as f32));
            let distance = _mm512_abs_ps(_mm512_sub_ps(token, query));
            let frames = !_mm512_cmp_ps_mask::<_CMP_LT_OQ>(token, extra);
            let bias = _mm512_maskz_mov_ps(frames, _mm512_mul_ps(distance, slope));
            let dropped = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(bias, far);
            let score =
                _mm512_add_ps(_mm512_add_ps(_mm512_loadu_ps(at), bias), _mm512_loadu_ps(valid.as_ptr().add(key)));
            let score = _mm512_mask_mov_ps(score, dropped, none);
            largest = _mm512_max_ps(largest, score);
            _mm512_storeu_ps(at, score);
            at = at.add(16);
        }
        // Where there is nothing to attend to, all weights are 0.
        let largest = _mm512_set1_ps(_mm512_reduce_max_ps(largest).max(f32::MIN));
        let mut total = _mm512_setzero_ps();
        for at in (0..scores.len()).step_by(16) {
            let place = scores.as_mut_ptr().add(at);
            let weight = exp(_mm512_sub_ps(_mm512_loadu_ps(place), largest));
            total = _mm512_add_ps(total, weight);
            _mm512_storeu_ps(place, weight);
        }
        _mm512_reduce_add_ps(total).max(f32::MIN_POSITIVE)
    }
}

/// e to the power of numbers that are at most 0, to 2e-7 of the result; 0 below e to the power of -87, where numbers become
/// denormal.
#[target_feature(enable = "avx512f")]
pub(super) fn exp(power: __m512) -> __m512 {
    let least = _mm512_set1_ps(-87.0);
    let kept = !_mm512_cmp_ps_mask::<_CMP_LT_OQ>(power, least);
    let finite = _mm512_max_ps(power, least);
    let whole = _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(_mm512_mul_ps(
        finite,
        _mm512_set1_ps(std::f32::consts::LOG2_E),
    ));
    // ln 2 in two parts, so that the difference is exact.
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693_359_4), finite);
    let rest = _mm512_fnmadd_ps(whole, _mm512_set1_ps(-2.121_944_4e-4), rest);
    let mut sum = _mm512_set1_ps(1.0 / 720.0);
    for factor in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(factor));
    }
    _mm512_maskz_mov_ps(kept, _mm512_scalef_ps(sum, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_powers_of_e_and_nothing_far_or_masked_has_one() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let columns = 96;
        let scores: Vec<f32> = (0..columns).map(|i| i as f32 * 0.7 - 40.0).collect();
        let mut valid = vec![0.0; columns];
        valid[80..].fill(f32::NEG_INFINITY);
        let bias = Bias { query: 30, extra: 10, slope: -1.5 };
        let mut weights = scores.clone();
        let total = weigh(&mut weights, &[0..columns, 0..0], &valid, bias);
        let logit = |key: usize| {
            let bias = if key < 10 { 0.0 } else { -1.5 * (key as f64 - 30.0).abs() };
            if key >= 80 || bias < -64.0 { f64::NEG_INFINITY } else { f64::from(scores[key]) + bias }
        };
        let largest = (0..columns).map(logit).fold(f64::NEG_INFINITY, f64::max);
        for (key, weight) in weights.iter().enumerate() {
            let expected = (logit(key) - largest).exp();
            assert!((f64::from(*weight) - expected).abs() <= 1e-5 * expected + 1e-37, "{key}: {weight} {expected}");
        }
        assert!((total - weights.iter().sum::<f32>()).abs() < 1e-5);
        assert_eq!(weights[75], 0.0);
        assert_eq!(weights[85], 0.0);
    }
}

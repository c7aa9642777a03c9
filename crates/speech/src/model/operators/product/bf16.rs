//! Products in bf16: both sides have 8 significant bits, sums are kept in fp32.

use super::{PANEL, Sums, TILE, first, tiles};
use std::arch::x86_64::{
    __m256i, __m512bh, __m512i, _mm256_mask_storeu_epi16, _mm512_add_ps, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
    _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_ps,
    _mm512_set1_epi32, _mm512_setzero_ps, _mm512_storeu_si512,
};
use std::mem::transmute;

/// Behind each rounded row: rows that are a multiple of 4 KiB long would fall into the same few sets of the cache.
pub(in crate::model::operators) const GAP: usize = 32;

/// Whether this processor has the instructions.
pub(in crate::model::operators) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bf16")
}

/// Left-hand rows, rounded: `stride` numbers from one to the next.
#[derive(Clone, Copy)]
pub(in crate::model::operators) struct Rows<'a> {
    pub(in crate::model::operators) values: &'a [u16],
    pub(in crate::model::operators) stride: usize,
}

/// What a sum begins with.
#[derive(Clone, Copy)]
pub(in crate::model::operators) enum Start<'a> {
    Zero,
    /// The same for each row, one number for each column that exists.
    Bias(&'a [f32]),
    /// What is there already.
    Present,
}

/// `count` rows times one panel. `pairs`: half of the inner length.
pub(in crate::model::operators) fn panel(
    rows: Rows<'_>,
    count: usize,
    panel: &[u16],
    pairs: usize,
    start: Start<'_>,
    out: &mut Sums<'_>,
) {
    assert!(available(), "checked when the model was loaded");
    assert!(panel.len() >= pairs * 2 * PANEL, "a whole panel");
    assert!(count > 0 && rows.values.len() >= (count - 1) * rows.stride + 2 * pairs, "rows of that length");
    assert!(out.have_room_for(count), "room for the sums");
    if let Start::Bias(bias) = start {
        assert!(bias.len() >= out.columns, "a bias for each column");
    }
    for (from, count) in tiles(count) {
        // SAFETY: the processor has the instructions, and the assertions above hold for the last row.
        unsafe {
            TILES[count - 1](
                rows.values.as_ptr().add(from * rows.stride),
                rows.stride,
                panel.as_ptr(),
                pairs,
                start,
                out.values.as_mut_ptr().add(from * out.width),
                out.width,
                out.columns,
            );
        }
    }
}

type Tile = unsafe fn(*const u16, usize, *const u16, usize, Start<'_>, *mut f32, usize, usize);
/// For each number of rows.
const TILES: [Tile; TILE] = [
    tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>, tile::<9>, tile::<10>,
    tile::<11>, tile::<12>, tile::<13>, tile::<14>,
];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
#[expect(clippy::too_many_arguments, reason = "raw parts of the two sides and of the result")]
unsafe fn tile<const ROWS: usize>(
    rows: *const u16,
    stride: usize,
    panel: *const u16,
    pairs: usize,
    start: Start<'_>,
    out: *mut f32,
    width: usize,
    columns: usize,
) {
    // SAFETY: the caller gives `ROWS` rows of `pairs` pairs, a panel of as many, and room for the columns that exist.
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
        for pair in 0..pairs {
            let weights = panel.add(pair * 2 * PANEL);
            let left: __m512bh = transmute(_mm512_loadu_si512(weights.cast()));
            let right: __m512bh = transmute(_mm512_loadu_si512(weights.add(PANEL).cast()));
            for (row, sums) in sums.iter_mut().enumerate() {
                let two = rows.add(row * stride + 2 * pair).cast::<i32>().read_unaligned();
                let two: __m512bh = transmute(_mm512_set1_epi32(two));
                sums[0] = _mm512_dpbf16_ps(sums[0], two, left);
                sums[1] = _mm512_dpbf16_ps(sums[1], two, right);
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            for (half, sum) in sums.iter().enumerate() {
                let mask = first(columns.saturating_sub(16 * half));
                let place = out.wrapping_add(row * width + 16 * half);
                let begun = match start {
                    Start::Zero => _mm512_setzero_ps(),
                    Start::Bias(bias) => _mm512_maskz_loadu_ps(mask, bias.as_ptr().wrapping_add(16 * half)),
                    Start::Present => _mm512_maskz_loadu_ps(mask, place),
                };
                _mm512_mask_storeu_ps(place, mask, _mm512_add_ps(begun, *sum));
            }
        }
    }
}

/// Rounds to the nearest bf16, and to even between two. Both have the same length.
pub(in crate::model::operators) fn round(values: &[f32], rounded: &mut [u16]) {
    assert!(available() && values.len() == rounded.len(), "checked when the model was loaded");
    // SAFETY: the processor has the instructions; the lengths are equal.
    unsafe { round_with_instructions(values, rounded) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn round_with_instructions(values: &[f32], rounded: &mut [u16]) {
    let (length, from, to) = (values.len(), values.as_ptr(), rounded.as_mut_ptr());
    let whole = length - length % 32;
    // SAFETY: all reads and writes are below `length`, by the loop's end or by the mask.
    unsafe {
        for at in (0..whole).step_by(32) {
            let both = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(from.add(at + 16)), _mm512_loadu_ps(from.add(at)));
            _mm512_storeu_si512(to.add(at).cast(), transmute::<__m512bh, __m512i>(both));
        }
        for at in (whole..length).step_by(16) {
            let mask = first(length - at);
            let some: __m256i = transmute(_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from.add(at))));
            _mm256_mask_storeu_epi16(to.add(at).cast(), mask, some);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::test_numbers::{Numbers, nearest, value};

    /// `weights` [inner, columns] in panels.
    fn panels(weights: &[f32], inner: usize, columns: usize) -> Vec<u16> {
        let pairs = inner.div_ceil(2);
        let mut packed = vec![0; columns.div_ceil(PANEL) * pairs * 2 * PANEL];
        for row in 0..inner {
            for column in 0..columns {
                let place = (column / PANEL * pairs + row / 2) * 2 * PANEL + column % PANEL * 2 + row % 2;
                packed[place] = nearest(weights[row * columns + column]);
            }
        }
        packed
    }

    #[test]
    fn products_are_those_of_the_rounded_numbers() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut numbers = Numbers::new();
        for (count, inner, columns) in [(1, 2, 1), (14, 64, 32), (15, 51, 45), (37, 1000, 16), (255, 130, 97)] {
            let (left, right, bias) =
                (numbers.take(count * inner), numbers.take(inner * columns), numbers.take(columns));
            let (pairs, stride) = (inner.div_ceil(2), 2 * inner.div_ceil(2) + GAP);
            let mut rounded = vec![0; count * stride];
            for row in 0..count {
                round(&left[row * inner..][..inner], &mut rounded[row * stride..][..inner]);
            }
            let packed = panels(&right, inner, columns);
            let mut out = vec![f32::NAN; count * columns];
            for (index, weights) in packed.chunks(pairs * 2 * PANEL).enumerate() {
                let at = index * PANEL;
                let mut sums = Sums { values: &mut out[at..], width: columns, columns: PANEL.min(columns - at) };
                let rows = Rows { values: &rounded, stride };
                panel(rows, count, weights, pairs, Start::Bias(&bias[at..]), &mut sums);
            }
            for row in 0..count {
                for column in 0..columns {
                    let terms = (0..inner)
                        .map(|i| value(nearest(left[row * inner + i])) * value(nearest(right[i * columns + column])));
                    let expected = terms.sum::<f64>() + f64::from(bias[column]);
                    let found = f64::from(out[row * columns + column]);
                    assert!((found - expected).abs() < 1e-4, "{count} {inner} {columns}: {found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn numbers_are_rounded_to_the_nearest_and_to_even_between_two() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut values = vec![1.0, -1.0, 1.0 + 1.0 / 256.0, 1.0 + 3.0 / 256.0, 0.1, -3.3e38, 65_535.0];
        values.extend(Numbers::new().take(60));
        let mut rounded = vec![0; values.len()];
        round(&values, &mut rounded);
        assert_eq!(rounded, values.iter().map(|v| nearest(*v)).collect::<Vec<u16>>());
    }
}

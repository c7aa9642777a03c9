//! Products of 8-bit numbers with sums of 32 bits: on the left unsigned numbers with a scale and a zero for each row,
//! on the right signed ones with a scale for each column.

use super::{PANEL, Sums, TILE, first, tiles};
use std::arch::x86_64::{
    __m512, _mm_mask_storeu_epi8, _mm512_add_epi32, _mm512_cvtepi32_ps, _mm512_cvtps_epi32, _mm512_cvtusepi32_epi8,
    _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_loadu_si512, _mm512_mask_storeu_ps, _mm512_maskz_loadu_epi32,
    _mm512_maskz_loadu_ps, _mm512_max_epi32, _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_mullo_epi32,
    _mm512_reduce_add_ps, _mm512_reduce_max_ps, _mm512_reduce_min_ps, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_sub_epi32,
};

/// Behind each quantised row: rows that are a multiple of 4 KiB long would fall into the same few sets of the cache.
pub(in crate::model::operators) const GAP: usize = 64;

/// Whether this processor has the instructions.
pub(in crate::model::operators) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// A row's numbers are `(quantised - zero) * scale`.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::model::operators) struct Row {
    scale: f32,
    zero: i32,
}

/// Left-hand rows: `stride` numbers from one to the next, and how each is scaled.
#[derive(Clone, Copy)]
pub(in crate::model::operators) struct Rows<'a> {
    pub(in crate::model::operators) values: &'a [u8],
    pub(in crate::model::operators) stride: usize,
    pub(in crate::model::operators) scaling: &'a [Row],
}

/// What belongs to the columns of a panel that exist.
#[derive(Clone, Copy)]
pub(in crate::model::operators) struct Columns<'a> {
    /// Of the weights.
    pub(in crate::model::operators) scale: &'a [f32],
    /// Of all weights of a column: what the rows' zeros are multiplied with.
    pub(in crate::model::operators) sum: &'a [i32],
    pub(in crate::model::operators) bias: &'a [f32],
}

/// `count` rows times one panel. `quads`: a quarter of the inner length.
pub(in crate::model::operators) fn panel(
    rows: Rows<'_>,
    count: usize,
    panel: &[i8],
    quads: usize,
    columns: Columns<'_>,
    out: &mut Sums<'_>,
) {
    assert!(available(), "checked when the model was loaded");
    assert!(panel.len() >= quads * 4 * PANEL, "a whole panel");
    assert!(count > 0 && rows.values.len() >= (count - 1) * rows.stride + 4 * quads, "rows of that length");
    assert!(rows.scaling.len() >= count && out.have_room_for(count), "room for the sums");
    assert!(
        [columns.scale.len(), columns.sum.len(), columns.bias.len()].iter().all(|length| *length >= out.columns),
        "numbers for each column"
    );
    for (from, count) in tiles(count) {
        // SAFETY: the processor has the instructions, and the assertions above hold for the last row.
        unsafe {
            TILES[count - 1](
                rows.values.as_ptr().add(from * rows.stride),
                rows.stride,
                &rows.scaling[from..],
                panel.as_ptr(),
                quads,
                columns,
                out.values.as_mut_ptr().add(from * out.width),
                out.width,
                out.columns,
            );
        }
    }
}

type Tile = unsafe fn(*const u8, usize, &[Row], *const i8, usize, Columns<'_>, *mut f32, usize, usize);
/// For each number of rows.
const TILES: [Tile; TILE] = [
    tile::<1>, tile::<2>, tile::<3>, tile::<4>, tile::<5>, tile::<6>, tile::<7>, tile::<8>, tile::<9>, tile::<10>,
    tile::<11>, tile::<12>, tile::<13>, tile::<14>,
];

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
#[expect(clippy::too_many_arguments, reason = "raw parts of the two sides and of the result")]
unsafe fn tile<const ROWS: usize>(
    rows: *const u8,
    stride: usize,
    scaling: &[Row],
    panel: *const i8,
    quads: usize,
    columns: Columns<'_>,
    out: *mut f32,
    width: usize,
    existing: usize,
) {
    // SAFETY: the caller gives `ROWS` rows of `quads` groups of four, a panel of as many, and room for the columns that exist.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); 2]; ROWS];
        for quad in 0..quads {
            let weights = panel.add(quad * 4 * PANEL);
            let left = _mm512_loadu_si512(weights.cast());
            let right = _mm512_loadu_si512(weights.add(2 * PANEL).cast());
            for (row, sums) in sums.iter_mut().enumerate() {
                let four = _mm512_set1_epi32(rows.add(row * stride + 4 * quad).cast::<i32>().read_unaligned());
                sums[0] = _mm512_dpbusd_epi32(sums[0], four, left);
                sums[1] = _mm512_dpbusd_epi32(sums[1], four, right);
            }
        }
        for half in 0..2 {
            let mask = first(existing.saturating_sub(16 * half));
            let scale = _mm512_maskz_loadu_ps(mask, columns.scale.as_ptr().wrapping_add(16 * half));
            let total = _mm512_maskz_loadu_epi32(mask, columns.sum.as_ptr().wrapping_add(16 * half));
            let bias = _mm512_maskz_loadu_ps(mask, columns.bias.as_ptr().wrapping_add(16 * half));
            for (row, (sums, scaling)) in sums.iter().zip(scaling).enumerate() {
                let zero = _mm512_mullo_epi32(total, _mm512_set1_epi32(scaling.zero));
                let sum = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums[half], zero));
                let value = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, _mm512_set1_ps(scaling.scale)), bias);
                _mm512_mask_storeu_ps(out.wrapping_add(row * width + 16 * half), mask, value);
            }
        }
    }
}

/// Quantises a row to its own range, which always has 0 in it. Both have the same length. A row with a number that is not
/// finite gets a scale that is none either, so that the results say so.
pub(in crate::model::operators) fn quantise(values: &[f32], quantised: &mut [u8]) -> Row {
    assert!(available() && values.len() == quantised.len(), "checked when the model was loaded");
    // SAFETY: the processor has the instructions; the lengths are equal.
    unsafe { quantise_with_instructions(values, quantised) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn quantise_with_instructions(values: &[f32], quantised: &mut [u8]) -> Row {
    let (length, from, to) = (values.len(), values.as_ptr(), quantised.as_mut_ptr());
    // SAFETY: the mask leaves out what is behind the end.
    let load = |at: usize| unsafe { _mm512_maskz_loadu_ps(first(length - at), from.add(at)) };
    let (mut low, mut high, mut finite) = (_mm512_setzero_ps(), _mm512_setzero_ps(), _mm512_setzero_ps());
    for at in (0..length).step_by(16) {
        let some: __m512 = load(at);
        (low, high) = (_mm512_min_ps(some, low), _mm512_max_ps(some, high));
        finite = _mm512_fmadd_ps(some, _mm512_setzero_ps(), finite);
    }
    let (low, high) = (_mm512_reduce_min_ps(low), _mm512_reduce_max_ps(high));
    // 0, or not a number.
    let finite = _mm512_reduce_add_ps(finite);
    let scale = ((high - low) / 255.0).max(f32::MIN_POSITIVE);
    let zero = (-low / scale).round_ties_even() as i32;
    let (inverse, offset) = (_mm512_set1_ps(1.0 / scale), _mm512_set1_epi32(zero));
    for at in (0..length).step_by(16) {
        let level = _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(load(at), inverse)), offset);
        let bytes = _mm512_cvtusepi32_epi8(_mm512_max_epi32(level, _mm512_setzero_si512()));
        // SAFETY: as above.
        unsafe { _mm_mask_storeu_epi8(to.add(at).cast(), first(length - at), bytes) };
    }
    Row { scale: scale + finite, zero }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::test_numbers::Numbers;

    #[test]
    fn products_are_those_of_the_quantised_numbers() {
        if !available() {
            return println!("skipped: this processor has no AVX512-VNNI");
        }
        let mut numbers = Numbers::new();
        for (count, inner, columns) in [(1, 4, 1), (14, 64, 32), (15, 51, 45), (37, 1000, 16), (155, 130, 97)] {
            let (left, bias) = (numbers.take(count * inner), numbers.take(columns));
            let scale: Vec<f32> = numbers.take(columns).iter().map(|number| number.abs()).collect();
            let right: Vec<i8> = numbers.take(inner * columns).iter().map(|number| (number * 127.0) as i8).collect();
            let sum: Vec<i32> = (0..columns)
                .map(|column| right.iter().skip(column).step_by(columns).map(|weight| i32::from(*weight)).sum())
                .collect();
            let (quads, stride) = (inner.div_ceil(4), 4 * inner.div_ceil(4) + GAP);
            // What is behind a row must not matter.
            let mut rounded = vec![199; count * stride];
            let rows = left.chunks(inner).zip(rounded.chunks_mut(stride));
            let scaling: Vec<Row> = rows.map(|(row, rounded)| quantise(row, &mut rounded[..inner])).collect();
            let mut out = vec![f32::NAN; count * columns];
            for at in (0..columns).step_by(PANEL) {
                let mut packed = vec![0; quads * 4 * PANEL];
                for (i, column) in (0..inner).flat_map(|i| (at..columns.min(at + PANEL)).map(move |c| (i, c))) {
                    packed[i / 4 * 4 * PANEL + (column - at) * 4 + i % 4] = right[i * columns + column];
                }
                let mut sums = Sums { values: &mut out[at..], width: columns, columns: PANEL.min(columns - at) };
                let rows = Rows { values: &rounded, stride, scaling: &scaling };
                let numbers = Columns { scale: &scale[at..], sum: &sum[at..], bias: &bias[at..] };
                panel(rows, count, &packed, quads, numbers, &mut sums);
            }
            for row in 0..count {
                let Row { scale: row_scale, zero } = scaling[row];
                for column in 0..columns {
                    let terms = (0..inner).map(|i| {
                        let level = i64::from(rounded[row * stride + i]) - i64::from(zero);
                        level * i64::from(right[i * columns + column])
                    });
                    let scale = f64::from(row_scale) * f64::from(scale[column]);
                    let expected = terms.sum::<i64>() as f64 * scale + f64::from(bias[column]);
                    let found = f64::from(out[row * columns + column]);
                    let near = 1e-5 * expected.abs().max(1.0);
                    assert!((found - expected).abs() < near, "{count} {inner} {columns}: {found} is not {expected}");
                }
            }
        }
    }

    #[test]
    fn a_row_is_quantised_to_its_range_within_half_a_step() {
        if !available() {
            return println!("skipped: this processor has no AVX512-VNNI");
        }
        let mut numbers = Numbers::new();
        let wide: Vec<f32> = numbers.take(77).iter().map(|number| number * 1e6 + 9e5).collect();
        for values in [numbers.take(1), numbers.take(64), wide, vec![0.0; 20], vec![3.0; 17], vec![-1e-30; 5]] {
            let mut quantised = vec![0; values.len()];
            let row = quantise(&values, &mut quantised);
            for (value, level) in values.iter().zip(&quantised) {
                let found = (i32::from(*level) - row.zero) as f32 * row.scale;
                assert!((found - value).abs() <= 0.502 * row.scale.max(1e-30), "{value} became {found}: {row:?}");
            }
            assert!((0..=255).contains(&row.zero), "0 is in the range: {row:?}");
        }
    }

    #[test]
    fn what_is_not_finite_makes_the_results_no_numbers() {
        if !available() {
            return println!("skipped: this processor has no AVX512-VNNI");
        }
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![0.5; 40];
            values[33] = wrong;
            assert!(quantise(&values, &mut [0; 40]).scale.is_nan(), "{wrong}");
        }
    }
}

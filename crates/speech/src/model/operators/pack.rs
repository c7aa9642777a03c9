//! Rounding to bf16 in the order that products read their right-hand side in.

use super::product::bf16::available;
use super::product::{PANEL, first};
use std::arch::x86_64::{
    __m256bh, __m256i, __m512bh, __m512i, _mm512_cvtepu16_epi32, _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh,
    _mm512_maskz_loadu_ps, _mm512_or_si512, _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_slli_epi32,
    _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};
use std::mem::transmute;

/// `count` rows of `size` numbers, `width` apart, as the columns of panels: [count / PANEL][size / 2][PANEL][2], with zeros
/// for rows that do not exist.
pub(super) fn transpose_pairs(values: &[f32], width: usize, size: usize, count: usize, packed: &mut [u16]) {
    assert!(available(), "checked when the model was loaded");
    assert!(count > 0 && values.len() >= (count - 1) * width + size, "rows of that length");
    assert!(packed.len() >= count.next_multiple_of(PANEL) * 2 * size.div_ceil(2), "room for whole panels");
    // SAFETY: the processor has the instructions, and the assertions above hold for the last row.
    unsafe { transpose_pairs_with_instructions(values.as_ptr(), width, size, count, packed.as_mut_ptr()) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn transpose_pairs_with_instructions(
    values: *const f32,
    width: usize,
    size: usize,
    count: usize,
    packed: *mut u16,
) {
    let pairs = size.div_ceil(2);
    for row in (0..count.next_multiple_of(PANEL)).step_by(16) {
        for at in (0..size).step_by(32) {
            let mut block = [_mm512_setzero_si512(); 16];
            // SAFETY: the rows exist, and the masks leave out what is behind a row's end. The pairs that are written exist in
            // the panel of these rows.
            unsafe {
                for (index, pairs) in block.iter_mut().enumerate().take(count.saturating_sub(row)) {
                    let from = values.add((row + index) * width + at);
                    let low = _mm512_maskz_loadu_ps(first(size - at), from);
                    let high = _mm512_maskz_loadu_ps(first(size.saturating_sub(at + 16)), from.wrapping_add(16));
                    *pairs = transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low));
                }
                let begin = row / PANEL * PANEL * 2 * pairs + row % PANEL * 2;
                for (index, rows) in transposed(&block).into_iter().enumerate().take(pairs - at / 2) {
                    _mm512_storeu_si512(packed.add(begin + (at / 2 + index) * 2 * PANEL).cast(), rows);
                }
            }
        }
    }
}

/// Rows become columns.
#[target_feature(enable = "avx512f")]
fn transposed(rows: &[__m512i; 16]) -> [__m512i; 16] {
    let mut twos = [_mm512_setzero_si512(); 16];
    for i in 0..8 {
        twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    // Of four rows, `fours[4 * i + c]` has column c of each of the four lanes of 128 bits.
    let mut fours = [_mm512_setzero_si512(); 16];
    for i in 0..4 {
        fours[4 * i] = _mm512_unpacklo_epi64(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 1] = _mm512_unpackhi_epi64(twos[4 * i], twos[4 * i + 2]);
        fours[4 * i + 2] = _mm512_unpacklo_epi64(twos[4 * i + 1], twos[4 * i + 3]);
        fours[4 * i + 3] = _mm512_unpackhi_epi64(twos[4 * i + 1], twos[4 * i + 3]);
    }
    let mut columns = [_mm512_setzero_si512(); 16];
    for c in 0..4 {
        let [a, b, d, e] = [fours[c], fours[4 + c], fours[8 + c], fours[12 + c]];
        let (ab_even, ab_odd) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
        let (de_even, de_odd) = (_mm512_shuffle_i32x4::<0x88>(d, e), _mm512_shuffle_i32x4::<0xdd>(d, e));
        columns[c] = _mm512_shuffle_i32x4::<0x88>(ab_even, de_even);
        columns[4 + c] = _mm512_shuffle_i32x4::<0x88>(ab_odd, de_odd);
        columns[8 + c] = _mm512_shuffle_i32x4::<0xdd>(ab_even, de_even);
        columns[12 + c] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, de_odd);
    }
    columns
}

/// Two successive rows as one row of pairs of a panel, [PANEL][2], with zeros behind a row's end.
pub(super) fn interleave_pairs(upper: &[f32], lower: &[f32], packed: &mut [u16]) {
    assert!(available() && packed.len() == 2 * PANEL, "checked when the model was loaded");
    // SAFETY: the processor has the instructions.
    unsafe { interleave_pairs_with_instructions(upper, lower, packed) }
}

#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn interleave_pairs_with_instructions(upper: &[f32], lower: &[f32], packed: &mut [u16]) {
    let round = |row: &[f32], at: usize| {
        // SAFETY: the mask leaves out what is behind the end.
        let some = unsafe { _mm512_maskz_loadu_ps(first(row.len().saturating_sub(at)), row.as_ptr().wrapping_add(at)) };
        // SAFETY: both are 256 bits.
        _mm512_cvtepu16_epi32(unsafe { transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(some)) })
    };
    for at in (0..PANEL).step_by(16) {
        let pairs = _mm512_or_si512(round(upper, at), _mm512_slli_epi32::<16>(round(lower, at)));
        // SAFETY: `packed` has two numbers for each of the panel's columns.
        unsafe { _mm512_storeu_si512(packed.as_mut_ptr().add(2 * at).cast(), pairs) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::test_numbers::{Numbers, nearest};

    #[test]
    fn rows_become_columns_of_panels() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut numbers = Numbers::new();
        for (count, size, width) in [(1, 1_usize, 1), (33, 5, 7), (70, 64, 64), (16, 33, 40), (97, 80, 91)] {
            let values = numbers.take(count * width);
            let pairs = size.div_ceil(2);
            // What was there before must not matter.
            let mut packed = vec![0x7fc0; count.next_multiple_of(PANEL) * 2 * pairs];
            transpose_pairs(&values, width, size, count, &mut packed);
            for (place, found) in packed.iter().enumerate() {
                let (panel, pair) = (place / (2 * PANEL * pairs), place / (2 * PANEL) % pairs);
                let (row, column) = (panel * PANEL + place / 2 % PANEL, 2 * pair + place % 2);
                let wanted = if row < count && column < size { nearest(values[row * width + column]) } else { 0 };
                assert_eq!(*found, wanted, "{count} {size}: row {row}, column {column}");
            }
        }
    }

    #[test]
    fn two_rows_become_pairs() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut numbers = Numbers::new();
        for (upper, lower) in [(32, 32), (100, 64), (19, 19), (3, 0)] {
            let (upper, lower) = (numbers.take(upper), numbers.take(lower));
            let mut packed = [0x7fc0; 2 * PANEL];
            interleave_pairs(&upper, &lower, &mut packed);
            for (place, found) in packed.iter().enumerate() {
                let row = if place % 2 == 0 { &upper } else { &lower };
                assert_eq!(*found, row.get(place / 2).map_or(0, |value| nearest(*value)), "{place}");
            }
        }
    }
}

//! Attention with `ALiBi`, in bf16 products and an fp32 softmax.
//!
//! Scores never leave the cache: a block of queries is compared with the keys near enough to matter, weighted, and
//! multiplied with the values, before the next block begins.

use super::pack::{interleave_pairs, transpose_pairs};
use super::product::bf16::{GAP, Rows, Start, panel, round};
use super::product::{PANEL, Sums};
use super::softmax::{Bias, weigh};

/// Queries of a block.
const BLOCK: usize = 56;
/// A key whose bias is below this has a weight under 2e-28 of the query's own frame, and none here: the exporter's graphs
/// for other precisions mask it too (`NEGLIGIBLE`).
pub(super) const NEGLIGIBLE: f32 = -64.0;

/// One head's part of a recording: row `i` of a side begins at `i * width`.
pub(super) struct Head<'a> {
    pub(super) query: &'a [f32],
    pub(super) key: &'a [f32],
    pub(super) value: &'a [f32],
    /// Numbers from one row of a side to the next.
    pub(super) width: usize,
    /// Numbers of a row that belong to this head.
    pub(super) size: usize,
    /// Keys to attend to, 0 or 1.
    pub(super) valid: &'a [i32],
    /// Bias of a frame's distance, at most 0.
    pub(super) slope: f32,
    /// Tokens in front of the frames, without a bias; at most [`PANEL`].
    pub(super) extra: usize,
}

/// Memory that is used again by the next head.
#[derive(Default)]
pub(super) struct Scratch {
    keys: Vec<u16>,
    values: Vec<u16>,
    queries: Vec<u16>,
    scores: Vec<f32>,
    weights: Vec<u16>,
    valid: Vec<f32>,
    row: Vec<f32>,
    result: Vec<f32>,
}

/// Calls `write` with each query's number and its result.
pub(super) fn attend(head: &Head<'_>, scratch: &mut Scratch, mut write: impl FnMut(usize, &[f32])) {
    let (tokens, size) = (head.valid.len(), head.size);
    let (columns, pairs) = (tokens.next_multiple_of(PANEL), size.div_ceil(2));
    pack_keys(head, scratch, columns);
    pack_values(head, scratch, columns);
    scratch.valid.clear();
    scratch.valid.extend(head.valid.iter().map(|valid| if *valid == 0 { f32::NEG_INFINITY } else { 0.0 }));
    scratch.valid.resize(columns, f32::NEG_INFINITY);
    let stride = 2 * pairs + GAP;
    let value_stride = columns * PANEL;
    scratch.queries.resize(BLOCK * stride, 0);
    scratch.scores.resize(BLOCK * columns, 0.0);
    scratch.weights.resize(BLOCK * (columns + GAP), 0);
    scratch.result.resize(BLOCK * size.next_multiple_of(PANEL), 0.0);
    let scale = 1.0 / (size as f32).sqrt();
    for begin in (0..tokens).step_by(BLOCK) {
        let count = BLOCK.min(tokens - begin);
        for row in 0..count {
            scratch.row.clear();
            scratch.row.extend(head.query[(begin + row) * head.width..][..size].iter().map(|value| value * scale));
            round(&scratch.row, &mut scratch.queries[row * stride..][..size]);
            // Of an odd size, one number may be left of another head.
            scratch.queries[row * stride + size..][..2 * pairs - size].fill(0);
        }
        let ranges = near(head, begin, begin + count, columns);
        let wide: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let queries = Rows { values: &scratch.queries, stride };
        let mut at = 0;
        for key in ranges.iter().flat_map(|range| range.clone().step_by(PANEL)) {
            let keys = &scratch.keys[key * 2 * pairs..][..PANEL * 2 * pairs];
            let mut sums = Sums { values: &mut scratch.scores[at..], width: columns, columns: PANEL };
            panel(queries, count, keys, pairs, Start::Zero, &mut sums);
            at += PANEL;
        }
        let mut totals = [0.0; BLOCK];
        for (row, total) in totals.iter_mut().enumerate().take(count) {
            let bias = Bias { query: begin + row, extra: head.extra, slope: head.slope };
            let scores = &mut scratch.scores[row * columns..][..wide];
            *total = weigh(scores, &ranges, &scratch.valid, bias);
            round(scores, &mut scratch.weights[row * (columns + GAP)..][..wide]);
        }
        let width = size.next_multiple_of(PANEL);
        for column in (0..size).step_by(PANEL) {
            let mut at = 0;
            for range in ranges.iter().filter(|range| !range.is_empty()) {
                let values = &scratch.values[column / PANEL * value_stride + range.start * PANEL..];
                let weights = Rows { values: &scratch.weights[at..], stride: columns + GAP };
                let mut sums = Sums { values: &mut scratch.result[column..], width, columns: PANEL.min(size - column) };
                let start = if at == 0 { Start::Zero } else { Start::Present };
                panel(weights, count, values, range.len() / 2, start, &mut sums);
                at += range.len();
            }
        }
        for (row, total) in totals.iter().enumerate().take(count) {
            let result = &mut scratch.result[row * width..][..size];
            for value in &mut *result {
                *value /= total;
            }
            write(begin + row, result);
        }
    }
}

/// The keys that have a weight for one of these queries, in whole panels: the one with the extra tokens, and those near.
fn near(head: &Head<'_>, begin: usize, end: usize, columns: usize) -> [std::ops::Range<usize>; 2] {
    if begin < head.extra || head.slope >= 0.0 {
        return [0..columns, 0..0];
    }
    let reach = (NEGLIGIBLE / head.slope).ceil().min(columns as f32) as usize;
    let from = begin.saturating_sub(reach) / PANEL * PANEL;
    let to = (end + reach).next_multiple_of(PANEL).min(columns);
    if from <= PANEL { [0..to, 0..0] } else { [0..PANEL, from..to] }
}

/// Panels of keys: [columns / PANEL][pairs][PANEL][2].
fn pack_keys(head: &Head<'_>, scratch: &mut Scratch, columns: usize) {
    scratch.keys.resize(columns * 2 * head.size.div_ceil(2), 0);
    transpose_pairs(head.key, head.width, head.size, head.valid.len(), &mut scratch.keys);
}

/// Panels of values: [size / PANEL][columns / 2][PANEL][2].
fn pack_values(head: &Head<'_>, scratch: &mut Scratch, columns: usize) {
    let stride = columns * PANEL;
    scratch.values.resize(head.size.div_ceil(PANEL) * stride, 0);
    let row = |token: usize| head.value.get(token * head.width..).filter(|_| token < head.valid.len());
    for token in (0..columns).step_by(2) {
        let [first, second] = [token, token + 1].map(|token| row(token).map_or(&[][..], |row| &row[..head.size]));
        for (panel, packed) in scratch.values.chunks_exact_mut(stride).enumerate() {
            let [first, second] = [first, second].map(|row| row.get(panel * PANEL..).unwrap_or_default());
            interleave_pairs(first, second, &mut packed[token * PANEL..][..2 * PANEL]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::operators::product::bf16::available;
    use crate::model::operators::test_numbers::Numbers;

    /// In fp64, without rounding.
    fn expected(head: &Head<'_>, query: usize) -> Vec<f64> {
        let frame = |token: usize| token.checked_sub(head.extra);
        let side = |side: &[f32], token: usize, i: usize| f64::from(side[token * head.width + i]);
        let mut total = 0.0;
        let mut sums = vec![0.0; head.size];
        for key in 0..head.valid.len() {
            let distance = frame(query).zip(frame(key)).map_or(0, |(a, b)| a.abs_diff(b));
            let bias = distance as f32 * head.slope;
            if head.valid[key] == 0 || bias < NEGLIGIBLE {
                continue;
            }
            let product: f64 = (0..head.size).map(|i| side(head.query, query, i) * side(head.key, key, i)).sum();
            let weight = (product / (head.size as f64).sqrt() + f64::from(bias)).exp();
            total += weight;
            sums.iter_mut().enumerate().for_each(|(i, sum)| *sum += weight * side(head.value, key, i));
        }
        sums.iter().map(|sum| sum / total).collect()
    }

    #[test]
    fn attention_is_that_of_the_formula_near_far_and_masked() {
        if !available() {
            return println!("skipped: this processor has no AVX512-BF16");
        }
        let mut numbers = Numbers::new();
        let mut scratch = Scratch::default();
        for (tokens, size, slope, masked) in [
            (11, 8, -0.5, 0),
            (70, 5, -0.1, 3),
            (12, 4, 0.0, 1),
            (97, 64, -0.004, 0),
            (300, 16, -0.7, 20),
            (400, 40, -2.0, 7),
        ] {
            let width = size + 3;
            let [query, key, value] = [(); 3].map(|()| numbers.take(tokens * width));
            let valid: Vec<i32> = (0..tokens).map(|token| i32::from(token + masked < tokens)).collect();
            let head = Head { query: &query, key: &key, value: &value, width, size, valid: &valid, slope, extra: 10 };
            // What another head left must not matter: not a number is the worst.
            scratch.queries.fill(0x7fc0);
            let mut seen = 0;
            attend(&head, &mut scratch, |query, result| {
                seen += 1;
                // Behind a recording's end, far from all valid keys, a query has no answer.
                if valid[query] == 1 {
                    for (found, wanted) in result.iter().zip(expected(&head, query)) {
                        assert!((f64::from(*found) - wanted).abs() < 4e-3, "{tokens} {size} {query}: {found} {wanted}");
                    }
                }
            });
            assert_eq!(seen, tokens);
        }
    }
}

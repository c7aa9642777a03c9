//! Matrix products of rounded numbers, in tiles whose sums stay in registers.
//!
//! The right-hand side is in panels of [`PANEL`] columns, `[columns / PANEL][inner / GROUP][PANEL][GROUP]`, filled up with
//! zeros: one instruction reads a group of successive values (2 of bf16, 4 of int8) of each of 16 columns. The exporter
//! writes weights like that (`models/emotion2vec/exporter/panels.py`).

use std::arch::x86_64::__mmask16;

pub(super) mod bf16;
pub(super) mod int8;

/// Columns of a panel: two registers of sums.
pub(super) const PANEL: usize = 32;
/// Most rows of a tile: with two registers for each, 28 of 32 registers hold sums.
pub(super) const TILE: usize = 14;

/// The first `count` of 16 lanes.
pub(super) fn first(count: usize) -> __mmask16 {
    if count >= 16 { !0 } else { (1 << count) - 1 }
}

/// `count` rows in tiles of nearly the same size, as first row and number of rows: a last tile of few rows would keep the
/// processor less busy.
fn tiles(count: usize) -> impl Iterator<Item = (usize, usize)> {
    let tiles = count.div_ceil(TILE);
    (0..tiles).map(move |index| {
        let (from, to) = (index * count / tiles, (index + 1) * count / tiles);
        (from, to - from)
    })
}

/// Where sums go: `values` begins at the first row's first column of the panel.
pub(super) struct Sums<'a> {
    pub(super) values: &'a mut [f32],
    pub(super) width: usize,
    /// Columns of the panel that exist, at most [`PANEL`].
    pub(super) columns: usize,
}

impl Sums<'_> {
    /// Whether `count` rows fit.
    fn have_room_for(&self, count: usize) -> bool {
        (1..=PANEL).contains(&self.columns) && self.values.len() >= (count - 1) * self.width + self.columns
    }
}

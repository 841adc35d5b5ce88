//! Products of matrices for linear layers, on slices: inputs are `[rows, features_in]`, weights
//! `[features_out, features_in]`.
//!
//! In all three products the weight, or its gradient, is by far the largest matrix. It is read or
//! written once, in blocks, each by one thread. The few rows of the batch are packed first and
//! shared. Every sum has one order, for any number of threads.

use std::ops::Range;

use rayon::prelude::*;

use crate::arithmetic::{BLOCK, Precision, Vectors, Work};
use crate::memory;
use crate::scratch::Scratch;
use crate::transpose::transpose;

/// The sizes of a layer and its batch.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    pub rows: usize,
    pub features_in: usize,
    pub features_out: usize,
}

/// Rows of the result that one thread computes at a time: the least and the usual number.
const ROWS: Range<usize> = 2 * BLOCK..8 * BLOCK;
/// Results that stay in the second-level cache until they are complete.
const OUTPUTS: usize = 1 << 17;
/// Columns of the result that are packed together.
const PANEL: usize = 32;
/// Blocks of units that are summed before the next panel. This part of a panel stays in the
/// first-level cache.
const CHUNK: usize = 8;
/// Blocks of units that are packed at once. Memory is fastest in long runs.
const PACKED: usize = 4 * CHUNK;

/// `y = x wᵀ`
pub fn forward<P: Precision>(x: &[f32], w: &[f32], s: Sizes) -> Vec<f32> {
    let x = Matrix { values: x, pitch: s.features_in, lines: s.rows, along: true };
    let w = Matrix { values: w, pitch: s.features_in, lines: s.features_out, along: true };
    turned(&product::<P>(&w, &x, s.features_in), s.features_out, s.rows)
}

/// `dx = dy w`
pub fn input_gradient<P: Precision>(dy: &[f32], w: &[f32], s: Sizes) -> Vec<f32> {
    let dy = Matrix { values: dy, pitch: s.features_out, lines: s.rows, along: true };
    let w = Matrix { values: w, pitch: s.features_in, lines: s.features_in, along: false };
    turned(&product::<P>(&w, &dy, s.features_out), s.features_in, s.rows)
}

/// `dw = dyᵀ x`
pub fn weight_gradient<P: Precision>(dy: &[f32], x: &[f32], s: Sizes) -> Vec<f32> {
    let dy = Matrix { values: dy, pitch: s.features_out, lines: s.features_out, along: false };
    let x = Matrix { values: x, pitch: s.features_in, lines: s.features_in, along: false };
    product::<P>(&dy, &x, s.rows)
}

/// A factor: lines of terms that are multiplied and summed.
#[derive(Debug, Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    /// From one row of memory to the next.
    pitch: usize,
    /// Rows or columns of the result.
    lines: usize,
    /// Whether the terms of one line follow each other in memory. Otherwise, the lines of one term
    /// do.
    along: bool,
}

impl Matrix<'_> {
    /// A block of up to 16 lines by 16 units: `[line][unit]` if the terms follow each other, else
    /// `[unit][line]`; 0 where the matrix ends.
    #[inline(always)]
    fn block<P: Precision, V: Vectors<P>>(
        &self,
        vectors: V,
        first_line: usize,
        first_unit: usize,
        terms: usize,
        block: &mut [[P::Unit; BLOCK]; BLOCK],
    ) {
        let first_term = first_unit * P::CHANNELS;
        let lines = BLOCK.min(self.lines - first_line);
        if self.along {
            let count = (P::CHANNELS * BLOCK).min(terms - first_term);
            for (l, units) in block.iter_mut().enumerate() {
                let from = match l < lines {
                    true => &self.values[(first_line + l) * self.pitch + first_term..][..count],
                    false => &[],
                };
                vectors.pack_channels(from, units);
            }
            return;
        }
        let row = |term: usize| match term < terms {
            true => &self.values[term * self.pitch + first_line..][..lines],
            false => &[],
        };
        for (unit, units) in block.iter_mut().enumerate() {
            let term = first_term + unit * P::CHANNELS;
            vectors.pack_pairs(row(term), row(term + P::CHANNELS - 1), units);
        }
    }
}

/// `c[i, j] = Σ_t a[i, t] b[j, t]`, `[lines of a, lines of b]`.
fn product<P: Precision>(a: &Matrix, b: &Matrix, terms: usize) -> Vec<f32> {
    let blocks = terms.div_ceil(P::CHANNELS * BLOCK);
    let per_panel = blocks * BLOCK * PANEL;
    let mut packed = Scratch::<P::Unit>::new(b.lines.div_ceil(PANEL) * per_panel);
    packed.par_chunks_exact_mut(per_panel.max(1)).enumerate().for_each(|(i, panel)| {
        P::run(Pack { b, first: i * PANEL, terms, panel });
    });
    let most = (OUTPUTS / b.lines.max(1)).clamp(ROWS.start, ROWS.end);
    let tasks = 4 * rayon::current_num_threads();
    let rows = a.lines.div_ceil(tasks).clamp(ROWS.start, most).next_multiple_of(BLOCK);
    memory::build(a.lines * b.lines, rows * b.lines, |i, out| {
        let rows = i * rows..a.lines.min((i + 1) * rows);
        P::run(Rows { a, rows, terms, panels: &packed, columns: b.lines, out });
    })
}

/// Packs some lines: `[unit][line]`.
struct Pack<'a, P: Precision> {
    b: &'a Matrix<'a>,
    first: usize,
    terms: usize,
    panel: &'a mut [P::Unit],
}

impl<P: Precision> Work<P> for Pack<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        let Self { b, first, terms, panel } = self;
        for (i, units) in panel.chunks_exact_mut(BLOCK * PANEL).enumerate() {
            for half in 0..PANEL / BLOCK {
                let mut block = [[P::unit([0.0; 2]); BLOCK]; BLOCK];
                if first + half * BLOCK < b.lines {
                    b.block(vectors, first + half * BLOCK, i * BLOCK, terms, &mut block);
                }
                if b.along {
                    transpose(&mut block);
                }
                for (unit, line) in units.chunks_exact_mut(PANEL).zip(&block) {
                    unit[half * BLOCK..][..BLOCK].copy_from_slice(line);
                }
            }
        }
    }
}

/// Computes some rows of the result.
struct Rows<'a, P: Precision> {
    a: &'a Matrix<'a>,
    rows: Range<usize>,
    terms: usize,
    panels: &'a [P::Unit],
    columns: usize,
    /// Zeros.
    out: &'a mut [f32],
}

impl<P: Precision> Work<P> for Rows<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        // 16 vectors of sums, if there are registers for them.
        match (V::LANES >= 16, self.a.along) {
            (true, true) => self.tiles::<V, 8, true>(vectors),
            (true, false) => self.tiles::<V, 8, false>(vectors),
            (false, true) => self.tiles::<V, 4, true>(vectors),
            (false, false) => self.tiles::<V, 4, false>(vectors),
        }
    }
}

impl<P: Precision> Rows<'_, P> {
    /// In tiles of `R` rows and two vectors of columns.
    #[inline(always)]
    fn tiles<V: Vectors<P>, const R: usize, const ALONG: bool>(self, vectors: V) {
        let Self { a, rows, terms, panels, columns, out } = self;
        let blocks = terms.div_ceil(P::CHANNELS * BLOCK);
        let per_block = BLOCK * BLOCK;
        let groups = rows.len().div_ceil(BLOCK);
        let mut packed = Scratch::<P::Unit>::new(groups * PACKED.min(blocks) * per_block);
        for first_packed in (0..blocks).step_by(PACKED) {
            let in_pack = PACKED.min(blocks - first_packed);
            let per_group = in_pack * per_block;
            // In their order in memory.
            let (outer, inner) = if ALONG { (groups, in_pack) } else { (in_pack, groups) };
            for (i, j) in (0..outer).flat_map(|i| (0..inner).map(move |j| (i, j))) {
                let (group, block) = if ALONG { (i, j) } else { (j, i) };
                let to = &mut packed[group * per_group + block * per_block..][..per_block];
                let to = to.as_chunks_mut().0.first_chunk_mut().expect("a block");
                let line = rows.start + group * BLOCK;
                a.block(vectors, line, (first_packed + block) * BLOCK, terms, to);
            }
            for chunk in (0..in_pack).step_by(CHUNK) {
                let chunk = chunk..in_pack.min(chunk + CHUNK);
                let panels = panels.chunks_exact(blocks * BLOCK * PANEL);
                for (panel, first_column) in panels.zip((0..columns).step_by(PANEL)) {
                    let panel = &panel[(first_packed + chunk.start) * BLOCK * PANEL..]
                        [..chunk.len() * BLOCK * PANEL];
                    let used = PANEL.min(columns - first_column);
                    let groups = packed.chunks_exact(per_group);
                    for (packed, out) in groups.zip(out.chunks_mut(BLOCK * columns)) {
                        let (packed, _) = packed.as_chunks().0.as_chunks();
                        let packed = &packed[chunk.clone()];
                        for (r, out) in out.chunks_mut(R * columns).enumerate() {
                            for lane in (0..used).step_by(2 * V::LANES) {
                                let sums =
                                    tile::<P, V, R, ALONG>(vectors, packed, r * R, panel, lane);
                                let used = (used - lane).min(2 * V::LANES);
                                for (sums, out) in sums.iter().zip(out.chunks_mut(columns)) {
                                    let out = &mut out[first_column + lane..][..used];
                                    add(vectors, sums, out);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums of `R` rows from `row` on and of two vectors of columns from `lane` on.
#[inline(always)]
fn tile<P: Precision, V: Vectors<P>, const R: usize, const ALONG: bool>(
    vectors: V,
    rows: &[[[P::Unit; BLOCK]; BLOCK]],
    row: usize,
    panel: &[P::Unit],
    lane: usize,
) -> [[V::Sums; 2]; R] {
    let mut sums = [[vectors.zero(); 2]; R];
    for (block, units) in rows.iter().zip(panel.chunks_exact(BLOCK * PANEL)) {
        let units: &[[P::Unit; PANEL]; BLOCK] =
            units.as_chunks().0.first_chunk().expect("a block of units");
        for unit in 0..BLOCK {
            let columns: [V::Units; 2] = std::array::from_fn(|v| {
                vectors.load(&units[unit][lane + v * V::LANES..][..V::LANES])
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let x = if ALONG { block[row + r][unit] } else { block[unit][row + r] };
                for (sums, columns) in sums.iter_mut().zip(columns) {
                    *sums = vectors.multiply_add(x, columns, *sums);
                }
            }
        }
    }
    sums
}

/// Adds two vectors to a slice that may be shorter than they are.
#[inline(always)]
fn add<P: Precision, V: Vectors<P>>(vectors: V, sums: &[V::Sums; 2], out: &mut [f32]) {
    if out.len() == 2 * V::LANES {
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(V::LANES)) {
            vectors.store_added(*sums, out);
        }
        return;
    }
    let mut all = [0f32; PANEL];
    for (sums, to) in sums.iter().zip(all.chunks_exact_mut(V::LANES)) {
        vectors.store(*sums, to);
    }
    out.iter_mut().zip(all).for_each(|(out, sum)| *out += sum);
}

/// `[rows, columns]` → `[columns, rows]`
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    memory::build(rows * columns, BLOCK * rows, |i, out| {
        crate::simd::vectorized(|| turn(values, columns, i * BLOCK, rows, out));
    })
}

/// Some columns, from `first` on, as rows.
#[inline(always)]
fn turn(values: &[f32], columns: usize, first: usize, rows: usize, out: &mut [f32]) {
    let count = out.len() / rows;
    for row in (0..rows).step_by(BLOCK) {
        let height = BLOCK.min(rows - row);
        let mut block = [[0f32; BLOCK]; BLOCK];
        for (i, line) in block.iter_mut().enumerate().take(height) {
            let from = &values[(row + i) * columns + first..][..count];
            match from.first_chunk() {
                Some(from) => *line = *from,
                None => line[..count].copy_from_slice(from),
            }
        }
        transpose(&mut block);
        for (out, line) in out.chunks_exact_mut(rows).zip(&block) {
            let to = &mut out[row..][..height];
            match to.first_chunk_mut() {
                Some(to) => *to = *line,
                None => to.copy_from_slice(&line[..height]),
            }
        }
    }
}

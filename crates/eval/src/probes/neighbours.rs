//! Nearest neighbours by cosine similarity, exactly and in bounded memory.
//!
//! The bank is read in tiles that fit the cache. Products of a tile with a few queries stay in
//! registers. There they are compared with each query's k-th best so far, and almost all are
//! dropped.

use std::ops::Range;

use aligned_vec::{AVec, avec};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::features::check_dims;
use crate::{EvalError, Features};

/// The nearest vectors of a bank for each of some queries.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    indices: Vec<u32>,
    similarities: Vec<f32>,
    k: usize,
}

impl Neighbours {
    /// How many each query has: `k`, or all if there are fewer.
    pub fn k(&self) -> usize {
        self.k
    }

    /// Rows of the bank, `[queries, k]`, the nearest first.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// Cosine similarities, `[queries, k]`, in descending order.
    pub fn similarities(&self) -> &[f32] {
        &self.similarities
    }

    /// Indices and similarities of one query after the other.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &[f32])> {
        self.indices.chunks_exact(self.k).zip(self.similarities.chunks_exact(self.k))
    }
}

/// The `k` vectors of `bank` nearest to each of `queries` by cosine similarity.
///
/// The search is exact. Similarities are f32 sums over the dimensions in their order. So equal
/// vectors are equally near, at any place in the bank. Among equally near vectors, the first counts
/// as nearer. A vector of zeros has similarity 0 to all. The result does not depend on the number
/// of threads. Memory holds the normalised queries, at most `2 k + 64` candidates for each query,
/// and one tile of the bank. The tile has 8 MiB, or 48 vectors for each thread if that is more.
///
/// # Errors
/// `k` of 0, vectors of different lengths, an empty bank, or one of 2³² vectors and more.
pub fn nearest(bank: &Features, queries: &Features, k: usize) -> Result<Neighbours, EvalError> {
    check_dims(bank.dim(), queries.dim())?;
    search(Arch::new(), bank, queries, k, false)
}

/// As [`nearest`]: for each of `features`, the `k` nearest among the other vectors. Use it for the
/// neighbours of a set's own vectors, or for k-NN that leaves one out.
///
/// # Errors
/// As [`nearest`], and fewer than two vectors.
pub fn nearest_others(features: &Features, k: usize) -> Result<Neighbours, EvalError> {
    search(Arch::new(), features, features, k, true)
}

/// Vectors of the bank that are multiplied at once, in widths of a register.
const COLUMNS: usize = 3;
/// Floats of a tile of the bank. It stays in the shared cache while all queries pass.
const TILE: usize = 1 << 21;
/// A query gathers `2 k` candidates and so many more. Then all but the best are dropped.
const SPARE: usize = 64;
/// Queries that a thread takes at once: they stay in its own cache.
const QUERIES: usize = 64;

fn search(
    arch: Arch,
    bank: &Features,
    queries: &Features,
    k: usize,
    others: bool,
) -> Result<Neighbours, EvalError> {
    let (rows, dim) = (bank.rows(), bank.dim());
    let k = k.min(rows.saturating_sub(usize::from(others)));
    if k == 0 || u32::try_from(rows).is_err() {
        return Err(EvalError::Request(format!(
            "neighbours need k of at least 1 and from 1 (2 among each other) to 2^32 - 1 vectors, not {rows}"
        )));
    }
    let lanes = arch.dispatch(Lanes);
    let (width, group) = (COLUMNS * lanes, group(lanes));
    let threads = rayon::current_num_threads();
    let packed = pack(arch, queries, 0, queries.rows(), group);
    let mut lists: Vec<List> = (0..queries.rows()).map(|_| List::new(k)).collect();
    let per_task =
        queries.rows().div_ceil(4 * threads).next_multiple_of(group).clamp(group, QUERIES);
    let per_tile = (TILE / dim).max(threads * width).next_multiple_of(width);
    for first_row in (0..rows).step_by(per_tile) {
        let count = per_tile.min(rows - first_row);
        let panels = pack(arch, bank, first_row, count, width);
        let tasks = lists.par_chunks_mut(per_task).zip(packed.par_chunks(per_task * dim));
        tasks.enumerate().for_each(|(i, (lists, queries))| {
            let first_query = i * per_task;
            arch.dispatch(Scan {
                panels: &panels,
                rows: first_row..first_row + count,
                queries,
                dim,
                lists,
                own: others.then_some(first_query),
            });
        });
    }
    let mut out = Neighbours {
        indices: vec![0; queries.rows() * k],
        similarities: vec![0.0; queries.rows() * k],
        k,
    };
    let places = out.indices.par_chunks_mut(k).zip(out.similarities.par_chunks_mut(k));
    lists.into_par_iter().zip(places).for_each(|(list, (indices, similarities))| {
        let places = indices.iter_mut().zip(similarities);
        for (key, (index, similarity)) in list.sorted().into_iter().zip(places) {
            (*index, *similarity) = (row_of(key), similarity_of(key));
        }
    });
    Ok(out)
}

/// How many f32 a register holds.
struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;

    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// Queries that are multiplied at once: as many as leave registers for the sums.
const fn group(lanes: usize) -> usize {
    // Sixteen registers with AVX2, thirty-two elsewhere.
    if lanes == 8 { 4 } else { 8 }
}

/// Unit vectors in panels of `width` rows, `[panel][dim][row]`, zeros where the rows end.
fn pack(arch: Arch, features: &Features, first: usize, count: usize, width: usize) -> AVec<f32> {
    let dim = features.dim();
    let rows = &features.values()[first * dim..][..count * dim];
    let mut out = avec![0f32; count.div_ceil(width) * width * dim];
    out.par_chunks_mut(width * dim).zip(rows.par_chunks(width * dim)).for_each(|(panel, rows)| {
        arch.dispatch(Pack { rows, dim, width, panel });
    });
    out
}

struct Pack<'a> {
    rows: &'a [f32],
    dim: usize,
    width: usize,
    panel: &'a mut [f32],
}

impl WithSimd for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // Dimensions whose part of the panel fits into the first-level cache.
        const RUN: usize = 16;
        let Self { rows, dim, width, panel } = self;
        let scales: Vec<f64> = rows.chunks_exact(dim).map(inverse_norm).collect();
        for (i, panel) in panel.chunks_mut(RUN * width).enumerate() {
            for (r, (row, scale)) in rows.chunks_exact(dim).zip(&scales).enumerate() {
                let run = &row[i * RUN..dim.min((i + 1) * RUN)];
                for (value, to) in run.iter().zip(panel[r..].iter_mut().step_by(width)) {
                    *to = (f64::from(*value) * scale) as f32;
                }
            }
        }
    }
}

/// 1 over the length, 0 for zeros.
#[inline(always)]
fn inverse_norm(row: &[f32]) -> f64 {
    let mut sums = [0f64; 16];
    let (runs, rest) = row.as_chunks::<16>();
    for run in runs {
        sums.iter_mut().zip(run).for_each(|(s, v)| *s += f64::from(*v) * f64::from(*v));
    }
    sums.iter_mut().zip(rest).for_each(|(s, v)| *s += f64::from(*v) * f64::from(*v));
    let norm = sums.iter().sum::<f64>().sqrt();
    if norm > 0.0 { 1.0 / norm } else { 0.0 }
}

/// Some queries' candidates from one tile of the bank.
struct Scan<'a> {
    panels: &'a [f32],
    rows: Range<usize>,
    /// In groups, as [`pack`] makes them.
    queries: &'a [f32],
    dim: usize,
    lists: &'a mut [List],
    /// The first query's own row in the bank, which does not count as a neighbour, and so on.
    own: Option<usize>,
}

impl WithSimd for Scan<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match const { group(S::F32_LANES) } {
            4 => self.groups::<S, 4>(simd),
            _ => self.groups::<S, 8>(simd),
        }
    }
}

impl Scan<'_> {
    #[inline(always)]
    fn groups<S: Simd, const R: usize>(self, simd: S) {
        let Self { panels, rows, queries, dim, lists, own } = self;
        let width = COLUMNS * S::F32_LANES;
        for (panel, first) in panels.chunks_exact(width * dim).zip(rows.clone().step_by(width)) {
            for (i, group) in queries.chunks_exact(R * dim).enumerate() {
                let sums = products::<S, R>(simd, group, panel);
                // The last group may be short.
                for (r, list) in lists[i * R..].iter_mut().take(R).enumerate() {
                    let threshold = simd.splat_f32s(list.threshold);
                    let [a, b, c] = sums[r].map(|sum| simd.greater_than_f32s(sum, threshold));
                    let any = simd.or_m32s(simd.or_m32s(a, b), c);
                    if simd.first_true_m32s(any) == S::F32_LANES {
                        continue;
                    }
                    let own = own.map(|own| own + i * R + r);
                    for (c, (mask, sum)) in [a, b, c].into_iter().zip(sums[r]).enumerate() {
                        if simd.first_true_m32s(mask) < S::F32_LANES {
                            let values = bytemuck::cast_slice(std::slice::from_ref(&sum));
                            list.push_nearer(values, first + c * S::F32_LANES..rows.end, own);
                        }
                    }
                }
            }
        }
    }
}

/// `R` queries with a panel of the bank.
#[inline(always)]
fn products<S: Simd, const R: usize>(
    simd: S,
    queries: &[f32],
    panel: &[f32],
) -> [[S::f32s; COLUMNS]; R] {
    let mut sums = [[simd.splat_f32s(0.0); COLUMNS]; R];
    let columns = S::as_simd_f32s(panel).0.as_chunks::<COLUMNS>().0;
    for (values, columns) in queries.as_chunks::<R>().0.iter().zip(columns) {
        for (sums, value) in sums.iter_mut().zip(values) {
            let value = simd.splat_f32s(*value);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_e_f32s(value, *column, *sum);
            }
        }
    }
    sums
}

/// The best candidates of one query so far, unsorted, and later ones.
struct List {
    keys: Vec<u64>,
    k: usize,
    /// What a later candidate has to exceed to be among the best k.
    threshold: f32,
}

impl List {
    fn new(k: usize) -> Self {
        Self { keys: Vec::new(), k, threshold: f32::NEG_INFINITY }
    }

    /// Adds the candidates among some rows with these similarities. Rows come in ascending order.
    /// So a row that is only as near as the k-th best is not a candidate.
    #[inline(never)]
    fn push_nearer(&mut self, similarities: &[f32], rows: Range<usize>, own: Option<usize>) {
        for (similarity, row) in similarities.iter().zip(rows) {
            if *similarity > self.threshold && own != Some(row) {
                self.keys.push(key(*similarity, row as u32));
                if self.keys.len() == 2 * self.k + SPARE {
                    self.shrink();
                    self.threshold = similarity_of(self.keys[self.k - 1]);
                }
            }
        }
    }

    fn shrink(&mut self) {
        if self.keys.len() > self.k {
            self.keys.select_nth_unstable_by(self.k - 1, |a, b| b.cmp(a));
            self.keys.truncate(self.k);
        }
    }

    fn sorted(mut self) -> Vec<u64> {
        self.shrink();
        self.keys.sort_unstable_by(|a, b| b.cmp(a));
        self.keys
    }
}

/// A number that is larger for nearer rows: by similarity, then for earlier rows.
fn key(similarity: f32, row: u32) -> u64 {
    // A negative zero would be smaller than zero. So it is removed.
    let bits = (similarity + 0.0).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(!row)
}

fn row_of(key: u64) -> u32 {
    !(key as u32)
}

fn similarity_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small whole numbers, so that there are many ties, and zero vectors.
    fn features(rows: usize, dim: usize, seed: u32) -> Features {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) % 4) as f32 - 1.0
        };
        Features::new((0..rows * dim).map(|_| next()).collect(), rows, dim).unwrap()
    }

    /// All similarities, in the same order of summation, and a full sort.
    fn brute_force(
        arch: Arch,
        bank: &Features,
        query: &[f32],
        k: usize,
        own: Option<usize>,
    ) -> Vec<(u32, f32)> {
        let unit = |row: &[f32]| -> Vec<f32> {
            let scale = inverse_norm(row);
            row.iter().map(|v| (f64::from(*v) * scale) as f32).collect()
        };
        let query = unit(query);
        let add = |s: f32, a: f32, b: f32| match arch {
            Arch::Scalar => a * b + s,
            _ => a.mul_add(b, s),
        };
        let mut all: Vec<(u32, f32)> = bank
            .iter()
            .map(|row| unit(row).iter().zip(&query).fold(0.0, |s, (a, b)| add(s, *a, *b)) + 0.0)
            .enumerate()
            .map(|(i, s)| (i as u32, s))
            .filter(|(i, _)| Some(*i as usize) != own)
            .collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.truncate(k);
        all
    }

    /// The instructions of this processor, and those of every processor.
    fn arches() -> Vec<Arch> {
        let mut arches = vec![Arch::new(), Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        arches.extend(pulp::x86::V3::try_new().map(Arch::V3));
        arches
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn nearest_is_the_brute_force_to_the_last_bit(
            rows in 2usize..400,
            queries in 1usize..90,
            dim in 1usize..40,
            k in 1usize..450,
            others: bool,
            seed: u32,
        ) {
            let bank = features(rows, dim, seed);
            let queries = if others { bank.clone() } else { features(queries, dim, !seed) };
            for arch in arches() {
                let found = search(arch, &bank, &queries, k, others).unwrap();
                prop_assert_eq!(found.k(), k.min(rows - usize::from(others)));
                prop_assert_eq!(found.iter().len(), queries.rows());
                for (i, (query, (indices, similarities))) in queries.iter().zip(found.iter()).enumerate() {
                    let expected = brute_force(arch, &bank, query, k, others.then_some(i));
                    let found = indices.iter().copied().zip(similarities.iter().copied());
                    prop_assert_eq!(found.collect::<Vec<_>>(), expected);
                }
            }
        }
    }

    /// 4096 dimensions make a tile of 512 vectors.
    #[test]
    fn a_bank_of_several_tiles_is_searched_alike_by_any_number_of_threads() {
        let bank = features(1100, 4096, 5);
        let queries = features(70, 4096, 6);
        assert!(bank.rows() > 2 * TILE / bank.dim());
        let found = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| nearest(&bank, &queries, 600).unwrap())
        });
        assert_eq!(found[0], found[1]);
        for i in [0, 33, 69] {
            let query = queries.iter().nth(i).unwrap();
            let expected = brute_force(Arch::new(), &bank, query, 600, None);
            let (indices, similarities) = found[0].iter().nth(i).unwrap();
            let found: Vec<_> = indices.iter().copied().zip(similarities.iter().copied()).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn equal_vectors_are_equally_near_and_a_zero_vector_to_none() {
        let bank =
            Features::new(vec![0.0, 0.0, 3.0, 4.0, -0.3, 0.4, -1.0, 0.0, 6.0, 8.0], 5, 2).unwrap();
        let query = Features::new(vec![1.0, 1.0, 0.0, 0.0], 2, 2).unwrap();
        let found = nearest(&bank, &query, 9).unwrap();
        assert_eq!(found.indices()[0], 1);
        assert_eq!(found.indices()[5..], [0, 1, 2, 3, 4]);
        assert_eq!(found.similarities()[5..], [0.0; 5]);
        let others = nearest_others(&bank, 1).unwrap();
        assert_eq!((others.indices()[1], others.indices()[4]), (4, 1));
    }

    #[test]
    fn memory_grows_with_neither_the_bank_nor_with_bank_times_queries() {
        // Everything runs in this thread, since its allocations are counted.
        let pool =
            rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().unwrap();
        let queries = features(300, 64, 1);
        let peak = |rows: usize| {
            let bank = features(rows, 64, 2);
            let search = || drop(pool.install(|| nearest(&bank, &queries, 20).unwrap()));
            allocation_counter::measure(search).bytes_max
        };
        // A tile has 32768 vectors; similarities of all would be 39 and 118 MB.
        let (one, three) = (peak(33_000), peak(99_000));
        assert!(three <= one + 100_000, "{one} and {three} bytes");
        assert!(one < 10_000_000, "{one} bytes");
    }

    #[test]
    fn bad_requests_are_errors() {
        let bank = features(3, 2, 1);
        assert!(nearest(&bank, &bank, 0).is_err());
        assert!(nearest(&bank, &features(3, 3, 1), 1).is_err());
        assert!(nearest(&Features::new(vec![], 0, 2).unwrap(), &bank, 1).is_err());
        assert!(nearest_others(&features(1, 2, 1), 1).is_err());
        let none = nearest(&bank, &Features::new(vec![], 0, 2).unwrap(), 1).unwrap();
        assert_eq!(none.iter().len(), 0);
    }
}

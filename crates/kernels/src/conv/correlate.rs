//! Sums of products over framed images: the forward pass and the gradient for the input.
//!
//! The innermost tile holds 16 vectors of sums in registers: some positions, times one or two
//! vectors of output channels. Each step loads the weights of one input unit, and multiplies them
//! with that unit of every position.

use std::ops::Range;

use rayon::prelude::*;

use super::frame::Frame;
use super::source::{Source, Staged};
use crate::arithmetic::{BLOCK, Precision, Vectors, Work, lanes};
use crate::scratch::Scratch;

/// Output channels of a block of packed weights.
pub fn block_width<P: Precision>(channels_out: usize) -> usize {
    match lanes::<P>() {
        // With two vectors, the second would be empty.
        16 if channels_out <= 16 => 16,
        lanes => 2 * lanes,
    }
}

/// The taps (positions in the kernel), and the weights of each tap.
#[derive(Debug)]
pub struct Kernel<P: Precision> {
    /// For each tap, the offset of the unit that it reads from the output's position in the frame.
    taps: Vec<usize>,
    /// `[channels_out / width][block of units][tap][unit in block][width]`
    weights: Scratch<P::Unit>,
    channels_out: usize,
    /// Units of all input channels.
    units: usize,
    width: usize,
}

impl<P: Precision> Kernel<P> {
    /// Packs the weights for taps that read at `taps`.
    pub fn pack(
        taps: Vec<usize>,
        channels_in: usize,
        channels_out: usize,
        source: &Source,
    ) -> Self {
        let width = block_width::<P>(channels_out);
        let units = channels_in.div_ceil(P::CHANNELS);
        let per_block = units * taps.len() * width;
        let mut weights = Scratch::new(channels_out.div_ceil(width) * per_block);
        weights.par_chunks_exact_mut(per_block.max(1)).enumerate().for_each(|(b, packed)| {
            let outs = b * width..channels_out.min((b + 1) * width);
            P::run(Pack { source, outs, channels_in, width, packed });
        });
        Self { taps, weights, channels_out, units, width }
    }

    /// Floats that one block of output channels takes.
    fn per_block(&self) -> usize {
        self.units * self.taps.len() * self.width
    }
}

/// Packs one block of output channels.
struct Pack<'a, P: Precision> {
    source: &'a Source<'a>,
    outs: Range<usize>,
    channels_in: usize,
    width: usize,
    packed: &'a mut [P::Unit],
}

impl<P: Precision> Work<P> for Pack<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        let Self { source, outs, channels_in, width, packed } = self;
        let channels = BLOCK * P::CHANNELS;
        let mut staged = Staged::default();
        let chunks = packed.chunks_mut(BLOCK * source.taps.len() * width);
        for (first, packed) in (0..channels_in).step_by(channels).zip(chunks) {
            let ins = first..channels_in.min(first + channels);
            let units = ins.len().div_ceil(P::CHANNELS);
            for o in outs.clone().step_by(BLOCK) {
                let lines = o..outs.end.min(o + BLOCK);
                let count = lines.len();
                source.stage(lines, ins.clone(), &mut staged);
                for unit in 0..units {
                    for (t, tap) in source.taps.iter().enumerate() {
                        let to = &mut packed[(t * units + unit) * width + o - outs.start..];
                        let to = &mut to[..BLOCK.min(width)];
                        let mut lines = [[0f32; BLOCK]; 2];
                        let channels = unit * P::CHANNELS..ins.len().min((unit + 1) * P::CHANNELS);
                        for (channel, line) in channels.zip(&mut lines) {
                            staged.line(channel, *tap, &mut line[..count]);
                        }
                        vectors.pack_pairs(&lines[0], &lines[1], to);
                    }
                }
            }
        }
    }
}

/// Where the outputs of an image lie in memory, in floats.
#[derive(Debug, Clone, Copy)]
pub struct Outputs {
    pub rows: usize,
    pub columns: usize,
    /// The first one.
    pub start: usize,
    /// From row to row and from column to column.
    pub row: usize,
    pub column: usize,
    /// From image to image.
    pub image: usize,
}

/// `out[i, j, o] = Σ_tap Σ_c frame[position(i, j) + tap, c] · weight[o, c, tap]` for every framed
/// image and every output.
pub struct Correlate<'a, P: Precision> {
    pub kernel: &'a Kernel<P>,
    pub frame: &'a Frame,
    /// Frames of some images, one behind the other.
    pub frames: &'a [P::Unit],
    pub outputs: Outputs,
    pub out: &'a mut [f32],
}

impl<P: Precision> Work<P> for Correlate<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        let columns = self.outputs.columns;
        // The columns of a tile are chosen so that few positions lie beyond the row's end.
        if self.kernel.width == 2 * V::LANES && V::LANES < 16 {
            self.tiles::<V, 1, 4, 2>(vectors);
        } else if self.kernel.width == 2 * V::LANES {
            match columns {
                _ if columns <= 4 => self.tiles::<V, 2, 4, 2>(vectors),
                _ if columns.is_multiple_of(7) => self.tiles::<V, 1, 7, 2>(vectors),
                _ => self.tiles::<V, 1, 8, 2>(vectors),
            }
        } else {
            match columns {
                _ if columns <= 4 => self.tiles::<V, 4, 4, 1>(vectors),
                _ if columns.is_multiple_of(7) => self.tiles::<V, 2, 7, 1>(vectors),
                _ => self.tiles::<V, 2, 8, 1>(vectors),
            }
        }
    }
}

impl<P: Precision> Correlate<'_, P> {
    /// All outputs, in tiles of `R` rows and `C` columns of positions and `O` vectors of channels.
    #[inline(always)]
    fn tiles<V: Vectors<P>, const R: usize, const C: usize, const O: usize>(self, vectors: V) {
        let Self { kernel, frame, frames, outputs, out } = self;
        let per_frame = frame.len(P::CHANNELS);
        let width = kernel.width;
        if kernel.taps.is_empty() {
            return;
        }
        // As many weights as the first-level cache holds. For a 3×3 kernel this is one block.
        let chunk = BLOCK * (9 / kernel.taps.len()).max(1);
        let blocks = kernel.weights.chunks_exact(kernel.per_block());
        for (first_out, weights) in (0..kernel.channels_out).step_by(width).zip(blocks) {
            let used = width.min(kernel.channels_out - first_out);
            for first_unit in (0..kernel.units).step_by(chunk) {
                let units = first_unit..kernel.units.min(first_unit + chunk);
                let weights = &weights[units.start * kernel.taps.len() * width..]
                    [..units.len() * kernel.taps.len() * width];
                let images = frames.chunks_exact(per_frame).zip(out.chunks_mut(outputs.image));
                for (frame_values, out) in images {
                    for i in (0..outputs.rows).step_by(R) {
                        for j in (0..outputs.columns).step_by(C) {
                            let at =
                                first_unit / BLOCK * frame.block() + i * frame.row() + j * BLOCK;
                            let sums = tile::<P, V, R, C, O>(
                                vectors,
                                &frame_values[at..],
                                (frame.block(), frame.row()),
                                &kernel.taps,
                                units.len(),
                                weights,
                            );
                            for (r, sums) in sums.iter().enumerate().take(outputs.rows - i) {
                                for (c, sums) in sums.iter().enumerate().take(outputs.columns - j) {
                                    let at = outputs.start
                                        + (i + r) * outputs.row
                                        + (j + c) * outputs.column
                                        + first_out;
                                    put(vectors, sums, &mut out[at..][..used], first_unit > 0);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The sums of one tile, `R` rows of `C` positions, over `units` input units. Blocks of units are
/// `block` apart, rows of positions are `row` apart.
#[inline(always)]
pub fn tile<P: Precision, V: Vectors<P>, const R: usize, const C: usize, const O: usize>(
    vectors: V,
    values: &[P::Unit],
    (block, row): (usize, usize),
    taps: &[usize],
    units: usize,
    mut weights: &[P::Unit],
) -> [[[V::Sums; O]; C]; R] {
    let mut sums = [[[vectors.zero(); O]; C]; R];
    for (b, first) in (0..units).step_by(BLOCK).enumerate() {
        let count = BLOCK.min(units - first);
        for tap in taps {
            let start = b * block + tap;
            let rows: [&[[P::Unit; BLOCK]; C]; R] = std::array::from_fn(|r| {
                let positions = &values[start + r * row..][..C * BLOCK];
                positions
                    .as_chunks()
                    .0
                    .first_chunk()
                    .expect("as many positions as the slice is long")
            });
            let (here, rest) = weights.split_at(count * O * V::LANES);
            weights = rest;
            for (c, w) in here.chunks_exact(O * V::LANES).enumerate() {
                let w: [V::Units; O] =
                    std::array::from_fn(|o| vectors.load(&w[o * V::LANES..][..V::LANES]));
                for (sums, row) in sums.iter_mut().zip(rows) {
                    for (sums, position) in sums.iter_mut().zip(row) {
                        let x = position[c % BLOCK];
                        for (sums, w) in sums.iter_mut().zip(w) {
                            *sums = vectors.multiply_add(x, w, *sums);
                        }
                    }
                }
            }
        }
    }
    sums
}

/// Writes or adds the sums of one position. `out` may be shorter than the vectors.
#[inline(always)]
pub fn put<P: Precision, V: Vectors<P>, const O: usize>(
    vectors: V,
    sums: &[V::Sums; O],
    out: &mut [f32],
    add: bool,
) {
    if out.len() == O * V::LANES {
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(V::LANES)) {
            if add { vectors.store_added(*sums, out) } else { vectors.store(*sums, out) }
        }
        return;
    }
    let mut all = [0f32; 32];
    for (sums, to) in sums.iter().zip(all.chunks_exact_mut(V::LANES)) {
        vectors.store(*sums, to);
    }
    for (out, sum) in out.iter_mut().zip(all) {
        *out = if add { *out + sum } else { sum };
    }
}

//! The gradient for the weight: the inputs of a tap times the output's gradient, summed over
//! positions.

use crate::arithmetic::{BLOCK, Precision, Vectors, Work};
use crate::simd::Ahead;

/// The places of the inputs.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    pub channels: usize,
    /// Units from one block of channels to the next, from row to row, and from image to image.
    pub block: usize,
    pub row: usize,
    pub image: usize,
}

/// Positions that are summed in registers.
const POSITIONS: usize = 128;

/// Adds to `dw[block of channels_in][tap][channel_in][width]` `Σ frame[position + tap, channel_in]
/// · dy[position, 0..width]` over the positions of some images.
pub struct WeightGradient<'a, P: Precision> {
    /// Frames of the inputs, filled by position.
    pub frames: &'a [P::Unit],
    pub layout: Layout,
    pub taps: &'a [usize],
    /// `[image][row][step][width]`. A step has one position for each value of a unit.
    pub dy: &'a [P::Unit],
    /// Rows of an image.
    pub rows: usize,
    pub steps: usize,
    pub width: usize,
    /// `[channels_in rounded up to blocks][taps]` rows of `width`.
    pub dw: &'a mut [f32],
    /// The memory that the next run will read.
    pub ahead: [Ahead<'a>; 2],
}

impl<P: Precision> Work<P> for WeightGradient<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) {
        // 16 sums if there are enough channels. Colour images have 3.
        match (self.width / V::LANES, self.layout.channels) {
            (1, ..=4) => self.tiles::<V, 4, 1>(vectors),
            (1, ..=8) => self.tiles::<V, 8, 1>(vectors),
            (1, _) => self.tiles::<V, 16, 1>(vectors),
            (_, ..=4) => self.tiles::<V, 4, 2>(vectors),
            _ if V::LANES < 16 => self.tiles::<V, 4, 2>(vectors),
            _ => self.tiles::<V, 8, 2>(vectors),
        }
    }
}

impl<P: Precision> WeightGradient<'_, P> {
    /// In tiles of `I` input channels and `O` vectors of output channels.
    #[inline(always)]
    fn tiles<V: Vectors<P>, const I: usize, const O: usize>(self, vectors: V) {
        let Self { frames, layout, taps, dy, rows, steps, width, dw, mut ahead } = self;
        let dy_image = rows * steps * width;
        // In bands of rows: the rows that one tap reads are still in the cache for the next tap.
        let band = (POSITIONS * P::CHANNELS).div_ceil(steps * P::CHANNELS).min(rows);
        let tiles = dw.len() / (BLOCK * width) * BLOCK.min(layout.channels).div_ceil(I);
        ahead.iter_mut().for_each(|ahead| ahead.pace(tiles * rows.div_ceil(band)));
        for first_row in (0..rows).step_by(band) {
            let rows = first_row..rows.min(first_row + band);
            let blocks = dw.chunks_exact_mut(taps.len() * BLOCK * width);
            for (block, dw) in blocks.enumerate() {
                let channels = BLOCK.min(layout.channels - block * BLOCK);
                for (tap, dw) in taps.iter().zip(dw.chunks_exact_mut(BLOCK * width)) {
                    for first in (0..channels).step_by(I) {
                        let mut sums = [[vectors.zero(); O]; I];
                        let images = frames.chunks_exact(layout.image);
                        for (frame_values, dy) in images.zip(dy.chunks_exact(dy_image)) {
                            let dy = &dy[rows.start * steps * width..rows.end * steps * width];
                            for (i, dy) in rows.clone().zip(dy.chunks_exact(steps * width)) {
                                let start = block * layout.block + tap + i * layout.row;
                                let x = &frame_values[start..][..steps * P::CHANNELS * BLOCK];
                                let x = x.as_chunks::<BLOCK>().0.iter().step_by(P::CHANNELS);
                                for (x, dy) in x.zip(dy.chunks_exact(O * V::LANES)) {
                                    sums = step::<P, V, I, O>(vectors, x, first, dy, sums);
                                }
                            }
                        }
                        // Constant bounds keep the sums in registers until here.
                        for i in 0..I {
                            let line = &mut dw[(first + i) * width..][..O * V::LANES];
                            for o in 0..O {
                                let to = &mut line[o * V::LANES..][..V::LANES];
                                vectors.store_added(sums[i][o], to);
                            }
                        }
                        ahead.iter_mut().for_each(Ahead::fetch);
                    }
                }
            }
        }
    }
}

/// One more position. The sums go in and out by value: by reference, they would be written to
/// memory at every step.
#[inline(always)]
fn step<P: Precision, V: Vectors<P>, const I: usize, const O: usize>(
    vectors: V,
    x: &[P::Unit; BLOCK],
    first: usize,
    dy: &[P::Unit],
    mut sums: [[V::Sums; O]; I],
) -> [[V::Sums; O]; I] {
    let dy: [V::Units; O] = std::array::from_fn(|o| vectors.load(&dy[o * V::LANES..][..V::LANES]));
    let x: &[P::Unit; I] = x.as_chunks().0.get(first / I).expect("I divides the block");
    for (sums, x) in sums.iter_mut().zip(x) {
        for (sums, dy) in sums.iter_mut().zip(dy) {
            *sums = vectors.multiply_add(*x, dy, *sums);
        }
    }
    sums
}

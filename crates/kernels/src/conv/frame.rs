//! Images copied into frames of zeros, in the order in which the kernels read them.
//!
//! A frame holds an image in blocks of [`BLOCK`] units, a unit being what one multiplication takes:
//! one f32 channel or two bf16 channels. Within a block the positions follow each other row by row, so that
//! the neighbours of a position lie at offsets that are the same everywhere. For a stride `s` the
//! positions are dealt out to `s · s` phases, by row and column modulo `s`; in a phase, the inputs of
//! neighbouring outputs are neighbours again.

use super::precision::{BLOCK, Precision, Vectors};

/// The layout of one framed image.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Channels that are framed.
    pub channels: usize,
    /// Of the image.
    pub height: usize,
    pub width: usize,
    /// Zeros above and on the left.
    pub top: usize,
    pub left: usize,
    /// Stride.
    pub stride: usize,
    /// Phases in each direction: no more than the stride, fewer where the kernel skips some.
    pub phases: usize,
    /// Rows and columns of a phase.
    pub rows: usize,
    pub columns: usize,
}

impl Frame {
    /// Units from one phase to the next.
    pub fn phase(&self) -> usize {
        self.rows * self.row()
    }

    /// Units from one row to the next.
    pub fn row(&self) -> usize {
        self.columns * BLOCK
    }

    /// Units from one block of channels to the next.
    pub fn block(&self) -> usize {
        self.phases * self.phases * self.phase()
    }

    /// Where the padded position (row, column) of the first block lies.
    pub fn offset(&self, row: usize, column: usize) -> usize {
        let phase = row % self.stride * self.phases + column % self.stride;
        phase * self.phase() + row / self.stride * self.row() + column / self.stride * BLOCK
    }

    /// Units of a frame with channels in units of `per_unit`, and as much behind it as a tile of
    /// `TILE` positions may touch.
    pub fn len(&self, per_unit: usize) -> usize {
        const TILE: usize = 16;
        let blocks = self.channels.div_ceil(per_unit * BLOCK);
        blocks * self.block() + 4 * self.row() + TILE * BLOCK
    }

    /// Where row `y` of the image goes, unless no output sees it.
    fn row_of(&self, y: usize) -> Option<usize> {
        let row = y + self.top;
        let seen = row % self.stride < self.phases && row / self.stride < self.rows;
        seen.then(|| self.offset(row, 0))
    }

    /// Columns of the image that some output sees, each with where it goes in its row.
    fn columns_seen(&self) -> Vec<(usize, usize)> {
        let seen = |column: usize| {
            column % self.stride < self.phases && column / self.stride < self.columns
        };
        let columns = (0..self.width).filter(|x| seen(x + self.left));
        columns.map(|x| (x, self.offset(0, x + self.left))).collect()
    }

    /// Frames an image `[height, width, pitch]` from its channel `first` on, channels paired where a
    /// unit holds two. What is not written must be zero already.
    #[inline(always)]
    pub fn fill_channels<P: Precision, V: Vectors<P>>(
        &self,
        vectors: V,
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        self.fill(image, pitch, first, BLOCK * P::CHANNELS, |at, pixel| {
            vectors.pack_channels(pixel, &mut frame[at..][..BLOCK]);
        });
    }

    /// As [`fill_channels`](Self::fill_channels), but a unit holds one channel, where it can hold
    /// two values that of this position and of the next in the frame.
    #[inline(always)]
    pub fn fill_positions<P: Precision, V: Vectors<P>>(
        &self,
        vectors: V,
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        self.fill(image, pitch, first, BLOCK, |at, pixel| {
            vectors.pack_first(pixel, &mut frame[at..][..BLOCK]);
            // The first position of all is nobody's second; what lands in another row's last
            // unit or in another phase's is multiplied with no output.
            if P::CHANNELS == 2 && at >= BLOCK {
                vectors.pack_second(pixel, &mut frame[at - BLOCK..][..BLOCK]);
            }
        });
    }

    /// Calls `put(place in the frame, channels of a block)` for every block of every pixel seen.
    #[inline(always)]
    fn fill(
        &self,
        image: &[f32],
        pitch: usize,
        first: usize,
        per_block: usize,
        mut put: impl FnMut(usize, &[f32]),
    ) {
        let (columns, block) = (self.columns_seen(), self.block());
        for (y, row) in image.chunks_exact(self.width * pitch).enumerate().take(self.height) {
            let Some(start) = self.row_of(y) else { continue };
            // Pixel by pixel, so that the image is read in one go.
            for (x, at) in &columns {
                let pixel = &row[x * pitch + first..][..self.channels];
                for (b, channels) in pixel.chunks(per_block).enumerate() {
                    put(start + at + b * block, channels);
                }
            }
        }
    }
}

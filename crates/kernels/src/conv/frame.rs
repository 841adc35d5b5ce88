//! Images copied into frames of zeros, in the order in which the kernels read them.
//!
//! A frame holds an image in blocks of [`BLOCK`] units, a unit being what one multiplication takes:
//! one f32 channel or two bf16 channels. Within a block the positions follow each other row by row, so that
//! the neighbours of a position lie at offsets that are the same everywhere. For a stride `s` the
//! positions are dealt out to `s · s` phases, by row and column modulo `s`; in a phase, the inputs of
//! neighbouring outputs are neighbours again.

use super::precision::{BLOCK, Precision};

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

    /// Where pixel (y, x) goes, unless no output sees it.
    fn place(&self, y: usize, x: usize) -> Option<usize> {
        let (row, column) = (y + self.top, x + self.left);
        let seen = row % self.stride < self.phases
            && column % self.stride < self.phases
            && row / self.stride < self.rows
            && column / self.stride < self.columns;
        seen.then(|| self.offset(row, column))
    }

    /// Frames an image `[height, width, pitch]` from its channel `first` on, channels paired where a
    /// unit holds two. What is not written must be zero already.
    #[inline(always)]
    pub fn fill_channels<P: Precision>(
        &self,
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        let per_block = BLOCK * P::CHANNELS;
        for y in 0..self.height {
            let row = &image[y * self.width * pitch..][..self.width * pitch];
            for (b, start) in (0..self.channels).step_by(per_block).enumerate() {
                let channels = first + start..first + self.channels.min(start + per_block);
                for (x, pixel) in row.chunks_exact(pitch).enumerate() {
                    if let Some(at) = self.place(y, x) {
                        let to = &mut frame[b * self.block() + at..][..BLOCK];
                        P::pack_channels(&pixel[channels.clone()], to);
                    }
                }
            }
        }
    }

    /// As [`fill_channels`](Self::fill_channels), but a unit holds one channel, where it can hold
    /// two values that of this position and of the next in the frame.
    #[inline(always)]
    pub fn fill_positions<P: Precision>(
        &self,
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        for y in 0..self.height {
            let row = &image[y * self.width * pitch..][..self.width * pitch];
            for (b, start) in (0..self.channels).step_by(BLOCK).enumerate() {
                let channels = first + start..first + self.channels.min(start + BLOCK);
                for (x, pixel) in row.chunks_exact(pitch).enumerate() {
                    if let Some(at) = self.place(y, x) {
                        let pixel = &pixel[channels.clone()];
                        let at = b * self.block() + at;
                        if P::CHANNELS == 2 && (x + self.left) / self.stride > 0 {
                            P::pack_second(pixel, &mut frame[at - BLOCK..][..BLOCK]);
                        }
                        P::pack_first(pixel, &mut frame[at..][..BLOCK]);
                    }
                }
            }
        }
    }
}

//! Copies images into frames of zeros, in the order of the kernels.
//!
//! A frame holds an image in blocks of [`BLOCK`] units. A unit is the input of one multiplication:
//! one f32 channel or two bf16 channels. Within a block, positions follow each other row by row. So
//! the neighbours of a position have the same offsets everywhere. For a stride `s` the positions
//! are divided into `s · s` phases, by row and column modulo `s`. In a phase, the inputs of
//! neighbouring outputs are neighbours again.

use crate::arithmetic::{BLOCK, Precision, Vectors};

/// The layout of one framed image.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    /// Channels that are framed.
    pub channels: usize,
    /// Rows and columns of the image.
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

    /// Units of a frame. A unit holds `per_unit` channels. The units behind the frame that a tile
    /// of `TILE` positions may touch are included.
    pub fn len(&self, per_unit: usize) -> usize {
        const TILE: usize = 16;
        let blocks = self.channels.div_ceil(per_unit * BLOCK);
        blocks * self.block() + 4 * self.row() + TILE * BLOCK
    }

    /// The columns of the image that some output sees, each with its place in the frame's row.
    pub fn columns_seen(&self) -> Vec<(usize, usize)> {
        let seen = |column: usize| {
            column % self.stride < self.phases && column / self.stride < self.columns
        };
        let columns = (0..self.width).filter(|x| seen(x + self.left));
        columns.map(|x| (x, self.offset(0, x + self.left))).collect()
    }

    /// The rows of the image that some output sees, each with its place in the frame.
    fn rows_seen<'a>(
        &'a self,
        image: &'a [f32],
        pitch: usize,
    ) -> impl Iterator<Item = (&'a [f32], usize)> {
        let rows = image.chunks_exact(self.width * pitch).take(self.height).enumerate();
        rows.filter_map(|(y, values)| {
            let row = y + self.top;
            let seen = row % self.stride < self.phases && row / self.stride < self.rows;
            seen.then(|| (values, self.offset(row, 0)))
        })
    }

    /// Frames an image `[height, width, pitch]`, starting at channel `first`. Channels are paired
    /// if a unit holds two. Places that are not written must be zero already.
    ///
    /// `columns` are [`columns_seen`](Self::columns_seen).
    #[inline(always)]
    pub fn fill_channels<P: Precision, V: Vectors<P>>(
        &self,
        vectors: V,
        columns: &[(usize, usize)],
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        let per_block = BLOCK * P::CHANNELS;
        for (row, start) in self.rows_seen(image, pitch) {
            for (b, c) in (0..self.channels).step_by(per_block).enumerate() {
                let count = per_block.min(self.channels - c);
                let (from, to) = (&row[first + c..], &mut frame[start + b * self.block()..]);
                for (x, at) in columns {
                    vectors.pack_channels(&from[x * pitch..][..count], &mut to[*at..][..BLOCK]);
                }
            }
        }
    }

    /// As [`fill_channels`](Self::fill_channels), but a unit holds one channel. A unit of two
    /// values holds the channel at this position and at the next position of the frame.
    #[inline(always)]
    pub fn fill_positions<P: Precision, V: Vectors<P>>(
        &self,
        vectors: V,
        columns: &[(usize, usize)],
        image: &[f32],
        pitch: usize,
        first: usize,
        frame: &mut [P::Unit],
    ) {
        if P::CHANNELS == 1 {
            return self.fill_channels(vectors, columns, image, pitch, first, frame);
        }
        let (s, last) = (self.stride, columns.last().map_or(0, |(x, _)| *x));
        for (row, start) in self.rows_seen(image, pitch) {
            for (b, c) in (0..self.channels).step_by(BLOCK).enumerate() {
                let count = BLOCK.min(self.channels - c);
                let (from, to) = (&row[first + c..], &mut frame[start + b * self.block()..]);
                for (x, at) in columns {
                    let here = &from[x * pitch..][..count];
                    // Neighbours in the frame are a stride apart in the image.
                    let next = if x + s > last { &[] } else { &from[(x + s) * pitch..][..count] };
                    vectors.pack_pairs(here, next, &mut to[*at..][..BLOCK]);
                    // The first column is the second value of the padding before it.
                    if *x < s && x + self.left >= s {
                        vectors.pack_pairs(&[0.0; BLOCK], here, &mut to[at - BLOCK..][..BLOCK]);
                    }
                }
            }
        }
    }
}

//! Pooling on slices of `[batch, positions, channels]`.

use std::ops::Range;

use crate::memory;
use crate::ops::Pool;
use crate::simd::vectorized;

/// The mean over positions: `[batch, channels]`.
pub fn mean(x: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let share = 1.0 / positions as f32;
    memory::build(x.len() / positions, channels, |n, y| {
        let x = &x[n * positions * channels..][..positions * channels];
        vectorized(|| {
            for x in x.chunks_exact(channels) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
            }
            y.iter_mut().for_each(|y| *y *= share);
        });
    })
}

/// The gradient of [`mean`]: `[batch, positions, channels]`.
pub fn mean_gradient(dy: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let share = 1.0 / positions as f32;
    memory::build(dy.len() * positions, positions * channels, |n, dx| {
        let dy = &dy[n * channels..][..channels];
        vectorized(|| {
            for dx in dx.chunks_exact_mut(channels) {
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * share);
            }
        });
    })
}

/// The sizes of a pooling of windows.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pool: Pool,
}

impl Windows {
    pub fn height_out(&self) -> usize {
        self.pool.outputs(self.height)
    }

    pub fn width_out(&self) -> usize {
        self.pool.outputs(self.width)
    }

    /// Elements of an input image and of an output image.
    fn sizes(&self) -> (usize, usize) {
        let input = self.height * self.width * self.channels;
        (input, self.height_out() * self.width_out() * self.channels)
    }

    /// The start of each position of an image that output (i, j) sees.
    #[inline(always)]
    fn seen(&self, i: usize, j: usize) -> impl Iterator<Item = usize> {
        let Self { height, width, channels, pool, .. } = *self;
        let columns = pool.seen(j, width);
        pool.seen(i, height)
            .flat_map(move |y| columns.clone().map(move |x| (y * width + x) * channels))
    }
}

impl Pool {
    /// Outputs along a side of so many inputs.
    pub fn outputs(&self, side: usize) -> usize {
        (side + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Inputs of output `i` along a side.
    #[inline(always)]
    fn seen(&self, i: usize, side: usize) -> Range<usize> {
        let first = (i * self.stride).saturating_sub(self.padding);
        first..side.min((i * self.stride + self.kernel).saturating_sub(self.padding))
    }
}

/// Whether `x` replaces the largest value so far. NaN does, and then stays.
#[inline(always)]
fn beats(x: f32, largest: f32) -> bool {
    x > largest || x.is_nan()
}

/// The largest value of each window: `[batch, height_out, width_out, channels]`.
pub fn max(x: &[f32], w: &Windows) -> Vec<f32> {
    let (input, output) = w.sizes();
    memory::build(w.batch * output, output, |n, y| {
        let x = &x[n * input..][..input];
        vectorized(|| {
            for (at, y) in y.chunks_exact_mut(w.channels).enumerate() {
                y.fill(f32::NEG_INFINITY);
                for start in w.seen(at / w.width_out(), at % w.width_out()) {
                    for (y, x) in y.iter_mut().zip(&x[start..][..w.channels]) {
                        *y = if beats(*x, *y) { *x } else { *y };
                    }
                }
            }
        });
    })
}

/// The gradient of [`max`]. In each window it goes to the first of the largest values, as in
/// PyTorch. The position of this value is computed again. This is faster than reading it.
pub fn max_gradient(x: &[f32], dy: &[f32], w: &Windows) -> Vec<f32> {
    let (input, output) = w.sizes();
    memory::build(w.batch * input, input, |n, dx| {
        let (x, dy) = (&x[n * input..][..input], &dy[n * output..][..output]);
        let (mut largest, mut which) = (vec![0f32; w.channels], vec![0u32; w.channels]);
        vectorized(|| {
            for (at, dy) in dy.chunks_exact(w.channels).enumerate() {
                let seen = || (0u32..).zip(w.seen(at / w.width_out(), at % w.width_out()));
                largest.fill(f32::NEG_INFINITY);
                which.fill(0);
                for (place, start) in seen() {
                    let values = largest.iter_mut().zip(&mut which).zip(&x[start..][..w.channels]);
                    for ((largest, which), x) in values {
                        let beats = beats(*x, *largest);
                        *largest = if beats { *x } else { *largest };
                        *which = if beats { place } else { *which };
                    }
                }
                for (place, start) in seen() {
                    let values = dx[start..][..w.channels].iter_mut().zip(&which).zip(dy);
                    for ((dx, which), dy) in values {
                        *dx += if *which == place { *dy } else { 0.0 };
                    }
                }
            }
        });
    })
}

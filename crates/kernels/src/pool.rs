//! Pooling on slices of `[batch, positions, channels]`.

use crate::memory;
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

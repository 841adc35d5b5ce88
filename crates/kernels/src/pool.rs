//! Pooling on slices of `[batch, positions, channels]`.

use rayon::prelude::*;

use crate::simd::vectorized;

/// The mean over positions: `[batch, channels]`.
pub fn mean(x: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let mut y = vec![0f32; x.len() / positions];
    let share = 1.0 / positions as f32;
    y.par_chunks_mut(channels).zip(x.par_chunks(positions * channels)).for_each(|(y, x)| {
        vectorized(|| {
            for x in x.chunks_exact(channels) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
            }
            y.iter_mut().for_each(|y| *y *= share);
        });
    });
    y
}

/// The gradient of [`mean`]: `[batch, positions, channels]`.
pub fn mean_gradient(dy: &[f32], channels: usize, positions: usize) -> Vec<f32> {
    let mut dx = vec![0f32; dy.len() * positions];
    let share = 1.0 / positions as f32;
    dx.par_chunks_mut(positions * channels).zip(dy.par_chunks(channels)).for_each(|(dx, dy)| {
        vectorized(|| {
            for dx in dx.chunks_exact_mut(channels) {
                dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy * share);
            }
        });
    });
    dx
}

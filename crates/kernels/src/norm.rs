//! Batch norm, residual addition and ReLU on slices of `[batch, channels, plane]`.

use rayon::prelude::*;

use crate::simd::{LANES, lane_sum, vectorized};

/// The sizes of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    pub channels: usize,
    /// Height times width.
    pub plane: usize,
}

/// What the forward pass finds out about each channel.
#[derive(Debug, Clone)]
pub struct Statistics {
    pub mean: Vec<f32>,
    /// Biased.
    pub variance: Vec<f32>,
}

/// Mean and biased variance of every channel, in two passes over what is then in the cache: the
/// one-pass formula loses the variance of channels with a large mean.
pub fn statistics(x: &[f32], shape: Shape) -> Statistics {
    let count = (x.len() / shape.channels) as f64;
    let (mean, variance) = (0..shape.channels)
        .into_par_iter()
        .map(|c| {
            let sum: f64 = planes(x, shape, c)
                .map(|p| f64::from(vectorized(|| lane_sum(p, p, |x, _| x))))
                .sum();
            let mean = (sum / count) as f32;
            let squares: f64 = planes(x, shape, c)
                .map(|p| f64::from(vectorized(|| lane_sum(p, p, |x, _| (x - mean) * (x - mean)))))
                .sum();
            // The mean was rounded to f32; take that out of the squares.
            let shift = sum / count - f64::from(mean);
            (mean, (squares / count - shift * shift).max(0.0) as f32)
        })
        .unzip();
    Statistics { mean, variance }
}

/// `relu(scale · x + shift + residual)` with one scale and shift per channel.
pub fn scale_add_relu(
    x: &[f32],
    scale: &[f32],
    shift: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
) -> Vec<f32> {
    let mut y = vec![0f32; x.len()];
    let image = shape.channels * shape.plane;
    y.par_chunks_exact_mut(image).enumerate().for_each(|(n, y)| {
        for (c, y) in y.chunks_exact_mut(shape.plane).enumerate() {
            let at = n * image + c * shape.plane;
            let x = &x[at..][..shape.plane];
            let (scale, shift) = (scale[c], shift[c]);
            let residual = residual.map(|r| &r[at..][..shape.plane]);
            vectorized(|| scale_plane(y, x, scale, shift, residual));
        }
    });
    y
}

/// Unlike `max(0)`, lets NaN through, so that a broken run is seen and not trained on.
#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

#[inline(always)]
fn scale_plane(y: &mut [f32], x: &[f32], scale: f32, shift: f32, residual: Option<&[f32]>) {
    match residual {
        Some(residual) => {
            for ((y, x), r) in y.iter_mut().zip(x).zip(residual) {
                *y = relu(x * scale + shift + r);
            }
        }
        None => {
            for (y, x) in y.iter_mut().zip(x) {
                *y = relu(x * scale + shift);
            }
        }
    }
}

/// What flows back through [`scale_add_relu`] with the batch's own statistics.
#[derive(Debug)]
pub struct Gradients {
    pub x: Vec<f32>,
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
    /// What the ReLU let through; empty unless asked for.
    pub residual: Vec<f32>,
}

/// What the backward pass needs to know about each channel.
#[derive(Debug, Clone)]
pub struct Saved {
    /// γ
    pub weight: Vec<f32>,
    pub mean: Vec<f32>,
    /// 1 / √(variance + ε)
    pub inverse: Vec<f32>,
}

/// The backward pass of batch norm, residual and ReLU together.
///
/// With `g = dy · [y > 0]`, `x̂ = (x − mean) · inv`, and sums over the batch's `m` values of a channel:
/// `dβ = Σ g`, `dγ = Σ g x̂`, `dx = γ · inv · (g − dβ / m − x̂ · dγ / m)`, `dresidual = g`.
pub fn backward(
    dy: &[f32],
    x: &[f32],
    y: &[f32],
    saved: &Saved,
    wants_residual: bool,
    shape: Shape,
) -> Gradients {
    let Saved { weight, mean, inverse: inv } = saved;
    let count = (x.len() / shape.channels) as f32;
    let (bias_grad, weight_grad): (Vec<f32>, Vec<f32>) = (0..shape.channels)
        .into_par_iter()
        .map(|c| {
            let (mut sum, mut product) = (0f64, 0f64);
            let all = planes(dy, shape, c).zip(planes(x, shape, c)).zip(planes(y, shape, c));
            for ((dy, x), y) in all {
                let (s, p) = vectorized(|| plane_sums(dy, x, y, mean[c]));
                sum += f64::from(s);
                product += f64::from(p);
            }
            (sum as f32, (product * f64::from(inv[c])) as f32)
        })
        .unzip();

    let mut dx = vec![0f32; x.len()];
    let mut residual = if wants_residual { vec![0f32; x.len()] } else { Vec::new() };
    let image = shape.channels * shape.plane;
    let body = |n: usize, dx: &mut [f32], mut residual: Option<&mut [f32]>| {
        for (c, dx) in dx.chunks_exact_mut(shape.plane).enumerate() {
            let at = n * image + c * shape.plane;
            let part = at..at + shape.plane;
            let scale = weight[c] * inv[c];
            let slope = -scale * weight_grad[c] * inv[c] / count;
            let coefficients = [scale, slope, -scale * bias_grad[c] / count - slope * mean[c]];
            let (dy, x, y) = (&dy[part.clone()], &x[part.clone()], &y[part]);
            let residual = residual.as_mut().map(|r| &mut r[c * shape.plane..][..shape.plane]);
            vectorized(|| gradient_plane(dx, residual, dy, x, y, coefficients));
        }
    };
    if wants_residual {
        dx.par_chunks_exact_mut(image)
            .zip(residual.par_chunks_exact_mut(image))
            .enumerate()
            .for_each(|(n, (dx, residual))| body(n, dx, Some(residual)));
    } else {
        dx.par_chunks_exact_mut(image).enumerate().for_each(|(n, dx)| body(n, dx, None));
    }
    Gradients { x: dx, weight: weight_grad, bias: bias_grad, residual }
}

/// Σ g and Σ g (x − mean) of one plane.
#[inline(always)]
fn plane_sums(dy: &[f32], x: &[f32], y: &[f32], mean: f32) -> (f32, f32) {
    let g = |dy: f32, y: f32| if y > 0.0 { dy } else { 0.0 };
    let (mut sums, mut products) = ([0f32; LANES], [0f32; LANES]);
    let mut add = |dy: &[f32], x: &[f32], y: &[f32]| {
        let lanes = sums.iter_mut().zip(&mut products);
        for ((((sum, product), dy), x), y) in lanes.zip(dy).zip(x).zip(y) {
            let g = g(*dy, *y);
            *sum += g;
            *product += g * (x - mean);
        }
    };
    let whole = dy.len() / LANES * LANES;
    let chunks = dy.chunks_exact(LANES).zip(x.chunks_exact(LANES)).zip(y.chunks_exact(LANES));
    for ((dy, x), y) in chunks {
        add(dy, x, y);
    }
    add(&dy[whole..], &x[whole..], &y[whole..]);
    (sums.iter().sum(), products.iter().sum())
}

#[inline(always)]
fn gradient_plane(
    dx: &mut [f32],
    residual: Option<&mut [f32]>,
    dy: &[f32],
    x: &[f32],
    y: &[f32],
    [scale, slope, shift]: [f32; 3],
) {
    match residual {
        Some(residual) => {
            for ((((dx, r), dy), x), y) in dx.iter_mut().zip(residual).zip(dy).zip(x).zip(y) {
                let g = if *y > 0.0 { *dy } else { 0.0 };
                *r = g;
                *dx = scale * g + slope * x + shift;
            }
        }
        None => {
            for (((dx, dy), x), y) in dx.iter_mut().zip(dy).zip(x).zip(y) {
                let g = if *y > 0.0 { *dy } else { 0.0 };
                *dx = scale * g + slope * x + shift;
            }
        }
    }
}

/// The planes of channel `c`, one per image.
fn planes(x: &[f32], shape: Shape, c: usize) -> impl Iterator<Item = &[f32]> {
    x.chunks_exact(shape.channels * shape.plane)
        .map(move |image| &image[c * shape.plane..][..shape.plane])
}

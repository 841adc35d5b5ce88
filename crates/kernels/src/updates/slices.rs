//! Updates of parameters, each in one pass.

use rayon::prelude::*;

use super::SgdStep;
use crate::memory::{self, Writer};
use crate::simd::vectorized;

/// Elements that one thread updates at a time.
const CHUNK: usize = 1 << 14;

/// `τ a + (1 − τ) b`
pub fn moving_average(a: &[f32], b: &[f32], tau: f64) -> Vec<f32> {
    let (kept, taken) = (tau as f32, (1.0 - tau) as f32);
    memory::write(a.len(), CHUNK, |i, y| {
        let part = i * CHUNK..i * CHUNK + y.len();
        let (a, b) = (&a[part.clone()], &b[part]);
        vectorized(|| {
            y.extend(a.len(), a.iter().zip(b).map(|(a, b)| kept * a + taken * b));
        });
    })
}

/// The new parameter and the new velocity; without a velocity, the gradient is the first one.
///
/// `scale` multiplies the gradient after the weight decay.
pub fn sgd(
    w: &[f32],
    g: &[f32],
    v: Option<&[f32]>,
    scale: f32,
    step: SgdStep,
) -> (Vec<f32>, Vec<f32>) {
    let SgdStep { momentum, nesterov, weight_decay, learning_rate } = step;
    let [decay, momentum, rate] = [weight_decay, momentum, learning_rate].map(|x| x as f32);
    let (of_gradient, of_velocity) = if nesterov { (1.0, momentum) } else { (0.0, 1.0) };
    memory::write_two(w.len(), CHUNK, |i, new_w, new_v| {
        let part = i * CHUNK..i * CHUNK + new_w.len();
        let (w, g) = (&w[part.clone()], &g[part.clone()]);
        // Without a velocity, `momentum · 0 + g`.
        let (v, momentum) = v.map_or((w, 0.0), |v| (&v[part], momentum));
        vectorized(|| {
            let values = w.iter().zip(g).zip(v).map(|((w, g), v)| {
                let g = scale * (g + decay * w);
                let v = momentum * v + g;
                (w - rate * (of_gradient * g + of_velocity * v), v)
            });
            Writer::extend_two(new_w, new_v, w.len(), values);
        });
    })
}

/// [`sgd`] with μ = 0: `w − lr · scale · (g + λ w)`.
pub fn sgd_without_momentum(w: &[f32], g: &[f32], scale: f32, step: SgdStep) -> Vec<f32> {
    let [decay, rate] = [step.weight_decay, step.learning_rate].map(|x| x as f32);
    memory::write(w.len(), CHUNK, |i, new| {
        let part = i * CHUNK..i * CHUNK + new.len();
        let (w, g) = (&w[part.clone()], &g[part]);
        vectorized(|| {
            let values = w.iter().zip(g).map(|(w, g)| w - rate * (scale * (g + decay * w)));
            new.extend(w.len(), values);
        });
    })
}

/// The first value that is NaN or infinite.
pub fn not_finite(x: &[f32]) -> Option<f32> {
    const LANES: usize = 16;
    let odd = |chunk: &[f32]| -> bool {
        vectorized(|| {
            // 0 · x is 0, except for NaN and infinities. A sum with NaN in it stays NaN.
            let mut sums = [0f32; LANES];
            let (whole, rest) = chunk.as_chunks::<LANES>();
            for x in whole {
                for (sum, x) in sums.iter_mut().zip(x) {
                    *sum += 0.0 * x;
                }
            }
            sums.iter().sum::<f32>() + rest.iter().map(|x| 0.0 * x).sum::<f32>() != 0.0
        })
    };
    let chunk = x.par_chunks(CHUNK).find_first(|chunk| odd(chunk))?;
    chunk.iter().copied().find(|x| !x.is_finite())
}

/// `‖w‖`, `‖g‖` and `‖g + λ w‖`. Sums of chunks are in f64 and added in order.
pub fn norms(w: &[f32], g: &[f32], decay: f64) -> [f64; 3] {
    let decay = decay as f32;
    let chunks: Vec<[f64; 3]> = w
        .par_chunks(CHUNK)
        .zip(g.par_chunks(CHUNK))
        .map(|(w, g)| vectorized(|| squares(w, g, decay)))
        .collect();
    let mut totals = [0.0; 3];
    for chunk in chunks {
        totals.iter_mut().zip(chunk).for_each(|(total, sum)| *total += sum);
    }
    totals.map(f64::sqrt)
}

/// `Σ w²`, `Σ g²` and `Σ (g + λ w)²`.
#[inline(always)]
fn squares(w: &[f32], g: &[f32], decay: f32) -> [f64; 3] {
    const LANES: usize = 16;
    let mut sums = [[0f64; LANES]; 3];
    for (w, g) in w.chunks(LANES).zip(g.chunks(LANES)) {
        for (lane, (w, g)) in w.iter().zip(g).enumerate() {
            let decayed = g + decay * w;
            for (sums, x) in sums.iter_mut().zip([*w, *g, decayed]) {
                sums[lane] += f64::from(x) * f64::from(x);
            }
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

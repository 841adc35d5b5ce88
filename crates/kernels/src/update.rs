//! Updates of parameters, each in one pass.

use crate::memory::{self, Writer};
use crate::ops::SgdStep;
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
pub fn sgd(w: &[f32], g: &[f32], v: Option<&[f32]>, step: SgdStep) -> (Vec<f32>, Vec<f32>) {
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
                let g = g + decay * w;
                let v = momentum * v + g;
                (w - rate * (of_gradient * g + of_velocity * v), v)
            });
            Writer::extend_two(new_w, new_v, w.len(), values);
        });
    })
}

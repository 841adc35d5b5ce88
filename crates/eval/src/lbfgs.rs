//! L-BFGS (Liu & Nocedal, 1989) in f64, for smooth convex functions of a few thousand variables.

use std::collections::VecDeque;

/// Steps remembered.
const HISTORY: usize = 10;
/// Share of the linear decrease that a step must reach (Armijo).
const DECREASE: f64 = 1e-4;
/// Share of the slope that may remain after a step (weak Wolfe).
const CURVATURE: f64 = 0.9;

/// Minimises `f` from `x`; `f` returns the value and writes the gradient. Stops when no component
/// of the gradient is larger than `tolerance`, after `max_iterations`, or when no step along the
/// search direction lowers the value any more, which in f64 means that it is at its minimum.
pub(crate) fn minimize(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &mut [f64],
    tolerance: f64,
    max_iterations: usize,
) {
    let n = x.len();
    let mut gradient = vec![0.0; n];
    let mut value = f(x, &mut gradient);
    let mut pairs: VecDeque<(Vec<f64>, Vec<f64>, f64)> = VecDeque::new();
    for iteration in 0..max_iterations {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            return;
        }
        let mut direction = descend(&gradient, &pairs);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let first = if iteration == 0 { 1.0 / norm(&gradient).max(1.0) } else { 1.0 };
        let Some((step, new_value, new_gradient)) =
            search(&mut f, x, &direction, value, slope, first)
        else {
            return;
        };
        let moved: Vec<f64> = direction.iter().map(|d| step * d).collect();
        let change: Vec<f64> = new_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let curvature = dot(&moved, &change);
        x.iter_mut().zip(&moved).for_each(|(x, m)| *x += m);
        if curvature > 1e-12 * norm(&moved) * norm(&change) {
            if pairs.len() == HISTORY {
                pairs.pop_front();
            }
            pairs.push_back((moved, change, 1.0 / curvature));
        }
        (value, gradient) = (new_value, new_gradient);
    }
}

/// The two-loop recursion.
fn descend(gradient: &[f64], pairs: &VecDeque<(Vec<f64>, Vec<f64>, f64)>) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for (s, y, rho) in pairs.iter().rev() {
        let alpha = rho * dot(s, &q);
        q.iter_mut().zip(y).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    if let Some((_, y, rho)) = pairs.back() {
        let scale = 1.0 / (rho * dot(y, y));
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for ((s, y, rho), alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = rho * dot(y, &q);
        q.iter_mut().zip(s).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q
}

/// A step that satisfies the weak Wolfe conditions, by bisection and doubling.
fn search(
    f: &mut impl FnMut(&[f64], &mut [f64]) -> f64,
    x: &[f64],
    direction: &[f64],
    value: f64,
    slope: f64,
    first: f64,
) -> Option<(f64, f64, Vec<f64>)> {
    let (mut low, mut high, mut step) = (0.0, f64::INFINITY, first);
    let mut best = None;
    for _ in 0..50 {
        let trial: Vec<f64> = x.iter().zip(direction).map(|(x, d)| x + step * d).collect();
        let mut gradient = vec![0.0; x.len()];
        let new = f(&trial, &mut gradient);
        if new.is_nan() || new > value + DECREASE * step * slope {
            high = step;
        } else if dot(&gradient, direction) < CURVATURE * slope {
            best = Some((step, new, gradient));
            low = step;
        } else {
            return Some((step, new, gradient));
        }
        step = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
    }
    best
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_minimum_of_rosenbrocks_valley() {
        let f = |x: &[f64], g: &mut [f64]| {
            let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
            g[0] = -2.0 * a - 400.0 * x[0] * b;
            g[1] = 200.0 * b;
            a * a + 100.0 * b * b
        };
        let mut x = [-1.2, 1.0];
        minimize(f, &mut x, 1e-9, 200);
        assert!((x[0] - 1.0).abs() < 1e-7 && (x[1] - 1.0).abs() < 1e-7, "{x:?}");
    }
}

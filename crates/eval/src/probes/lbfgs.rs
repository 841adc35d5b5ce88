//! L-BFGS (Liu & Nocedal, 1989) in f64, for smooth convex functions.

use std::collections::VecDeque;

/// How many steps are remembered.
const HISTORY: usize = 10;
/// Share of the linear decrease that a step must reach (Armijo).
const DECREASE: f64 = 1e-4;
/// Share of the slope that may remain after a step (weak Wolfe).
const CURVATURE: f64 = 0.9;
/// A step may raise the value by this share: rounding in a sum of f32 terms can hide as much.
const ROUNDING: f64 = 1e-9;
/// The most evaluations along one direction.
const TRIALS: usize = 20;

/// Where a minimisation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct End {
    pub value: f64,
    pub iterations: usize,
    pub evaluations: usize,
    /// Whether the gradient came down to the tolerance.
    pub converged: bool,
}

/// Minimises `f` from `x`. `f` returns the value and writes the gradient. Stops when no component
/// of the gradient is larger than `tolerance`, or after `max_iterations`. Also stops when no step
/// along the search direction lowers the value: then it is at its minimum within rounding.
///
/// `precondition` multiplies a vector by a guess of the inverse Hessian, up to a factor: symmetric
/// and positive definite. The better it is, the fewer the iterations; the minimum is the same.
pub(crate) fn minimize(
    mut f: impl FnMut(&[f64], &mut [f64]) -> f64,
    precondition: impl Fn(&mut [f64]),
    x: &mut [f64],
    tolerance: f64,
    max_iterations: usize,
) -> End {
    let mut gradient = vec![0.0; x.len()];
    let value = f(x, &mut gradient);
    let mut end = End { value, iterations: 0, evaluations: 1, converged: false };
    let mut pairs: VecDeque<Pair> = VecDeque::new();
    loop {
        end.converged = gradient.iter().all(|g| g.abs() <= tolerance);
        if end.converged || end.iterations == max_iterations {
            return end;
        }
        let mut direction = descend(&gradient, &pairs, &precondition);
        let mut slope = dot(&direction, &gradient);
        if slope >= 0.0 {
            pairs.clear();
            direction = gradient.iter().map(|g| -g).collect();
            slope = -dot(&gradient, &gradient);
        }
        let mut line = Line { f: &mut f, x, direction: &direction, value: end.value, slope };
        let Some(step) = line.search(&mut end.evaluations) else { return end };
        end.iterations += 1;
        end.value = step.value;
        direction.iter_mut().for_each(|d| *d *= step.length);
        x.iter_mut().zip(&direction).for_each(|(x, m)| *x += m);
        let change: Vec<f64> = step.gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        gradient = step.gradient;
        let curvature = dot(&direction, &change);
        if curvature > 1e-12 * norm(&direction) * norm(&change) {
            if pairs.len() == HISTORY {
                pairs.pop_front();
            }
            let mut scaled = change.clone();
            precondition(&mut scaled);
            let scale = curvature / dot(&change, &scaled);
            pairs.push_back(Pair { moved: direction, change, rho: 1.0 / curvature, scale });
        }
    }
}

/// A step and the change of the gradient along it.
struct Pair {
    moved: Vec<f64>,
    change: Vec<f64>,
    rho: f64,
    /// The factor that makes the guess of the inverse Hessian agree with this step.
    scale: f64,
}

/// The two-loop recursion.
fn descend(
    gradient: &[f64],
    pairs: &VecDeque<Pair>,
    precondition: &impl Fn(&mut [f64]),
) -> Vec<f64> {
    let mut q: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(pairs.len());
    for Pair { moved, change, rho, .. } in pairs.iter().rev() {
        let alpha = rho * dot(moved, &q);
        q.iter_mut().zip(change).for_each(|(q, y)| *q -= alpha * y);
        alphas.push(alpha);
    }
    precondition(&mut q);
    if let Some(Pair { scale, .. }) = pairs.back() {
        q.iter_mut().for_each(|q| *q *= scale);
    }
    for (Pair { moved, change, rho, .. }, alpha) in pairs.iter().zip(alphas.into_iter().rev()) {
        let beta = rho * dot(change, &q);
        q.iter_mut().zip(moved).for_each(|(q, s)| *q += (alpha - beta) * s);
    }
    q
}

/// A function along a direction of descent.
struct Line<'a, F> {
    f: &'a mut F,
    x: &'a [f64],
    direction: &'a [f64],
    value: f64,
    slope: f64,
}

struct Step {
    length: f64,
    value: f64,
    gradient: Vec<f64>,
}

impl<F: FnMut(&[f64], &mut [f64]) -> f64> Line<'_, F> {
    /// A step that satisfies the weak Wolfe conditions. Tries 1 first, then doubles, and then takes
    /// the minimum of a parabola between a step that is too short and one that is too long.
    fn search(&mut self, evaluations: &mut usize) -> Option<Step> {
        let (mut low, mut high, mut length) = (0.0, f64::INFINITY, 1.0);
        let mut best: Option<Step> = None;
        let mut trial = vec![0.0; self.x.len()];
        for _ in 0..TRIALS {
            let moved = self.x.iter().zip(self.direction).map(|(x, d)| x + length * d);
            trial.iter_mut().zip(moved).for_each(|(t, m)| *t = m);
            let mut gradient = vec![0.0; self.x.len()];
            let value = (self.f)(&trial, &mut gradient);
            *evaluations += 1;
            let most = self.value + DECREASE * length * self.slope + ROUNDING * self.value.abs();
            if value.is_nan() || value > most {
                high = length;
                let (from, slope) = best.as_ref().map_or((self.value, self.slope), |best| {
                    (best.value, dot(&best.gradient, self.direction))
                });
                let width = high - low;
                let lowest = -slope * width / (2.0 * (value - from - slope * width));
                // Keeps away from both ends. NaN becomes the middle.
                let share = if lowest.is_finite() { lowest.clamp(0.1, 0.5) } else { 0.5 };
                length = low + share * width;
                continue;
            }
            let slope = dot(&gradient, self.direction);
            let step = Step { length, value, gradient };
            if slope >= CURVATURE * self.slope {
                return Some(step);
            }
            best = Some(step);
            low = length;
            length = if high.is_finite() { (low + high) / 2.0 } else { 2.0 * low };
        }
        best
    }
}

/// In eight sums, which the compiler keeps in one register.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rosenbrock(x: &[f64], g: &mut [f64]) -> f64 {
        let (a, b) = (1.0 - x[0], x[1] - x[0] * x[0]);
        g[0] = -2.0 * a - 400.0 * x[0] * b;
        g[1] = 200.0 * b;
        a * a + 100.0 * b * b
    }

    #[test]
    fn finds_the_minimum_of_rosenbrocks_valley() {
        let mut x = [-1.2, 1.0];
        let end = minimize(rosenbrock, |_| {}, &mut x, 1e-9, 200);
        assert!((x[0] - 1.0).abs() < 1e-7 && (x[1] - 1.0).abs() < 1e-7, "{x:?}");
        assert!(end.converged && end.value < 1e-14, "{end:?}");
    }

    #[test]
    fn the_inverse_hessian_takes_a_parabola_to_its_minimum_in_a_step() {
        let bowl = |x: &[f64], g: &mut [f64]| {
            (g[0], g[1]) = (1e4 * x[0], x[1]);
            (1e4 * x[0] * x[0] + x[1] * x[1]) / 2.0
        };
        let (mut x, mut plain) = ([3.0, -5.0], [3.0, -5.0]);
        let end = minimize(bowl, |v| v[0] /= 1e4, &mut x, 1e-9, 100);
        assert!(end.converged && end.iterations == 1, "{end:?}");
        assert!(minimize(bowl, |_| {}, &mut plain, 1e-9, 100).iterations > 1);
    }
}

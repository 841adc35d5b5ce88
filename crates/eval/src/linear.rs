use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use serde::{Deserialize, Serialize};

use crate::lbfgs::minimize;
use crate::probe::check_dims;
use crate::{EvalError, Features, Labelled, Probe};

/// Linear probe: multinomial logistic regression on standardised frozen features.
///
/// Minimises `C · Σ_i −log softmax(W x_i + b)_{y_i} + ‖W‖² / 2`, scikit-learn's objective (the
/// intercept is not regularised), to convergence by L-BFGS, so that the figure is a property of
/// the features and not of a training recipe. Features are standardised per dimension with the
/// training set's mean and deviation, since a penalty on `W` means nothing across scales.
///
/// C is chosen on a fifth of the training features that the fit does not see (every fifth of each
/// class, the whole of it deterministic), then everything is fitted again with it. The test set
/// is looked at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearProbe {
    /// Candidates for C, the inverse strength of the regularisation. With one candidate there is
    /// nothing to choose.
    pub c: Vec<f64>,
    /// Limit on the L-BFGS iterations of one fit.
    pub max_iterations: usize,
}

impl Default for LinearProbe {
    fn default() -> Self {
        Self { c: vec![1e-3, 1e-2, 1e-1, 1.0], max_iterations: 300 }
    }
}

impl LinearProbe {
    /// Largest gradient component over the number of samples at which a fit is done.
    const TOLERANCE: f64 = 1e-5;
    const HOLD_OUT: usize = 5;

    /// # Errors
    /// No candidate, or one that is not a finite number above 0.
    pub fn validate(&self) -> Result<(), EvalError> {
        if self.c.is_empty() || self.c.iter().any(|c| !(*c > 0.0 && c.is_finite())) {
            let c = &self.c;
            return Err(EvalError::Request(format!(
                "the linear probe needs candidates for C above 0, not {c:?}"
            )));
        }
        Ok(())
    }

    fn choose(&self, train: &Labelled) -> Result<f64, EvalError> {
        let mut seen = vec![0usize; train.classes()];
        let (mut fit, mut held) = (Vec::new(), Vec::new());
        for (i, label) in train.labels.iter().enumerate() {
            let seen = &mut seen[*label as usize];
            *seen += 1;
            if seen.is_multiple_of(Self::HOLD_OUT) { held.push(i) } else { fit.push(i) }
        }
        let Some(first) = self.c.first().copied() else { return Ok(1.0) };
        if self.c.len() == 1 || held.is_empty() {
            return Ok(first);
        }
        let (fit, held) = (train.select(&fit), train.select(&held));
        let mut best = (first, -1.0);
        for c in &self.c {
            let model = Model::fit(&fit, *c, self.max_iterations, train.classes());
            let predictions = model.predict(&held.features);
            let right = predictions.iter().zip(&held.labels).filter(|(p, l)| p == l).count();
            if right as f64 > best.1 {
                best = (*c, right as f64);
            }
        }
        Ok(best.0)
    }
}

impl Probe for LinearProbe {
    fn predict(&self, train: &Labelled, test: &Features) -> Result<Vec<u32>, EvalError> {
        self.validate()?;
        check_dims(&train.features, test)?;
        let c = self.choose(train)?;
        Ok(Model::fit(train, c, self.max_iterations, train.classes()).predict(test))
    }
}

/// A fitted classifier.
struct Model {
    /// Row-major `[classes, dim + 1]`, the intercept last.
    weights: Vec<f32>,
    classes: usize,
    scaler: Scaler,
}

impl Model {
    fn fit(train: &Labelled, c: f64, max_iterations: usize, classes: usize) -> Self {
        let scaler = Scaler::of(&train.features);
        let x = scaler.apply(&train.features);
        let mut weights = vec![0f64; classes * (train.features.dim() + 1)];
        let objective = Objective { x: &x, labels: &train.labels, classes, c };
        let tolerance = LinearProbe::TOLERANCE;
        minimize(|w, g| objective.evaluate(w, g), &mut weights, tolerance, max_iterations);
        Self { weights: weights.into_iter().map(|w| w as f32).collect(), classes, scaler }
    }

    fn predict(&self, test: &Features) -> Vec<u32> {
        let x = self.scaler.apply(test);
        let scores = scores(&x, &self.weights, test.rows(), self.classes);
        scores
            .chunks_exact(self.classes)
            .map(|row| {
                let best = row.iter().enumerate().rev().max_by(|a, b| a.1.total_cmp(b.1));
                best.map_or(0, |(class, _)| class as u32)
            })
            .collect()
    }
}

/// `x Wᵀ`: `[rows, classes]`.
fn scores(x: &[f32], weights: &[f32], rows: usize, classes: usize) -> Vec<f32> {
    let width = x.len() / rows.max(1);
    let mut out = vec![0f32; rows * classes];
    matmul(
        MatMut::from_row_major_slice_mut(&mut out, rows, classes),
        Accum::Replace,
        MatRef::from_row_major_slice(x, rows, width),
        MatRef::from_row_major_slice(weights, classes, width).transpose(),
        1.0,
        Par::Seq,
    );
    out
}

struct Objective<'a> {
    /// `[rows, dim + 1]`, the last column all ones.
    x: &'a [f32],
    labels: &'a [u32],
    classes: usize,
    c: f64,
}

impl Objective<'_> {
    /// The objective over `c · rows`, which has the same minimum and a gradient of moderate size.
    fn evaluate(&self, weights: &[f64], gradient: &mut [f64]) -> f64 {
        let (rows, classes) = (self.labels.len(), self.classes);
        let width = self.x.len() / rows;
        let narrow: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
        let mut residual = scores(self.x, &narrow, rows, classes);
        let mut loss = 0.0;
        for (row, label) in residual.chunks_exact_mut(classes).zip(self.labels) {
            let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let true_score = row[*label as usize] - max;
            let mut sum = 0f32;
            for score in row.iter_mut() {
                *score = (*score - max).exp();
                sum += *score;
            }
            loss += f64::from(sum.ln() - true_score);
            row.iter_mut().for_each(|p| *p /= sum);
            row[*label as usize] -= 1.0;
        }
        let mut product = vec![0f32; classes * width];
        matmul(
            MatMut::from_row_major_slice_mut(&mut product, classes, width),
            Accum::Replace,
            MatRef::from_row_major_slice(&residual, rows, classes).transpose(),
            MatRef::from_row_major_slice(self.x, rows, width),
            1.0,
            Par::Seq,
        );
        let n = rows as f64;
        let decay = 1.0 / (self.c * n);
        let mut penalty = 0.0;
        for (i, ((g, p), w)) in gradient.iter_mut().zip(&product).zip(weights).enumerate() {
            let regularised = i % width != width - 1;
            let w = if regularised { *w } else { 0.0 };
            *g = f64::from(*p) / n + decay * w;
            penalty += w * w;
        }
        loss / n + decay * penalty / 2.0
    }
}

struct Scaler {
    mean: Vec<f64>,
    scale: Vec<f64>,
}

impl Scaler {
    fn of(features: &Features) -> Self {
        let (n, dim) = (features.rows() as f64, features.dim());
        let mut mean = vec![0f64; dim];
        for row in features.iter() {
            mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / n);
        }
        let mut variance = vec![0f64; dim];
        for row in features.iter() {
            for ((s, m), v) in variance.iter_mut().zip(&mean).zip(row) {
                *s += (f64::from(*v) - m).powi(2) / n;
            }
        }
        // A dead dimension stays as it is.
        let scale =
            variance.into_iter().map(|s| if s > 1e-20 { 1.0 / s.sqrt() } else { 1.0 }).collect();
        Self { mean, scale }
    }

    /// `[rows, dim + 1]`, standardised, with a column of ones for the intercept.
    fn apply(&self, features: &Features) -> Vec<f32> {
        let mut out = Vec::with_capacity(features.rows() * (features.dim() + 1));
        for row in features.iter() {
            let scaled = row.iter().zip(self.mean.iter().zip(&self.scale));
            out.extend(scaled.map(|(v, (m, s))| ((f64::from(*v) - m) * s) as f32));
            out.push(1.0);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three noisy clusters in the plane, with a generator of fixed numbers.
    fn clusters(n: usize, spread: f32) -> Labelled {
        let mut state = 1u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        };
        let centres = [[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]];
        let labels: Vec<u32> = (0..n as u32).map(|i| i % 3).collect();
        let values =
            labels.iter().flat_map(|l| centres[*l as usize].map(|c| c + spread * next())).collect();
        Labelled { features: Features::new(values, n, 2).unwrap(), labels }
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let data = clusters(30, 2.0);
        let x = Scaler::of(&data.features).apply(&data.features);
        let objective = Objective { x: &x, labels: &data.labels, classes: 3, c: 0.7 };
        let w: Vec<f64> = (0..9).map(|i| (i as f64 * 0.7).sin()).collect();
        let mut gradient = vec![0.0; 9];
        objective.evaluate(&w, &mut gradient);
        for i in 0..9 {
            let mut ends = [1e-2, -1e-2].map(|h| {
                let mut moved = w.clone();
                moved[i] += h;
                objective.evaluate(&moved, &mut [0.0; 9])
            });
            ends[0] -= ends[1];
            let numeric = ends[0] / 2e-2;
            assert!((numeric - gradient[i]).abs() < 1e-3, "{i}: {numeric} {}", gradient[i]);
        }
    }

    #[test]
    fn a_fit_ends_where_the_gradient_vanishes() {
        let data = clusters(300, 2.5);
        let model = Model::fit(&data, 1.0, 300, 3);
        let x = model.scaler.apply(&data.features);
        let objective = Objective { x: &x, labels: &data.labels, classes: 3, c: 1.0 };
        let w: Vec<f64> = model.weights.iter().map(|w| f64::from(*w)).collect();
        let mut gradient = vec![0.0; w.len()];
        objective.evaluate(&w, &mut gradient);
        assert!(gradient.iter().all(|g| g.abs() < 1e-4), "{gradient:?}");
    }

    #[test]
    fn separable_classes_are_separated_whatever_the_scale_of_the_features() {
        let (train, test) = (clusters(150, 0.5), clusters(60, 0.5));
        let probe = LinearProbe::default();
        assert_eq!(probe.score(&train, &test).unwrap().top1, 1.0);
        let stretch = |data: &Labelled| {
            let values =
                data.features.iter().flat_map(|r| [r[0] * 1e4, r[1] * 1e-3 + 5.0]).collect();
            let features = Features::new(values, data.labels.len(), 2).unwrap();
            Labelled { features, labels: data.labels.clone() }
        };
        assert_eq!(probe.score(&stretch(&train), &stretch(&test)).unwrap().top1, 1.0);
    }

    #[test]
    fn a_class_unknown_in_training_counts_as_wrong() {
        let train = clusters(90, 0.5);
        let mut test = clusters(30, 0.5);
        test.labels[0] = 7;
        let score = LinearProbe::default().score(&train, &test).unwrap();
        assert!((score.top1 - 29.0 / 30.0).abs() < 1e-9);
    }
}

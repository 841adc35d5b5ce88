//! The linear probe: logistic regression on frozen features.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par, Spec};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::lbfgs::{End, minimize};
use super::probe::correct;
use super::softmax::{BLOCK, Design, Objective, Scaler};
use crate::features::check_dims;
use crate::{EvalError, Features, Labelled, Probe, ProbeScore};

/// Linear probe: multinomial logistic regression on standardised frozen features.
///
/// Minimises `C · Σ_i −log softmax(W x_i + b)_{y_i} + ‖W‖² / 2`, scikit-learn's objective (the
/// intercept is not regularised). L-BFGS runs to convergence, so the figure is a property of the
/// features and not of a training recipe. Features are standardised per dimension with the training
/// set's mean and deviation, since a penalty on `W` means nothing across scales.
///
/// C is chosen on every fifth training feature of each class, which the fit does not see. If
/// classes are too small for that, C is the candidate nearest to 1. Then everything is fitted again
/// with this C. The test set is used once. The result is deterministic and does not depend on the
/// number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinearProbe {
    /// Candidates for C, the inverse strength of the regularisation. With one candidate there is
    /// nothing to choose.
    pub c: Vec<f64>,
    /// Limit on the L-BFGS iterations of one fit.
    pub max_iterations: usize,
}

impl Default for LinearProbe {
    /// C from 1e-4 to 100 by decades.
    fn default() -> Self {
        Self { c: vec![1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0], max_iterations: 300 }
    }
}

impl LinearProbe {
    /// Largest gradient component over the number of samples at which a fit is done.
    const TOLERANCE: f64 = 1e-5;

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

    /// Chooses C and fits with it. The strongest regularisation comes first, and each fit starts
    /// from the one before. Of equally good candidates, the strongest is chosen.
    ///
    /// # Errors
    /// Candidates that are not numbers above 0, or nothing to learn from.
    pub fn fit(&self, train: &Labelled) -> Result<LinearFit, EvalError> {
        self.fit_watched(train, &mut || {})
    }

    /// The most fits that [`fit`](Self::fit) makes: one for each candidate, and the last one.
    pub fn most_fits(&self) -> usize {
        if self.c.len() > 1 { self.c.len() + 1 } else { 1 }
    }

    /// [`fit`](Self::fit), with a call of `fitted` after each of its fits. With wide features one
    /// takes seconds.
    ///
    /// # Errors
    /// As [`fit`](Self::fit).
    pub fn fit_watched(
        &self,
        train: &Labelled,
        fitted: &mut dyn FnMut(),
    ) -> Result<LinearFit, EvalError> {
        self.validate()?;
        let classes = train.classes();
        if classes == 0 {
            return Err(EvalError::Request("the linear probe needs labelled features".into()));
        }
        let mut candidates = self.c.clone();
        candidates.sort_by(f64::total_cmp);
        candidates.dedup();
        let (part, held) = train.hold_out();
        let mut validation = Vec::new();
        // Nothing is held out to choose by. So takes the candidate nearest to 1, scikit-learn's
        // default.
        let middle =
            candidates.iter().copied().min_by(|a, b| a.ln().abs().total_cmp(&b.ln().abs()));
        let mut chosen = (middle.unwrap_or(1.0), None::<Vec<f64>>);
        if candidates.len() > 1 && !held.labels.is_empty() {
            let problem = Problem::new(&part, classes);
            let mut weights = vec![0.0; problem.design.weights(classes)];
            let mut most = None;
            for c in &candidates {
                let model = problem.fit(*c, &mut weights, self.max_iterations).0;
                fitted();
                let top1 = correct(&model.predict(&held.features), &held.labels);
                validation.push(ValidationScore { c: *c, top1 });
                if most.is_none_or(|most| top1 > most) {
                    most = Some(top1);
                    chosen = (*c, Some(weights.clone()));
                }
            }
        }
        let problem = Problem::new(train, classes);
        let (c, weights) = chosen;
        let mut weights = weights.unwrap_or_else(|| vec![0.0; problem.design.weights(classes)]);
        let (model, end) = problem.fit(c, &mut weights, self.max_iterations);
        fitted();
        Ok(LinearFit {
            c,
            validation,
            objective: end.value,
            iterations: end.iterations,
            converged: end.converged,
            model,
        })
    }
}

impl Probe for LinearProbe {
    fn predict(&self, train: &Labelled, test: &Features) -> Result<Vec<u32>, EvalError> {
        self.fit(train)?.predict(test)
    }

    fn score(&self, train: &Labelled, test: &Labelled) -> Result<ProbeScore, EvalError> {
        self.fit(train)?.score(test)
    }
}

/// A linear probe that has been fitted, and how.
#[derive(Debug, Clone)]
pub struct LinearFit {
    /// The C it was fitted with.
    pub c: f64,
    /// The score of each candidate on the held-out part, in ascending order of C. Empty if there
    /// was nothing to choose.
    pub validation: Vec<ValidationScore>,
    /// The minimum: the objective over `C` and the number of samples.
    pub objective: f64,
    /// Iterations of the last fit.
    pub iterations: usize,
    /// Whether the last fit came to its tolerance within the limit of iterations.
    pub converged: bool,
    model: Model,
}

/// A candidate and its accuracy on the held-out part of the training features.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ValidationScore {
    /// Inverse strength of the regularisation.
    pub c: f64,
    /// Share of correct predictions.
    pub top1: f64,
}

impl LinearFit {
    /// The class of every row.
    ///
    /// # Errors
    /// Features of another length than those of the fit.
    pub fn predict(&self, features: &Features) -> Result<Vec<u32>, EvalError> {
        check_dims(self.model.dim(), features.dim())?;
        Ok(self.model.predict(features))
    }

    /// Top-1, and top-5 where there are more than five classes.
    ///
    /// # Errors
    /// As [`predict`](Self::predict).
    pub fn score(&self, test: &Labelled) -> Result<ProbeScore, EvalError> {
        check_dims(self.model.dim(), test.features.dim())?;
        let ranks = self.model.ranks(test);
        let share = |k: usize| {
            let right = ranks.iter().filter(|rank| **rank < k).count();
            right as f64 / test.labels.len() as f64
        };
        let top5 = (self.model.classes > 5).then(|| share(5));
        Ok(ProbeScore { top1: share(1), top5, images: test.labels.len() })
    }

    /// Whether C is the smallest or largest of several candidates. Then a wider grid could have a
    /// better one.
    pub fn at_the_end_of_the_grid(&self) -> bool {
        let [first, .., last] = self.validation.as_slice() else { return false };
        self.c == first.c || self.c == last.c
    }
}

/// The problem to fit, for any C.
struct Problem<'a> {
    design: Design,
    labels: &'a [u32],
    classes: usize,
    scaler: Scaler,
    /// Second moments of the design, if it is narrow enough to use them.
    gram: Option<Vec<f32>>,
}

impl<'a> Problem<'a> {
    /// Factorising a wider matrix takes longer than the iterations that it saves.
    const WIDEST: usize = 2048 + 64;

    fn new(train: &'a Labelled, classes: usize) -> Self {
        let scaler = Scaler::of(&train.features);
        let design = Design::new(&train.features, &scaler);
        // A sample of the rows is enough for a guess.
        let gram = (design.stride <= Self::WIDEST).then(|| design.gram(4 * design.stride));
        Self { design, labels: &train.labels, classes, scaler, gram }
    }

    /// Moves `weights` to the minimum.
    fn fit(&self, c: f64, weights: &mut [f64], max_iterations: usize) -> (Model, End) {
        let Self { design, classes, .. } = self;
        let decay = 1.0 / (c * self.labels.len() as f64);
        let objective = Objective { design, labels: self.labels, classes: *classes, decay };
        let inverse = self
            .gram
            .as_ref()
            .and_then(|gram| inverse_hessian(gram, design.stride, *classes, decay));
        let precondition = |vector: &mut [f64]| {
            if let Some(inverse) = &inverse {
                multiply(vector, inverse, design.stride);
            }
        };
        let f = |w: &[f64], g: &mut [f64]| objective.evaluate(w, g);
        let end = minimize(f, precondition, weights, LinearProbe::TOLERANCE, max_iterations);
        let weights = weights.iter().map(|w| *w as f32).collect();
        (Model { weights, classes: *classes, scaler: self.scaler.clone() }, end)
    }
}

/// The inverse of `Σ / classes + decay`. This is the Hessian of one class's weights at weights of
/// zero, where all classes are equally probable. `None` if it cannot be inverted.
fn inverse_hessian(gram: &[f32], width: usize, classes: usize, decay: f64) -> Option<Vec<f64>> {
    let mut hessian: Vec<f64> = gram.iter().map(|g| f64::from(*g) / classes as f64).collect();
    // Rounding in f32 may make the matrix indefinite by this much. The padding columns are zeros.
    let decay = decay + 1e-6;
    hessian.iter_mut().step_by(width + 1).for_each(|h| *h += decay);
    let mut factor = MatMut::from_row_major_slice_mut(&mut hessian, width, width);
    let stack = llt::factor::cholesky_in_place_scratch::<f64>(width, Par::Seq, Spec::default())
        .or(llt::inverse::inverse_scratch::<f64>(width, Par::Seq));
    let mut memory = MemBuffer::new(stack);
    let stack = MemStack::new(&mut memory);
    llt::factor::cholesky_in_place(
        factor.as_mut(),
        Default::default(),
        Par::Seq,
        stack,
        Spec::default(),
    )
    .ok()?;
    let mut inverse = vec![0f64; width * width];
    let out = MatMut::from_row_major_slice_mut(&mut inverse, width, width);
    llt::inverse::inverse(out, factor.as_ref(), Par::Seq, stack);
    for i in 0..width {
        for j in i + 1..width {
            inverse[i * width + j] = inverse[j * width + i];
        }
    }
    Some(inverse)
}

/// Every line of `width` values times a symmetric matrix.
fn multiply(lines: &mut [f64], matrix: &[f64], width: usize) {
    const LINES: usize = 5;
    let matrix = MatRef::from_row_major_slice(matrix, width, width);
    lines.par_chunks_mut(LINES * width).for_each(|lines| {
        let from = lines.to_vec();
        let n = from.len() / width;
        let from = MatRef::from_row_major_slice(&from, n, width);
        let to = MatMut::from_row_major_slice_mut(lines, n, width);
        matmul(to, Accum::Replace, from, matrix, 1.0, Par::Seq);
    });
}

/// A fitted classifier.
#[derive(Debug, Clone)]
struct Model {
    /// `[classes, stride]` of the design.
    weights: Vec<f32>,
    classes: usize,
    scaler: Scaler,
}

impl Model {
    fn dim(&self) -> usize {
        self.scaler.dim()
    }

    fn predict(&self, features: &Features) -> Vec<u32> {
        self.of_rows(features, |scores, _, row| {
            let scores = scores.iter().map(|s| s[row]).enumerate();
            // The lowest class on a tie.
            scores.rev().max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(class, _)| class as u32)
        })
    }

    /// How many classes come before the right one. All of them if it is not a known one.
    fn ranks(&self, test: &Labelled) -> Vec<usize> {
        self.of_rows(&test.features, |scores, first, row| {
            let label = test.labels[first + row] as usize;
            let Some(own) = scores.get(label).map(|s| s[row]) else { return self.classes };
            let before = |(class, s): (usize, &[f32; BLOCK])| {
                s[row] > own || (s[row] == own && class < label)
            };
            scores.iter().enumerate().filter(|s| before(*s)).count()
        })
    }

    /// `f(scores of a block [class][row], the block's first row, row in the block)` of every row.
    fn of_rows<T>(
        &self,
        features: &Features,
        f: impl Fn(&[[f32; BLOCK]], usize, usize) -> T,
    ) -> Vec<T> {
        let design = Design::new(features, &self.scaler);
        let scores = design.scores(&self.weights, self.classes);
        let f = &f;
        scores
            .chunks_exact(self.classes)
            .enumerate()
            .flat_map(|(i, scores)| {
                let first = i * BLOCK;
                (0..BLOCK.min(design.rows - first)).map(move |row| f(scores, first, row))
            })
            .collect()
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

    /// The gradient of the objective at a fit's weights.
    fn gradient(data: &Labelled, fit: &LinearFit) -> Vec<f64> {
        let problem = Problem::new(data, 3);
        let decay = 1.0 / (fit.c * data.labels.len() as f64);
        let objective =
            Objective { design: &problem.design, labels: &data.labels, classes: 3, decay };
        let w: Vec<f64> = fit.model.weights.iter().map(|w| f64::from(*w)).collect();
        let mut gradient = vec![0.0; w.len()];
        objective.evaluate(&w, &mut gradient);
        gradient
    }

    #[test]
    fn a_fit_ends_where_the_gradient_vanishes() {
        let data = clusters(300, 2.5);
        for c in [1e-4, 1.0, 100.0] {
            let fit = LinearProbe { c: vec![c], max_iterations: 300 }.fit(&data).unwrap();
            assert!(fit.converged && fit.validation.is_empty(), "{fit:?}");
            let gradient = gradient(&data, &fit);
            assert!(gradient.iter().all(|g| g.abs() < 2e-5), "{gradient:?}");
        }
    }

    #[test]
    fn the_best_candidate_on_the_held_out_part_is_chosen_and_all_are_told() {
        let data = clusters(300, 2.5);
        let probe = LinearProbe { c: vec![1.0, 1e-6, 1e-2], max_iterations: 300 };
        let fit = probe.fit(&data).unwrap();
        let told: Vec<f64> = fit.validation.iter().map(|v| v.c).collect();
        assert_eq!(told, [1e-6, 1e-2, 1.0]);
        let most = fit.validation.iter().map(|v| v.top1).fold(0.0, f64::max);
        let first = fit.validation.iter().find(|v| v.top1 == most).unwrap();
        assert_eq!(fit.c, first.c);
        assert_eq!(fit.at_the_end_of_the_grid(), fit.c != 1e-2);
        // A warm start ends where a cold one does.
        let cold = LinearProbe { c: vec![fit.c], ..probe }.fit(&data).unwrap();
        assert!((fit.objective - cold.objective).abs() < 1e-7);
    }

    #[test]
    fn whoever_watches_hears_of_every_fit() {
        let data = clusters(60, 1.0);
        for (c, fits) in [(vec![1.0], 1), (vec![0.1, 1.0, 10.0], 4)] {
            let probe = LinearProbe { c, max_iterations: 20 };
            let mut heard = 0;
            let watched = probe.fit_watched(&data, &mut || heard += 1).unwrap();
            assert_eq!((heard, probe.most_fits()), (fits, fits));
            assert_eq!(watched.model.weights, probe.fit(&data).unwrap().model.weights);
        }
    }

    #[test]
    fn the_fit_does_not_depend_on_the_number_of_threads() {
        let data = clusters(1000, 2.5);
        let fits = [1, 3].map(|threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| LinearProbe::default().fit(&data).unwrap())
        });
        assert_eq!(fits[0].model.weights, fits[1].model.weights);
        assert_eq!(fits[0].validation, fits[1].validation);
    }

    #[test]
    fn top5_counts_the_five_highest_scores() {
        // Seven classes. The intercept of each is its number. So the last class is the likeliest
        // for any feature.
        let scaler = Scaler::of(&Features::new(vec![0.0, 1.0], 2, 1).unwrap());
        let mut weights = vec![0f32; 7 * 16];
        (0..7).for_each(|class| weights[class * 16 + 1] = class as f32);
        let model = Model { weights, classes: 7, scaler };
        let fit = LinearFit {
            c: 1.0,
            validation: Vec::new(),
            objective: 0.0,
            iterations: 0,
            converged: true,
            model,
        };
        let features = Features::new(vec![3.0, -1.0, 0.0, 7.0], 4, 1).unwrap();
        let score = fit.score(&Labelled { features, labels: vec![6, 2, 1, 9] }).unwrap();
        assert_eq!((score.top1, score.top5), (0.25, Some(0.5)));
        assert_eq!(
            LinearProbe::default().score(&clusters(60, 1.0), &clusters(60, 1.0)).unwrap().top5,
            None
        );
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

//! LeJEPA: views agree, and embeddings are normally distributed.

use burn::tensor::{Tensor, TensorData};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

use crate::{at_least_f32, sums};

/// The characteristic function is compared on [−3, 3].
const LARGEST_FREQUENCY: f64 = 3.0;

/// SIGReg, sketched isotropic Gaussian regularisation (Balestriero & LeCun, 2025, arXiv
/// 2511.08544).
///
/// The embeddings of a batch are projected on `slices` random directions. [`epps_pulley`] tests
/// each projection for being standard normal, and the result is the mean of the statistic.
/// Projections determine a distribution, so the mean is smallest when the embeddings are N(0, I).
/// This rules out collapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SigReg {
    /// Random directions, at least 1: 256 in the authors' shortest code.
    pub slices: usize,
    /// Points of the quadrature on [0, 3], at least 2: 17 there.
    pub knots: usize,
}

impl Default for SigReg {
    fn default() -> Self {
        Self { slices: 256, knots: 17 }
    }
}

impl SigReg {
    /// The mean statistic over random directions.
    ///
    /// - `z`: `[batch, dim]`, any float type; computed in f32 at least.
    /// - `seed`: determines the directions, which are uniform on the sphere. A method gives every
    ///   step its own seed. ChaCha8 draws them on the host, so they are the same on every device.
    /// - returns a scalar `[1]`, at least 0, differentiable in `z`.
    ///
    /// On standard normal samples its mean is 1.05 for any batch: the noise of a finite sample
    /// (`∫ (1 − e^{−t²}) e^{−t²/2} dt` over [−3, 3]). On a batch collapsed to zero it is
    /// 0.402·batch. It is invariant to a permutation of the batch, and the same seed gives the same
    /// value.
    pub fn forward(&self, z: Tensor<2>, seed: u64) -> Tensor<1> {
        let z = at_least_f32(z);
        let directions = self.directions(&z, seed);
        epps_pulley(z.matmul(directions), self.knots)
    }

    /// Unit vectors for `z`'s dimension, `[dim, slices]`.
    fn directions(&self, z: &Tensor<2>, seed: u64) -> Tensor<2> {
        let [_, dim] = z.dims();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let rows = (0..self.slices).flat_map(|_| unit_vector(dim, &mut rng)).collect();
        let rows = TensorData::new(rows, [self.slices, dim]);
        Tensor::<2>::from_data(rows, (&z.device(), z.dtype())).transpose()
    }
}

fn unit_vector(dim: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let normal: Vec<f64> = (0..dim).map(|_| StandardNormal.sample(rng)).collect();
    let norm = normal.iter().map(|x| x * x).sum::<f64>().sqrt();
    normal.into_iter().map(|x| x / norm).collect()
}

/// Epps and Pulley's (1983) test of normality in the form of LeJEPA, averaged over independent
/// samples.
///
/// With `φ̂(t) = mean_n e^{itx_n}` the empirical characteristic function of a column,
/// `T = N ∫_{−3}^{3} |φ̂(t) − e^{−t²/2}|² e^{−t²/2} dt`, by the trapezoid rule on `knots` points of
/// [0, 3], doubled since the integrand is even.
///
/// - `samples`: `[N, columns]`, any float type; computed in f32 at least. Needs memory for a few
///   times `N · columns · knots` numbers.
/// - `knots`: at least 2.
/// - returns a scalar `[1]`, the mean of T over the columns, at least 0; invariant to the order of
///   each column and to its sign.
pub fn epps_pulley(samples: Tensor<2>, knots: usize) -> Tensor<1> {
    let samples = at_least_f32(samples);
    let [batch, _] = samples.dims();
    let options = (&samples.device(), samples.dtype());

    let step = LARGEST_FREQUENCY / (knots as f64 - 1.0);
    let frequencies: Vec<f64> = (0..knots).map(|k| k as f64 * step).collect();
    let normal: Vec<f64> = frequencies.iter().map(|t| (-t * t / 2.0).exp()).collect();
    let ends = |k: usize| if k == 0 || k + 1 == knots { 1.0 } else { 2.0 };
    let weights = normal.iter().enumerate().map(|(k, window)| ends(k) * step * window).collect();
    let [t, normal, weights] = [frequencies, normal, weights].map(|values: Vec<f64>| {
        Tensor::<3>::from_data(TensorData::new(values, [knots, 1, 1]), options)
    });

    // [knots, N, columns], then the mean over N.
    let angles = samples.unsqueeze_dim::<3>(0) * t;
    let real = sums::mean_dim(angles.clone().cos(), 1) - normal;
    let imaginary = sums::mean_dim(angles.sin(), 1);
    let statistic = ((real.square() + imaginary.square()) * weights).sum_dim(0);
    sums::mean(statistic).mul_scalar(batch as f32)
}

/// LeJEPA (Balestriero & LeCun, 2025, arXiv 2511.08544): prediction of the views' mean, and
/// [`SigReg`].
///
/// `L = (1 − λ)·prediction + λ·sigreg`, as in the authors' shortest code. No predictor, no second
/// network, no stop-gradient.
///
/// ```
/// use burn::tensor::{Device, Distribution, Tensor};
/// use selfsame_losses::LeJepaLoss;
///
/// let device = Device::flex();
/// let z = Tensor::<2>::random([64, 8], Distribution::Normal(0.0, 1.0), &device);
/// let loss = LeJepaLoss::default().forward(z.clone(), z, 0);
/// assert!(loss.into_scalar::<f32>() < 0.1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LeJepaLoss {
    /// λ in [0, 1], the weight of the regularisation: 0.02 in the authors' shortest code.
    pub lambda: f32,
    /// The regularisation.
    pub sigreg: SigReg,
}

impl Default for LeJepaLoss {
    fn default() -> Self {
        Self { lambda: 0.02, sigreg: SigReg::default() }
    }
}

/// The two terms of [`LeJepaLoss`] before their weights, scalars `[1]` each.
#[derive(Debug, Clone)]
pub struct LeJepaTerms {
    /// The mean over views, images and dimensions of (z − mean over the views)². For two views this
    /// is a quarter of their mean square difference.
    pub prediction: Tensor<1>,
    /// The mean of [`SigReg`] over the views, along the same directions.
    pub sigreg: Tensor<1>,
}

impl LeJepaLoss {
    /// Both terms apart, for logging.
    ///
    /// `z_a`, `z_b`: `[batch, dim]`, any float type; computed in f32 at least. `seed`: as in
    /// [`SigReg::forward`].
    pub fn terms(&self, z_a: Tensor<2>, z_b: Tensor<2>, seed: u64) -> LeJepaTerms {
        let (a, b) = (at_least_f32(z_a), at_least_f32(z_b));
        let directions = self.sigreg.directions(&a, seed);
        let statistic = |z: Tensor<2>| epps_pulley(z.matmul(directions.clone()), self.sigreg.knots);
        LeJepaTerms {
            // Each view is half their difference away from their mean.
            prediction: sums::mean((a.clone() - b.clone()).mul_scalar(0.5).square()),
            sigreg: (statistic(a) + statistic(b)).mul_scalar(0.5),
        }
    }

    /// The loss, a scalar `[1]`, at least 0, differentiable in both views; symmetric in them and
    /// invariant to a permutation of the batch.
    ///
    /// `z_a`, `z_b`: `[batch, dim]`. `seed`: as in [`SigReg::forward`].
    pub fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>, seed: u64) -> Tensor<1> {
        let terms = self.terms(z_a, z_b, seed);
        terms.prediction.mul_scalar(1.0 - self.lambda) + terms.sigreg.mul_scalar(self.lambda)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn directions_are_unit_vectors_that_the_seed_names() {
        let device = Device::flex();
        let z = Tensor::<2>::zeros([1, 6], &device);
        let sigreg = SigReg { slices: 500, knots: 17 };
        let directions = sigreg.directions(&z, 7);
        assert_eq!(directions.dims(), [6, 500]);
        let norms = directions.clone().square().sum_dim(0).into_data().try_to_vec::<f32>().unwrap();
        assert!(norms.iter().all(|n| (n - 1.0).abs() < 1e-5), "{norms:?}");
        // Uniform on the sphere: mean 0, mean square 1/6 in every coordinate, to five standard
        // errors.
        let mean = directions.clone().mean_dim(1).abs().max().into_scalar::<f32>();
        assert!(mean < 5.0 * (1.0f32 / 6.0 / 500.0).sqrt(), "{mean}");
        let values = |seed| sigreg.directions(&z, seed).into_data().try_to_vec::<f32>().unwrap();
        assert_eq!(values(7), values(7));
        assert_ne!(values(7), values(8));
    }

    #[test]
    fn a_batch_collapsed_to_zero_has_the_integral_on_paper() {
        let device = Device::flex();
        let statistic = epps_pulley(Tensor::zeros([10, 3], &device), 1001).into_scalar::<f32>();
        // ∫ (1 − e^{−t²/2})² e^{−t²/2} dt over [−3, 3], numerically.
        assert!((statistic - 10.0 * 0.402_234).abs() < 1e-4, "{statistic}");
    }

    #[test]
    fn directions_are_used_in_one_dimension_too() {
        let device = Device::flex();
        let z = Tensor::<2>::from_floats([[0.3], [-1.2], [2.0], [0.1]], &device);
        // ±1 are all there are, and the statistic is even.
        let sliced = SigReg::default().forward(z.clone(), 3).into_scalar::<f32>();
        let direct = epps_pulley(z, 17).into_scalar::<f32>();
        assert!((sliced - direct).abs() < 1e-6, "{sliced} {direct}");
    }
}

//! VICReg: views agree, features vary, and features are uncorrelated.

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use crate::statistics::{centre, degrees_of_freedom, off_diagonal_squares, variance};
use crate::{JointEmbeddingLoss, at_least_f32, sums};

/// Added to the variance before its root (Bardes et al., 2022, eq. 2, and the authors' code).
const VARIANCE_EPSILON: f32 = 1e-4;

/// The standard deviation that every feature should have (γ in the paper's eq. 1).
const TARGET_DEVIATION: f32 = 1.0;

/// VICReg (Bardes et al., 2022, eq. 1–6): variance, invariance, covariance.
///
/// `L = λ s(Z, Z') + μ [v(Z) + v(Z')] + ν [c(Z) + c(Z')]` with
/// `v(Z) = mean_j max(0, 1 − √(Var(z_j) + 1e-4))`, `c(Z) = (1/D) Σ_{i≠j} Cov(Z)_ij²`, variance and
/// covariance unbiased (division by N − 1).
///
/// Two factors follow the authors' code and not the equations, since the published figures come
/// from the code. `s` is the mean over all **elements** of (Z − Z')² (eq. 5 sums over the D
/// features). The two variance terms are **averaged**, not summed.
///
/// - `z_a`, `z_b`: `[batch, dim]`, batch ≥ 2, any float type; computed in f32 at least.
/// - returns a scalar `[1]`, at least 0, differentiable in both.
///
/// Symmetric in its views; invariant to a permutation of the batch, to a permutation of the
/// features and to a shift, both common to the two views.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VicRegLoss {
    /// λ, the weight of the invariance term: 25 in the paper.
    pub invariance: f32,
    /// μ, the weight of the variance term: 25 in the paper.
    pub variance: f32,
    /// ν, the weight of the covariance term: 1 in the paper.
    pub covariance: f32,
}

impl Default for VicRegLoss {
    fn default() -> Self {
        Self { invariance: 25.0, variance: 25.0, covariance: 1.0 }
    }
}

/// The three terms of [`VicRegLoss`] **before** their weights, scalars `[1]` each.
#[derive(Debug, Clone)]
pub struct VicRegTerms {
    /// `s(Z, Z')`: mean square difference of the views.
    pub invariance: Tensor<1>,
    /// `½ [v(Z) + v(Z')]`: in `[0, 1]`, 0 when every feature deviates by 1 or more.
    pub variance: Tensor<1>,
    /// `c(Z) + c(Z')`: 0 when the features are uncorrelated.
    pub covariance: Tensor<1>,
}

impl VicRegLoss {
    /// The terms apart, for logging; the loss is their sum weighted by λ, μ and ν.
    ///
    /// `z_a`, `z_b`: `[batch, dim]`.
    pub fn terms(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> VicRegTerms {
        let (a, b) = (at_least_f32(z_a), at_least_f32(z_b));
        let invariance = sums::mean((a.clone() - b.clone()).square());
        let (a, b) = (centre(a), centre(b));
        VicRegTerms {
            invariance,
            variance: (variance_hinge(a.clone()) + variance_hinge(b.clone())).mul_scalar(0.5),
            covariance: covariance_penalty(a) + covariance_penalty(b),
        }
    }
}

impl JointEmbeddingLoss for VicRegLoss {
    fn forward(&self, z_a: Tensor<2>, z_b: Tensor<2>) -> Tensor<1> {
        let terms = self.terms(z_a, z_b);
        terms.invariance.mul_scalar(self.invariance)
            + terms.variance.mul_scalar(self.variance)
            + terms.covariance.mul_scalar(self.covariance)
    }
}

/// `v(Z)`, eq. 1 and 2, of centred features.
fn variance_hinge(centred: Tensor<2>) -> Tensor<1> {
    let deviation = variance(centred).add_scalar(VARIANCE_EPSILON).sqrt();
    sums::mean(relu(deviation.neg().add_scalar(TARGET_DEVIATION)))
}

/// `c(Z)`, eq. 3 and 4, of centred features.
fn covariance_penalty(centred: Tensor<2>) -> Tensor<1> {
    let [_, dim] = centred.dims();
    let divisor = degrees_of_freedom(&centred);
    off_diagonal_squares(centred.clone(), centred, divisor).div_scalar(dim as f32)
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor};

    use super::*;

    fn terms(a: Tensor<2>, b: Tensor<2>) -> [f32; 3] {
        let terms = VicRegLoss::default().terms(a, b);
        [terms.invariance, terms.variance, terms.covariance].map(|t| t.into_scalar::<f32>())
    }

    #[test]
    fn terms_of_a_hand_computed_case() {
        let device = Device::flex();
        // Deviations √2 and √0.5, covariance 1.
        let a = Tensor::<2>::from_floats([[1.0, 0.5], [-1.0, -0.5]], &device);
        // Both features constant.
        let b = Tensor::<2>::from_floats([[1.0, 1.0], [1.0, 1.0]], &device);
        let [invariance, variance, covariance] = terms(a, b);
        assert!((invariance - (0.0 + 0.25 + 4.0 + 2.25) / 4.0).abs() < 1e-6, "{invariance}");
        let short = (1.0 - 0.5001f32.sqrt()) / 2.0;
        assert!((variance - (short + 0.99) / 2.0).abs() < 1e-6, "{variance}");
        assert!((covariance - 1.0).abs() < 1e-6, "{covariance}");
    }

    #[test]
    fn zero_on_identical_spread_uncorrelated_views() {
        let rows = [[1.0, 1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]];
        let z = Tensor::<2>::from_floats(rows, &Device::flex());
        assert_eq!(terms(z.clone(), z), [0.0, 0.0, 0.0]);
    }

    #[test]
    fn constant_features_stay_finite() {
        let device = Device::flex().autodiff();
        let z = Tensor::<2>::ones([4, 3], &device).require_grad();
        let gradients = VicRegLoss::default().forward(z.clone(), z.clone()).backward();
        let gradient = z.grad(&gradients).unwrap().into_data().try_to_vec::<f32>().unwrap();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}

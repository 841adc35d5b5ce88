//! Property-based tests of what the losses' documentation promises, on both CPU backends.

use burn::tensor::{Device, Tensor};
use proptest::prelude::*;
use selfsame_losses::{
    BarlowTwinsLoss, ByolLoss, JointEmbeddingLoss, regression_loss, standardize,
};
use selfsame_tests::batches::{Batch, batches, close, devices, scalar};

fn barlow(a: &Batch, b: &Batch, device: &Device) -> f32 {
    scalar(BarlowTwinsLoss::default().forward(a.tensor(device), b.tensor(device)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn barlow_twins_is_symmetric_in_its_views([a, b] in batches(2)) {
        for device in devices() {
            prop_assert!(close(barlow(&a, &b, &device), barlow(&b, &a, &device), 1e-4));
        }
    }

    #[test]
    fn barlow_twins_is_invariant_to_a_permutation_of_the_batch([a, b] in batches(2), shift in 0usize..24) {
        for device in devices() {
            let permuted = barlow(&a.permuted(shift), &b.permuted(shift), &device);
            prop_assert!(close(barlow(&a, &b, &device), permuted, 1e-4));
        }
    }

    #[test]
    fn barlow_twins_is_invariant_to_a_positive_scale_and_shift_of_each_feature(
        [a, b] in batches(4),
        scales in proptest::collection::vec(0.5f32..20.0, 12),
        shifts in proptest::collection::vec(-3.0f32..3.0, 12),
    ) {
        for device in devices() {
            let moved = a.map(|_, d, v| v * scales[d] + shifts[d]);
            prop_assert!(close(barlow(&a, &b, &device), barlow(&moved, &b, &device), 5e-3));
        }
    }

    /// A peer once shipped a loss for which this does not hold.
    #[test]
    fn barlow_twins_of_x_and_x_is_that_of_x_and_2x_plus_4([a] in batches(4)) {
        for device in devices() {
            let moved = a.map(|_, _, v| 2.0 * v + 4.0);
            prop_assert!(close(barlow(&a, &a, &device), barlow(&a, &moved, &device), 5e-3));
        }
    }

    #[test]
    fn barlow_twins_is_zero_on_identical_uncorrelated_features(
        log2 in 2u32..6,
        dims in 1usize..4,
        scales in proptest::collection::vec(0.5f32..50.0, 4),
    ) {
        // Columns of a Hadamard matrix: zero mean, mutually orthogonal.
        let rows = 1usize << log2;
        let dim = dims.min(rows - 1);
        let sign = |r: usize, c: usize| if (r & (c + 1)).count_ones().is_multiple_of(2) { 1.0 } else { -1.0 };
        let values = (0..rows * dim).map(|i| sign(i / dim, i % dim) * scales[i % dim]).collect();
        let batch = Batch { rows, dim, values };
        for device in devices() {
            let loss = barlow(&batch, &batch, &device);
            prop_assert!((0.0..1e-6).contains(&loss), "{loss}");
        }
    }

    #[test]
    fn standardized_features_have_mean_zero_and_biased_variance_one([a] in batches(4)) {
        for device in devices() {
            let z = standardize(a.tensor(&device));
            let mean: Vec<f32> = z.clone().mean_dim(0).into_data().try_to_vec().unwrap();
            let variance: Vec<f32> = z.square().mean_dim(0).into_data().try_to_vec().unwrap();
            prop_assert!(mean.iter().all(|m| m.abs() < 1e-4), "{mean:?}");
            prop_assert!(variance.iter().all(|v| (v - 1.0).abs() < 2e-3), "{variance:?}");
        }
    }

    #[test]
    fn byol_lies_in_zero_to_eight([q1, q2, z1, z2] in batches(1)) {
        for device in devices() {
            let t = |b: &Batch| b.tensor(&device);
            let loss = scalar(ByolLoss.symmetric((t(&q1), t(&q2)), (t(&z1), t(&z2))));
            prop_assert!((0.0..=8.0 + 1e-5).contains(&loss), "{loss}");
        }
    }

    #[test]
    fn byol_is_symmetric_under_a_swap_of_the_views([q1, q2, z1, z2] in batches(1)) {
        for device in devices() {
            let t = |b: &Batch| b.tensor(&device);
            let loss = scalar(ByolLoss.symmetric((t(&q1), t(&q2)), (t(&z1), t(&z2))));
            let swapped = scalar(ByolLoss.symmetric((t(&q2), t(&q1)), (t(&z2), t(&z1))));
            prop_assert!(close(loss, swapped, 1e-6));
        }
    }

    #[test]
    fn byol_is_zero_for_parallel_vectors([q] in batches(1), scale in 0.1f32..100.0) {
        for device in devices() {
            let parallel = q.map(|_, _, v| v * scale);
            let loss = scalar(regression_loss(q.tensor(&device), parallel.tensor(&device)));
            prop_assert!((0.0..1e-6).contains(&loss), "{loss}");
        }
    }

    #[test]
    fn byol_is_invariant_to_a_positive_scale_of_either_side(
        [q, z] in batches(1), a in 0.1f32..100.0, b in 0.1f32..100.0,
    ) {
        for device in devices() {
            let loss = |q: &Batch, z: &Batch| scalar(regression_loss(q.tensor(&device), z.tensor(&device)));
            let scaled = loss(&q.map(|_, _, v| a * v), &z.map(|_, _, v| b * v));
            prop_assert!(close(loss(&q, &z), scaled, 1e-5));
        }
    }

    #[test]
    fn byol_sends_no_gradient_to_the_target([q, z] in batches(1)) {
        for device in devices().map(Device::autodiff) {
            let (q, z) = (q.tensor(&device).require_grad(), z.tensor(&device).require_grad());
            let gradients = regression_loss(q.clone(), z.clone()).backward();
            prop_assert!(q.grad(&gradients).is_some() && z.grad(&gradients).is_none());
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences([a, b] in batches(4), pick in 0usize..1000) {
        let losses: [&dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<1>; 2] = [
            &|a, b| BarlowTwinsLoss { lambda: 0.5 }.forward(a, b),
            &|a, b| ByolLoss.forward(a, b),
        ];
        let at = pick % a.values.len();
        // The direction of a vector near the origin turns faster than any finite difference can
        // follow; in one dimension it jumps.
        let row = &a.values[at / a.dim * a.dim..][..a.dim];
        prop_assume!(row.iter().map(|v| v * v).sum::<f32>() > 0.25);
        for device in devices() {
            for loss in losses {
                let tracked = a.tensor(&device.clone().autodiff()).require_grad();
                let other = b.tensor(&device.clone().autodiff());
                let gradients = loss(tracked.clone(), other).backward();
                let gradient = tracked.grad(&gradients).unwrap().into_data();
                let analytic = gradient.try_to_vec::<f32>().unwrap()[at];
                // Central differences in f32: the step balances truncation and rounding.
                let h = 2e-2;
                let end = |h: f32| {
                    let moved = a.map(|r, d, v| if r * a.dim + d == at { v + h } else { v });
                    scalar(loss(moved.tensor(&device), b.tensor(&device)))
                };
                let numeric = (end(h) - end(-h)) / (2.0 * h);
                let scale = 1.0 + end(0.0).abs();
                prop_assert!(
                    (numeric - analytic).abs() < 0.03 * scale + 0.1 * analytic.abs(),
                    "{numeric} {analytic}"
                );
            }
        }
    }
}

#[test]
fn losses_are_computed_in_f32_whatever_comes_in() {
    use burn::tensor::FloatDType;
    let device = Device::flex();
    // Tiny vectors, whose squares underflow in half precision.
    let tiny = Tensor::<2>::from_floats([[1e-4, 2e-4], [3e-4, -1e-4], [-2e-4, 1e-4]], &device);
    let half = tiny.cast(FloatDType::F16);
    let byol = scalar(regression_loss(half.clone(), half.clone()));
    assert!((0.0..1e-6).contains(&byol), "{byol}");
    let barlow = BarlowTwinsLoss::default().forward(half.clone(), half);
    assert!(scalar(barlow).is_finite());
}

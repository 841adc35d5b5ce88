//! Property-based tests of what the documentation of SimCLR's, MoCo v3's, SimSiam's, VICReg's,
//! W-MSE's, DINO's and LeJEPA's losses promises, on both CPU backends. Their gradients are held
//! against finite differences in f64, in `reference_f64`.

use burn::tensor::{Device, FloatDType, Tensor};
use proptest::prelude::*;
use selfsame_losses::{
    BarlowTwinsLoss, DinoLoss, JointEmbeddingLoss, LeJepaLoss, MocoV3Loss, NtXentLoss, SigReg,
    SimSiamLoss, VicRegLoss, WMseLoss, epps_pulley, negative_cosine, normalized_distance, whiten,
};
use selfsame_tests::batches::{Batch, batches, batches_of, close, devices, scalar};
use selfsame_tests::inputs::{noise, tensor, unit, values};

fn loss(objective: &impl JointEmbeddingLoss, a: &Batch, b: &Batch, device: &Device) -> f32 {
    scalar(objective.forward(a.tensor(device), b.tensor(device)))
}

/// `x ↦ x − 2 v ⟨v, x⟩ / ‖v‖²` in every row: orthogonal, and two of them make a rotation.
fn reflected(batch: &Batch, v: &[f32]) -> Batch {
    let v = &v[..batch.dim];
    let norm: f32 = v.iter().map(|x| x * x).sum();
    let dots: Vec<f32> = batch
        .values
        .chunks(batch.dim)
        .map(|row| row.iter().zip(v).map(|(x, v)| x * v).sum())
        .collect();
    batch.map(|r, d, x| x - 2.0 * v[d] * dots[r] / norm)
}

fn features_reversed(batch: &Batch) -> Batch {
    batch.map(|r, d, _| batch.values[r * batch.dim + batch.dim - 1 - d])
}

/// Vectors far from zero, for reflections.
fn axis() -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(0.2f32..1.0, 12)
}

fn temperature() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.5f32), Just(0.05)]
}

/// Enough images for whitening, in at least two dimensions: in one every direction is a sign, which
/// may flip.
fn spanning<const N: usize>() -> impl Strategy<Value = [Batch; N]> {
    batches_of(24..48, 2..8)
}

/// A loss as a function of its learning tensor and the other one.
type Loss = fn(Tensor<2>, Tensor<2>) -> Tensor<1>;

fn all_losses() -> [(&'static str, Loss); 8] {
    [
        ("NT-Xent", |a, b| NtXentLoss { temperature: 0.05 }.forward(a, b)),
        ("MoCo v3", |a, b| MocoV3Loss { temperature: 0.05 }.forward(a, b)),
        ("SimSiam", |a, b| SimSiamLoss.symmetric((a.clone(), a), (b.clone(), b))),
        ("VICReg", |a, b| VicRegLoss::default().forward(a, b)),
        ("W-MSE", |a, b| WMseLoss { sub_batch: 128, epsilon: 0.0 }.forward(a, b)),
        ("DINO", |a, b| {
            let [_, dim] = b.dims();
            let center = Tensor::zeros([dim], &b.device());
            DinoLoss::default().symmetric((a.clone(), a), (b.clone(), b), center, 0.04)
        }),
        ("LeJEPA", |a, b| LeJepaLoss::default().forward(a, b, 1)),
        ("SIGReg", |a, _| SigReg::default().forward(a, 1)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn nt_xent_is_symmetric_in_its_views_and_not_negative([a, b] in batches(1), temperature in temperature()) {
        let objective = NtXentLoss { temperature };
        for device in devices() {
            let value = loss(&objective, &a, &b, &device);
            prop_assert!(value >= 0.0, "{value}");
            prop_assert!(close(value, loss(&objective, &b, &a, &device), 1e-4));
        }
    }

    #[test]
    fn nt_xent_is_invariant_to_a_permutation_of_the_batch(
        [a, b] in batches(1), temperature in temperature(), shift in 0usize..24,
    ) {
        let objective = NtXentLoss { temperature };
        for device in devices() {
            let permuted = loss(&objective, &a.permuted(shift), &b.permuted(shift), &device);
            prop_assert!(close(loss(&objective, &a, &b, &device), permuted, 1e-4));
        }
    }

    #[test]
    fn nt_xent_and_moco_are_invariant_to_a_common_rotation(
        [a, b] in batches(1), temperature in temperature(), u in axis(), v in axis(),
    ) {
        let rotated = |z: &Batch| reflected(&reflected(z, &u), &v);
        for device in devices() {
            let nt_xent = NtXentLoss { temperature };
            let [value, turned] = [loss(&nt_xent, &a, &b, &device), loss(&nt_xent, &rotated(&a), &rotated(&b), &device)];
            prop_assert!(close(value, turned, 3e-4), "{value} {turned}");
            let moco = MocoV3Loss { temperature };
            let [value, turned] = [loss(&moco, &a, &b, &device), loss(&moco, &rotated(&a), &rotated(&b), &device)];
            prop_assert!(close(value, turned, 3e-4), "{value} {turned}");
        }
    }

    #[test]
    fn nt_xent_moco_and_simsiam_are_invariant_to_a_positive_scale_of_every_row(
        [a, b] in batches(1),
        temperature in temperature(),
        scales in proptest::collection::vec(0.1f32..50.0, 48),
    ) {
        let [moved_a, moved_b] = [a.map(|r, _, v| v * scales[r]), b.map(|r, _, v| v * scales[24 + r])];
        for device in devices() {
            let nt_xent = NtXentLoss { temperature };
            prop_assert!(close(loss(&nt_xent, &a, &b, &device), loss(&nt_xent, &moved_a, &moved_b, &device), 1e-4));
            let moco = MocoV3Loss { temperature };
            prop_assert!(close(loss(&moco, &a, &b, &device), loss(&moco, &moved_a, &moved_b, &device), 1e-4));
            let simsiam = |a: &Batch, b: &Batch| scalar(negative_cosine(a.tensor(&device), b.tensor(&device)));
            prop_assert!(close(simsiam(&a, &b), simsiam(&moved_a, &moved_b), 1e-5));
        }
    }

    #[test]
    fn cold_contrastive_losses_have_finite_gradients([a, b] in batches(1)) {
        // Views equal: the positive is the nearest by far, and the masked self-similarity is as
        // near.
        for (a, b) in [(&a, &b), (&a, &a)] {
            for device in devices().map(Device::autodiff) {
                let objectives: [&dyn JointEmbeddingLoss; 2] =
                    [&NtXentLoss { temperature: 0.05 }, &MocoV3Loss { temperature: 0.05 }];
                for objective in objectives {
                    let z = a.tensor(&device).require_grad();
                    let gradients = objective.forward(z.clone(), b.tensor(&device)).backward();
                    let gradient = values(z.grad(&gradients).unwrap());
                    prop_assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
                }
            }
        }
    }

    #[test]
    fn symmetric_losses_are_symmetric_under_a_swap_of_the_views([q1, q2, z1, z2] in batches(1)) {
        for device in devices() {
            let pair = |x: &Batch, y: &Batch| (x.tensor(&device), y.tensor(&device));
            let center = || q1.tensor(&device).mean_dim(0).squeeze_dim::<1>(0);
            let moco = |q, k| scalar(MocoV3Loss::default().symmetric(q, k));
            let simsiam = |p, z| scalar(SimSiamLoss.symmetric(p, z));
            let dino = |s, t| scalar(DinoLoss::default().symmetric(s, t, center(), 0.04));
            let both = |f: &dyn Fn((Tensor<2>, Tensor<2>), (Tensor<2>, Tensor<2>)) -> f32| {
                [f(pair(&q1, &q2), pair(&z1, &z2)), f(pair(&q2, &q1), pair(&z2, &z1))]
            };
            for [value, swapped] in [both(&moco), both(&simsiam), both(&dino)] {
                prop_assert!(close(value, swapped, 1e-5), "{value} {swapped}");
            }
        }
    }

    #[test]
    fn moco_and_simsiam_send_no_gradient_to_keys_and_projections([q, z] in batches(1)) {
        for device in devices().map(Device::autodiff) {
            let (q, z) = (q.tensor(&device).require_grad(), z.tensor(&device).require_grad());
            let pair = |x: &Tensor<2>| (x.clone(), x.clone());
            for value in [
                MocoV3Loss::default().symmetric(pair(&q), pair(&z)),
                SimSiamLoss.symmetric(pair(&q), pair(&z)),
            ] {
                let gradients = value.backward();
                prop_assert!(q.grad(&gradients).is_some() && z.grad(&gradients).is_none());
            }
        }
    }

    #[test]
    fn simsiam_lies_in_minus_one_to_one([p1, p2, z1, z2] in batches(1)) {
        for device in devices() {
            let t = |b: &Batch| b.tensor(&device);
            let value = scalar(SimSiamLoss.symmetric((t(&p1), t(&p2)), (t(&z1), t(&z2))));
            prop_assert!(value.abs() <= 1.0 + 1e-6, "{value}");
        }
    }

    #[test]
    fn negative_cosine_is_half_the_normalized_distance_minus_one([a, b] in batches(1)) {
        for device in devices() {
            let cosine = scalar(negative_cosine(a.tensor(&device), b.tensor(&device)));
            let distance = scalar(normalized_distance(a.tensor(&device), b.tensor(&device)));
            prop_assert!(close(cosine, 0.5 * distance - 1.0, 1e-5), "{cosine} {distance}");
        }
    }

    #[test]
    fn vicreg_is_symmetric_in_its_views_and_not_negative([a, b] in batches(2)) {
        for device in devices() {
            let value = loss(&VicRegLoss::default(), &a, &b, &device);
            prop_assert!(value >= 0.0, "{value}");
            prop_assert!(close(value, loss(&VicRegLoss::default(), &b, &a, &device), 1e-5));
        }
    }

    #[test]
    fn vicreg_is_invariant_to_permutations_and_to_a_common_shift(
        [a, b] in batches(2), shift in 0usize..24, shifts in proptest::collection::vec(-3.0f32..3.0, 12),
    ) {
        let rows = |z: &Batch| z.permuted(shift);
        let moved = |z: &Batch| z.map(|_, d, v| v + shifts[d]);
        for device in devices() {
            let value = loss(&VicRegLoss::default(), &a, &b, &device);
            let maps: [&dyn Fn(&Batch) -> Batch; 3] = [&rows, &features_reversed, &moved];
            for map in maps {
                let other = loss(&VicRegLoss::default(), &map(&a), &map(&b), &device);
                prop_assert!(close(value, other, 1e-4), "{value} {other}");
            }
        }
    }

    /// Maps of a condition number up to 30: `x ↦ reflection(scales · reflection(x)) + shift`. The
    /// bound is f32's rounding, 6e-8, times the covariance's condition number, about 30² · 10.
    #[test]
    fn w_mse_is_invariant_to_an_invertible_linear_map_and_a_shift(
        [a, b] in spanning(),
        u in axis(),
        v in axis(),
        scales in proptest::collection::vec(1.0f32..30.0, 12),
        shifts in proptest::collection::vec(-3.0f32..3.0, 12),
        sub_batch in prop_oneof![Just(16usize), Just(100)],
    ) {
        let map = |z: &Batch| {
            let scaled = reflected(z, &u).map(|_, d, x| x * scales[d]);
            reflected(&scaled, &v).map(|_, d, x| x + shifts[d])
        };
        let objective = WMseLoss { sub_batch, epsilon: 0.0 };
        for device in devices() {
            let [value, mapped] = [loss(&objective, &a, &b, &device), loss(&objective, &map(&a), &map(&b), &device)];
            prop_assert!(close(value, mapped, 5e-4), "{value} {mapped}");
        }
    }

    #[test]
    fn w_mse_is_symmetric_and_invariant_to_a_permutation_within_a_slice([a, b] in spanning(), shift in 0usize..48) {
        let objective = WMseLoss { sub_batch: 100, epsilon: 1e-3 };
        for device in devices() {
            let value = loss(&objective, &a, &b, &device);
            prop_assert!((0.0..=4.0).contains(&value), "{value}");
            prop_assert!(close(value, loss(&objective, &b, &a, &device), 1e-4));
            let permuted = loss(&objective, &a.permuted(shift), &b.permuted(shift), &device);
            prop_assert!(close(value, permuted, 1e-4), "{value} {permuted}");
        }
    }

    #[test]
    fn w_mse_of_equal_views_is_zero([a] in spanning()) {
        for device in devices() {
            prop_assert_eq!(loss(&WMseLoss { sub_batch: 16, epsilon: 0.0 }, &a, &a, &device), 0.0);
        }
    }

    /// Every slice is its own problem, and the loss is the mean over images.
    #[test]
    fn w_mse_is_the_mean_of_its_slices([a, b] in batches_of(24..36, 2..8)) {
        for device in devices() {
            let [first, rest] = [(0, 12), (12, a.rows - 12)].map(|(start, len)| {
                let part = |z: &Batch| z.tensor(&device).narrow(0, start, len);
                let objective = WMseLoss { sub_batch: len, epsilon: 0.0 };
                scalar(objective.forward(part(&a), part(&b))) * len as f32
            });
            let value = loss(&WMseLoss { sub_batch: 12, epsilon: 0.0 }, &a, &b, &device);
            prop_assert!(close(value, (first + rest) / a.rows as f32, 1e-5));
        }
    }

    #[test]
    fn whitened_features_have_mean_zero_and_covariance_identity([a] in spanning(), factor in 0.01f32..100.0) {
        for device in devices() {
            let z = whiten(a.map(|_, d, x| x * factor * (1.0 + d as f32)).tensor(&device), 0.0);
            let mean = values(z.clone().mean_dim(0));
            prop_assert!(mean.iter().all(|m| m.abs() < 1e-4), "{mean:?}");
            let covariance = z.clone().transpose().matmul(z).div_scalar(a.rows as f32 - 1.0);
            let error = scalar((covariance - Tensor::eye(a.dim, &device)).abs().max());
            prop_assert!(error < 1e-3, "{error}");
        }
    }

    #[test]
    fn dino_sends_no_gradient_to_the_teacher_or_the_centre([s, t] in batches(2)) {
        for device in devices().map(Device::autodiff) {
            let (s, t) = (s.tensor(&device).require_grad(), t.tensor(&device).require_grad());
            let center = t.clone().mean_dim(0).squeeze_dim::<1>(0);
            let pair = |x: &Tensor<2>| (x.clone(), x.clone());
            let gradients = DinoLoss::default().symmetric(pair(&s), pair(&t), center, 0.04).backward();
            prop_assert!(s.grad(&gradients).is_some() && t.grad(&gradients).is_none());
        }
    }

    #[test]
    fn dino_is_invariant_to_a_constant_added_to_all_logits(
        [s1, s2, t1, t2] in batches(2), constants in proptest::collection::vec(-3.0f32..3.0, 24),
    ) {
        let moved = |z: &Batch| z.map(|r, _, v| v + constants[r]);
        for device in devices() {
            let value = |[s1, s2, t1, t2]: [&Batch; 4]| {
                let t = |z: &Batch| z.tensor(&device);
                let center = Tensor::<1>::zeros([s1.dim], &device);
                scalar(DinoLoss::default().symmetric((t(s1), t(s2)), (t(t1), t(t2)), center, 0.04))
            };
            let original = value([&s1, &s2, &t1, &t2]);
            prop_assert!(original >= 0.0, "{original}");
            let shifted = value([&moved(&s1), &moved(&s2), &moved(&t1), &moved(&t2)]);
            prop_assert!(close(original, shifted, 1e-4), "{original} {shifted}");
        }
    }

    #[test]
    fn sigreg_is_invariant_to_a_permutation_of_the_batch([a] in batches(1), shift in 0usize..24, seed: u64) {
        let sigreg = SigReg { slices: 16, knots: 17 };
        for device in devices() {
            let [value, permuted] = [&a, &a.permuted(shift)].map(|z| scalar(sigreg.forward(z.tensor(&device), seed)));
            prop_assert!(value >= 0.0 && close(value, permuted, 1e-5), "{value} {permuted}");
        }
    }

    #[test]
    fn sigreg_has_one_value_for_one_seed_on_every_device([a] in batches(1), seed: u64) {
        let sigreg = SigReg { slices: 16, knots: 17 };
        let [flex, ndarray] = devices().map(|device| {
            let value = || scalar(sigreg.forward(a.tensor(&device), seed));
            (value(), value())
        });
        prop_assert_eq!(flex.0, flex.1);
        prop_assert!(close(flex.0, ndarray.0, 1e-5), "{flex:?} {ndarray:?}");
    }

    #[test]
    fn epps_pulley_is_invariant_to_the_sign_of_a_column([a] in batches(1)) {
        for device in devices() {
            let mirrored = a.map(|_, d, v| if d % 2 == 0 { -v } else { v });
            let [value, other] = [&a, &mirrored].map(|z| scalar(epps_pulley(z.tensor(&device), 17)));
            prop_assert!(close(value, other, 1e-6), "{value} {other}");
        }
    }

    #[test]
    fn le_jepa_is_symmetric_in_its_views_and_weighs_its_terms([a, b] in batches(1), seed: u64) {
        let objective = LeJepaLoss { lambda: 0.3, sigreg: SigReg { slices: 16, knots: 17 } };
        for device in devices() {
            let value = |a: &Batch, b: &Batch| scalar(objective.forward(a.tensor(&device), b.tensor(&device), seed));
            prop_assert!(close(value(&a, &b), value(&b, &a), 1e-5));
            let terms = objective.terms(a.tensor(&device), b.tensor(&device), seed);
            let each = |z: &Batch| scalar(objective.sigreg.forward(z.tensor(&device), seed));
            prop_assert!(close(scalar(terms.sigreg.clone()), (each(&a) + each(&b)) / 2.0, 1e-5));
            let sum = 0.7 * scalar(terms.prediction) + 0.3 * scalar(terms.sigreg);
            prop_assert!(close(value(&a, &b), sum, 1e-5));
        }
    }

    #[test]
    fn barlow_twins_terms_are_those_of_its_cross_correlation([a, b] in batches(4)) {
        for device in devices() {
            let [x, y] = [&a, &b].map(|z| selfsame_losses::standardize(z.tensor(&device)));
            let c = x.clone().transpose().matmul(y.clone()).div_scalar(a.rows as f32);
            let c: Vec<f32> = c.into_data().try_to_vec().unwrap();
            let term = |on: bool, of: fn(f64) -> f64| -> f64 {
                let entries = c.iter().enumerate().filter(|(i, _)| (i / a.dim == i % a.dim) == on);
                entries.map(|(_, c)| of(f64::from(*c))).sum()
            };
            let (invariance, redundancy) = (term(true, |c| (1.0 - c).powi(2)), term(false, |c| c * c));
            let terms = BarlowTwinsLoss::default().terms(a.tensor(&device), b.tensor(&device));
            prop_assert!(close(scalar(terms.invariance), invariance as f32, 1e-4));
            prop_assert!(close(scalar(terms.redundancy), redundancy as f32, 1e-4));
        }
    }

    #[test]
    fn what_is_not_finite_gives_a_loss_that_is_not(
        [a, b] in batches(4), at in 0usize..1000, bad in prop_oneof![Just(f32::NAN), Just(f32::INFINITY)],
    ) {
        let at = at % a.values.len();
        let spoilt = a.map(|r, d, v| if r * a.dim + d == at { bad } else { v });
        for device in devices() {
            for (name, objective) in all_losses() {
                let value = scalar(objective(spoilt.tensor(&device), b.tensor(&device)));
                prop_assert!(!value.is_finite(), "{name}: {value}");
            }
        }
    }
}

#[test]
fn sigreg_is_small_on_normal_samples_and_large_on_a_collapsed_batch() {
    for device in devices() {
        for (batch, dim) in [(64, 32), (512, 32)] {
            // The sum of twelve uniforms less 6 is normal enough, of variance 1.
            let uniform = unit(batch as u64, batch * dim * 12);
            let normal = uniform.chunks(12).map(|u| u.iter().sum::<f32>() - 6.0).collect();
            let normal = Batch { rows: batch, dim, values: normal };
            let value = |z: &Batch| scalar(SigReg::default().forward(z.tensor(&device), 1));
            // 1.05 in the mean on paper.
            assert!((0.7..1.5).contains(&value(&normal)), "{}", value(&normal));
            for collapsed in [normal.map(|_, _, _| 0.0), normal.map(|_, _, _| 0.5)] {
                assert!(value(&collapsed) > 0.3 * batch as f32, "{}", value(&collapsed));
            }
            // A tenth of the variance in every other feature is seen too.
            let flat = normal.map(|_, d, v| if d % 2 == 0 { 0.3 * v } else { v });
            assert!(value(&flat) > 1.5 * value(&normal), "{}", value(&flat));
        }
    }
}

#[test]
fn losses_are_computed_in_f32_whatever_comes_in() {
    let device = Device::flex();
    // Small vectors, whose squares underflow in half precision.
    let half = tensor::<2>(noise(1, 16 * 3, 1e-4, 0.0), [16, 3], &device).cast(FloatDType::F16);
    for (name, objective) in all_losses() {
        let value = objective(half.clone(), half.clone());
        assert_eq!(value.dtype(), FloatDType::F32.into(), "{name}");
        assert!(scalar(value).is_finite(), "{name}");
    }
}

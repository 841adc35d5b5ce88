//! Property-based tests of what optimisers, schedules and the momentum target promise.

use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Device;
use proptest::prelude::*;
use selfsame_models::Mlp;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::state_dict;
use selfsame_models::{MlpConfig, weights::Array};
use selfsame_tests::inputs::{tensor, values};
use selfsame_trainers::{
    Lars, LearningRate, MomentumTau, Optimizer, OptimizerConfig, Rule, TauSchedule, TrustRatio,
    update_target,
};

/// A head of one 3 × 2 matrix.
fn matrix(weight: &[f32]) -> Mlp {
    let device = Device::flex().autodiff();
    let config = MlpConfig {
        dims: vec![2, 3],
        hidden_bias: false,
        output_bias: false,
        hidden_norm: true,
        output_norm: false,
    };
    let mut head = config.init(&mut WeightInit::new(0, 0, &device)).unwrap();
    let weight = tensor(weight.to_vec(), [3, 2], &device);
    head.layers[0].linear.weight = Param::from_tensor(weight);
    head
}

fn weight(head: &Mlp) -> Vec<f32> {
    values(head.layers[0].linear.weight.val())
}

fn lars_steps(start: &[f32], gradient: &[f32], trust_ratio: TrustRatio, steps: usize) -> Vec<f32> {
    let config = OptimizerConfig {
        rule: Rule::Lars(Lars { momentum: 0.9, eta: 0.02, trust_ratio, clip: false }),
        weight_decay: 0.0,
        exclude_bias_and_norm: true,
    };
    let mut optimizer = Optimizer::new(config).unwrap();
    let mut head = matrix(start);
    for _ in 0..steps {
        let mut gradients = GradientsParams::new();
        let id = head.layers[0].linear.weight.id;
        gradients.register::<2>(id, tensor(gradient.to_vec(), [3, 2], &Device::flex()));
        head = optimizer.step(head, gradients, 0.5);
    }
    weight(&head)
}

/// Six values, none so small that f32 loses it in a norm.
fn six() -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(prop_oneof![-2.0f32..-0.05, 0.05f32..2.0], 6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lars_is_invariant_to_the_gradients_scale_without_weight_decay(
        w in six(), g in six(), log_scale in -6.0f32..6.0, steps in 1usize..5,
    ) {
        let scaled: Vec<f32> = g.iter().map(|g| g * 10f32.powf(log_scale)).collect();
        for trust in [TrustRatio::Combined, TrustRatio::Separate] {
            // The separate form adds 1e-8 to the norm, which the smallest gradients feel.
            let tolerance = if trust == TrustRatio::Combined { 1e-5 } else { 2e-2 };
            let pairs = lars_steps(&w, &g, trust, steps).into_iter()
                .zip(lars_steps(&w, &scaled, trust, steps));
            for (a, b) in pairs {
                prop_assert!((a - b).abs() < tolerance, "{trust:?}: {a} {b}");
            }
        }
    }

    #[test]
    fn the_momentum_target_stays_inside_the_hull_of_its_inputs(
        start in six(), online in proptest::collection::vec(six(), 1..8), tau in 0.0f64..=1.0,
    ) {
        let mut target = matrix(&start);
        for values in &online {
            target = update_target(target, &matrix(values), tau);
        }
        for (i, value) in weight(&target).into_iter().enumerate() {
            let inputs = online.iter().map(|o| o[i]).chain([start[i]]);
            let (low, high) = inputs.fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
            prop_assert!((low - 1e-6..=high + 1e-6).contains(&value), "{low} {value} {high}");
        }
    }

    #[test]
    fn the_learning_rate_starts_peaks_and_ends_where_it_says_and_has_no_jumps(
        peak in 1e-4f64..10.0, warmup in 0u64..50, rest in 1u64..500, last in 0.0f64..1.0,
    ) {
        let (steps, close) = (warmup + rest, 1e-9 * peak);
        let rate =
            LearningRate { peak, warmup_steps: warmup, steps, final_fraction: last };
        let start = if warmup == 0 { peak } else { 0.0 };
        prop_assert!((rate.at(0) - start).abs() < close);
        prop_assert!((rate.at(warmup) - peak).abs() < close);
        prop_assert!((rate.at(steps) - peak * last).abs() < close);
        // No step is larger than the warm-up's slope or the cosine's steepest.
        let steepest = (1.0 / warmup.max(1) as f64)
            .max(std::f64::consts::FRAC_PI_2 * (1.0 - last) / rest as f64) * peak;
        for s in 0..steps {
            prop_assert!((0.0..=peak + close).contains(&rate.at(s)));
            prop_assert!((rate.at(s + 1) - rate.at(s)).abs() <= steepest + close);
        }
    }

    #[test]
    fn tau_rises_from_its_base_to_one_without_jumps(base in 0.0f64..=1.0, steps in 1u64..500) {
        let tau = MomentumTau::new(base, TauSchedule::Cosine).unwrap();
        prop_assert!((tau.at(0, steps) - base).abs() < 1e-12);
        prop_assert!((tau.at(steps, steps) - 1.0).abs() < 1e-12);
        let steepest = std::f64::consts::FRAC_PI_2 * (1.0 - base) / steps as f64;
        for s in 0..steps {
            let rise = tau.at(s + 1, steps) - tau.at(s, steps);
            prop_assert!((-1e-12..=steepest + 1e-12).contains(&rise));
        }
    }

    /// Cut anywhere, an optimiser that goes on from its saved state takes the same steps.
    #[test]
    fn a_run_cut_into_resumes_ends_in_the_same_bits(
        w in six(), g in six(), cut in 1u64..5, which in 0usize..3,
    ) {
        let rule = [
            Rule::Sgd(selfsame_trainers::Sgd { momentum: 0.9, nesterov: true }),
            Rule::AdamW(selfsame_trainers::AdamW::default()),
            Rule::Lars(Lars::default()),
        ][which].clone();
        let config = OptimizerConfig { rule, weight_decay: 0.01, exclude_bias_and_norm: true };
        let rate = LearningRate { peak: 0.1, warmup_steps: 2, steps: 6, final_fraction: 0.0 };
        let run = |cuts: &[u64]| {
            let mut optimizer = Optimizer::new(config.clone()).unwrap();
            let mut head = matrix(&w);
            for step in 0..6 {
                if cuts.contains(&step) {
                    // A new process: new parameter ids, state by name only.
                    let Array { values, .. } = state_dict(&head).unwrap()["layers.0.linear.weight"].clone();
                    let state = optimizer.state_dict().unwrap();
                    head = matrix(&values);
                    optimizer = Optimizer::new(config.clone()).unwrap();
                    optimizer.load_state_dict(&head, &state, step).unwrap();
                }
                let mut gradients = GradientsParams::new();
                let moved: Vec<f32> = g.iter().map(|g| g + step as f32).collect();
                let id = head.layers[0].linear.weight.id;
                gradients.register::<2>(id, tensor(moved, [3, 2], &Device::flex()));
                head = optimizer.step(head, gradients, rate.at(step));
            }
            weight(&head)
        };
        prop_assert_eq!(run(&[]), run(&[cut, cut + 1]));
    }
}

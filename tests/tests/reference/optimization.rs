use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use selfsame_models::init::WeightInit;
use selfsame_models::named::{NamedVisitor, visit_named};
use selfsame_models::weights::state_dict;
use selfsame_models::{Mlp, MlpConfig};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{fill, name_seed, noise_tensor, reference};
use selfsame_trainers::{
    AdamW, Lars, LearningRate, MomentumTau, Optimizer, OptimizerConfig, Rule, Sgd, TauSchedule,
    TrustRatio, update_target,
};

const STEPS: u64 = 50;
const SCHEDULE: LearningRate =
    LearningRate { peak: 0.1, warmup_steps: 5, steps: STEPS, final_fraction: 0.0 };

fn head() -> Mlp {
    let device = Device::flex().autodiff();
    let dims = vec![7, 9, 4];
    let config = MlpConfig {
        dims,
        hidden_bias: true,
        output_bias: true,
        hidden_norm: true,
        output_norm: false,
    };
    fill(config.init(&mut WeightInit::new(0, 0, &device)).unwrap(), str::to_owned)
}

/// The gradient that step `step` prescribes for every parameter.
struct Prescribe {
    step: u64,
    gradients: GradientsParams,
}

impl NamedVisitor for Prescribe {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        if !name.contains("running") {
            let seed = name_seed(name).wrapping_add(self.step);
            let gradient = noise_tensor(seed, param.val().dims(), &Device::flex());
            self.gradients.register::<D>(param.id, gradient);
        }
    }
}

fn compare(item: &mut Item, case: &str, module: &Mlp) {
    let reference = reference("optimizers");
    for (name, ours) in state_dict(module).unwrap() {
        if !name.contains("running") {
            let case = format!("{case}/{name}");
            item.compare(&case, &ours.values, &reference[&case].values);
        }
    }
}

fn follow(item: &mut Item, case: &str, rule: Rule, weight_decay: f64, exclude: bool) {
    let config = OptimizerConfig { rule, weight_decay, exclude_bias_and_norm: exclude };
    let mut optimizer = Optimizer::new(config).unwrap();
    let mut module = head();
    for step in 0..STEPS {
        let mut visitor = Prescribe { step, gradients: GradientsParams::new() };
        visit_named(&module, &mut visitor);
        module = optimizer.step(module, visitor.gradients, SCHEDULE.at(step));
        if [1, 2, 10, STEPS].contains(&(step + 1)) {
            compare(item, &format!("{case}/{}", step + 1), &module);
        }
    }
}

#[test]
fn sgd() {
    let mut item = Item::new("SGD, 50 steps", "PyTorch `SGD`", 1e-5);
    let sgd = |nesterov| Rule::Sgd(Sgd { momentum: 0.9, nesterov });
    follow(&mut item, "sgd", sgd(false), 1e-2, true);
    follow(&mut item, "sgd-nesterov", sgd(true), 1e-2, false);
    item.finish();
}

#[test]
fn adamw() {
    let mut item = Item::new("AdamW, 50 steps", "PyTorch `AdamW`", 1e-5);
    follow(&mut item, "adamw", Rule::AdamW(AdamW::default()), 1e-2, true);
    item.finish();
}

#[test]
fn lars() {
    let rule = |trust_ratio, clip| Rule::Lars(Lars { momentum: 0.9, eta: 0.02, trust_ratio, clip });
    let mut item = Item::new("LARS η‖w‖/(‖g‖ + λ‖w‖), 50 steps", "lightly `LARS`", 1e-5);
    follow(&mut item, "lars-separate", rule(TrustRatio::Separate, false), 1e-2, true);
    item.finish();
    let mut item = Item::new("LARS η‖w‖/‖g + λw‖, 50 steps", "the equation in f64", 1e-5)
        .note("as in the original codes; no package on PyPI has it");
    follow(&mut item, "lars-combined", rule(TrustRatio::Combined, false), 1e-2, true);
    follow(&mut item, "lars-combined-no-decay", rule(TrustRatio::Combined, false), 0.0, true);
    item.finish();
    let mut item = Item::new("LARS with the clipped ratio, 50 steps", "the equation in f64", 1e-5);
    follow(&mut item, "lars-separate-clip", rule(TrustRatio::Separate, true), 1e-2, true);
    item.finish();
}

/// Puts the values of step `step` into the online network.
#[test]
fn momentum_target() {
    let tau = MomentumTau::new(0.9, TauSchedule::Cosine).unwrap();
    let (mut target, online) = (head().no_grad(), head());
    for step in 0..STEPS {
        let mut dict = state_dict(&online).unwrap();
        for (name, array) in &mut dict {
            if !name.contains("running") {
                let seed = name_seed(name).wrapping_add(step);
                let count = array.values.len();
                array.values = selfsame_tests::inputs::noise(seed, count, 1.0, 0.0);
            }
        }
        let online = selfsame_models::weights::load_state_dict(online.clone(), &dict).unwrap();
        target = update_target(target, &online, tau.at(step, STEPS));
    }
    let mut item =
        Item::new("momentum target, 50 steps", "PyTorch, lightly `cosine_schedule`", 1e-5);
    compare(&mut item, "ema/50", &target);
    item.finish();
}

#[test]
fn schedules() {
    let reference = reference("schedules");
    let mut item = Item::new("warm-up and cosine", "PyTorch `CosineAnnealingLR`", 1e-5);
    for (peak, warmup_steps, steps, final_fraction) in
        [(0.4, 0, 10, 0.0), (0.4, 10, 110, 0.001), (1.0, 3, 7, 0.0), (3.2, 100, 1000, 0.1)]
    {
        let rate = LearningRate { peak, warmup_steps, steps, final_fraction };
        let ours: Vec<f32> = (0..=steps).map(|s| rate.at(s) as f32).collect();
        let case = format!("learning-rate/{peak}/{warmup_steps}/{steps}/{final_fraction}");
        item.compare(&case, &ours, &reference[&case].values);
    }
    item.finish();
    let mut item = Item::new("τ schedule", "lightly `cosine_schedule`", 1e-5).note(
        "with its max_steps one higher: it reaches 1 a step before the paper's equation does",
    );
    for (base, steps) in [(0.99, 10), (0.996, 1000), (0.0, 7), (1.0, 3)] {
        let tau = MomentumTau::new(base, TauSchedule::Cosine).unwrap();
        let ours: Vec<f32> = (0..=steps).map(|s| tau.at(s, steps) as f32).collect();
        let case = format!("tau/{base}/{steps}");
        item.compare(&case, &ours, &reference[&case].values);
    }
    item.finish();
}

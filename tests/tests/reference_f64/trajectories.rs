use burn::tensor::Device;
use selfsame_models::weights::state_dict;
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{fill, images, reference};
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, Lars, LearningRate, Method, MethodSettings, OptimizerConfig,
    Rule, Sgd, Trainer, TrainerConfig, TrustRatio, Views,
};

const STEPS: u64 = 20;
const BATCH: usize = 16;
const SIDE: usize = 16;

/// The views of step `step` in `accumulation` parts.
fn micro_batches(step: u64, accumulation: usize) -> Vec<Views> {
    let seed = 10_000 + 100 * step;
    let first = images(seed, BATCH, SIDE);
    let second: Vec<f32> = images(seed + 10, BATCH, SIDE)
        .iter()
        .zip(&first)
        .map(|(b, a)| ((f64::from(*b) + f64::from(*a)) * 0.5) as f32)
        .collect();
    let length = first.len() / accumulation;
    let parts = first.chunks(length).zip(second.chunks(length));
    parts
        .map(|(a, b)| {
            Views::on_host([a.to_vec(), b.to_vec()], [BATCH / accumulation, 3, SIDE, SIDE])
        })
        .collect()
}

fn follow<M: Method>(name: &str, sgd_rate: f64, build: impl Fn(&Device) -> M) {
    let reference = reference("trajectories");
    let device = crate::device().autodiff();
    let source = "PyTorch, torchvision blocks, f64";
    let title = |what: &str| -> &'static str { format!("{name}: {what}").leak() };
    let mut losses = Item::new(title("loss of each of 20 steps, f64"), source, 1e-3).note(
        "in f32 a ReLU flips after three to six steps and the runs part, PyTorch's own f32 run from \
         its f64 run as well",
    );
    let mut weights = Item::new(title("weights after 20 steps, f64"), source, 1e-3);
    let lars = Lars { eta: 0.01, trust_ratio: TrustRatio::Combined, ..Lars::default() };
    for (rule_name, rule, peak) in [
        ("sgd", Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }), sgd_rate),
        ("lars", Rule::Lars(lars), 1.0),
    ] {
        for accumulation in [1, 2] {
            let case = format!("{name}/{rule_name}/{accumulation}");
            // The target starts as a copy of the online network.
            let method = fill(build(&device), |n| n.replace("target.", "online."));
            let config = TrainerConfig {
                optimizer: OptimizerConfig {
                    rule: rule.clone(),
                    weight_decay: 1e-3,
                    exclude_bias_and_norm: true,
                },
                learning_rate: LearningRate {
                    peak,
                    warmup_steps: 4,
                    steps: STEPS,
                    final_fraction: 0.0,
                },
                accumulation,
            };
            let mut trainer = Trainer::new(method, config, &device).unwrap();
            let ours: Vec<f32> = (0..STEPS)
                .map(|step| trainer.step(micro_batches(step, accumulation)).unwrap().loss)
                .collect();
            let expected = &reference[&format!("{case}/losses")].values;
            for (step, (ours, expected)) in ours.iter().zip(expected).enumerate() {
                losses.compare(&format!("{case}, step {}", step + 1), &[*ours], &[*expected]);
            }
            for (parameter, ours) in state_dict(trainer.method()).unwrap() {
                let expected = &reference[&format!("{case}/final/{parameter}")].values;
                weights.compare(&format!("{case}, {parameter}"), &ours.values, expected);
            }
        }
    }
    losses.finish();
    weights.finish();
}

fn encoder() -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 4,
        zero_init_residual: false,
    }
}

#[test]
fn byol() {
    let config = ByolConfig {
        projector_hidden: 32,
        projector_dim: 16,
        predictor_hidden: 32,
        tau_base: 0.9,
        ..ByolConfig::default()
    };
    follow("byol", 0.05, |device| {
        config.build(encoder().build(0, device).unwrap(), 0, device).unwrap()
    });
}

#[test]
fn barlow_twins() {
    let config = BarlowTwinsConfig {
        projector: vec![32, 32],
        lambda: 0.0051,
        ..BarlowTwinsConfig::default()
    };
    follow("barlow-twins", 0.002, |device| {
        config.build(encoder().build(0, device).unwrap(), 0, device).unwrap()
    });
}

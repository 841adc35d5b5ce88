//! A run stopped and resumed from its checkpoint ends in the same bits as one never stopped.

use burn::tensor::Device;
use selfsame_models::weights::state_dict;
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{
    AdamW, BarlowTwinsConfig, ByolConfig, Checkpoint, DinoConfig, Lars, LeJepaConfig, LearningRate,
    Method, OptimizerConfig, Rule, Sgd, TauSchedule, TrainError, Trainer, TrainerConfig, Views,
};

const STEPS: u64 = 6;

fn encoder(base_width: usize) -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width,
        zero_init_residual: false,
    }
}

fn config(rule: Rule, accumulation: usize) -> TrainerConfig {
    TrainerConfig {
        optimizer: OptimizerConfig { rule, weight_decay: 1e-4, exclude_bias_and_norm: true },
        learning_rate: LearningRate {
            peak: 0.05,
            warmup_steps: 2,
            steps: STEPS,
            final_fraction: 0.0,
        },
        accumulation,
    }
}

/// Any fixed pixels do; they only have to differ between steps and views.
fn views(step: u64) -> Vec<Views> {
    let shape = [4, 3, 8, 8];
    let pixels = |view: u64| {
        (0..shape.iter().product::<usize>() as u64)
            .map(|i| {
                let hash = (i + 1000 * step + 7_777_777 * view).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (hash >> 40) as f32 / (1u64 << 23) as f32 - 1.0
            })
            .collect()
    };
    vec![Views { pixels: [pixels(0), pixels(1)], shape }]
}

fn byol(rule: Rule) -> Trainer<impl Method> {
    let device = Device::flex().autodiff();
    let byol = ByolConfig {
        projector_hidden: 16,
        projector_dim: 8,
        predictor_hidden: 16,
        tau_base: 0.9,
        ..ByolConfig::default()
    };
    let method = byol.init(&encoder(2), 3, &device).unwrap();
    Trainer::new(method, config(rule, 1), &device).unwrap()
}

fn barlow_twins(rule: Rule) -> Trainer<impl Method> {
    let device = Device::flex().autodiff();
    let barlow =
        BarlowTwinsConfig { projector: vec![16, 8], lambda: 0.005, ..BarlowTwinsConfig::default() };
    let method = barlow.init(&encoder(2), 3, &device).unwrap();
    Trainer::new(method, config(rule, 1), &device).unwrap()
}

fn rules() -> [Rule; 3] {
    [
        Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
        Rule::AdamW(AdamW::default()),
        Rule::Lars(Lars::default()),
    ]
}

fn continues_exactly<M: Method>(build: impl Fn() -> Trainer<M>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let mut whole = build();
    for step in 0..STEPS {
        whole.step(views(step)).unwrap();
        if step == 2 {
            Checkpoint::save(&whole, &serde_json::json!({"seed": 3}), &path).unwrap();
        }
    }
    let checkpoint = Checkpoint::read(&path).unwrap();
    assert_eq!((checkpoint.header.step, &checkpoint.header.run["seed"]), (3, &3.into()));
    let mut resumed = build();
    checkpoint.restore(&mut resumed).unwrap();
    for step in resumed.steps_done()..STEPS {
        resumed.step(views(step)).unwrap();
    }
    assert_eq!(state_dict(whole.method()).unwrap(), state_dict(resumed.method()).unwrap());
    assert_eq!(whole.optimizer().state_dict().unwrap(), resumed.optimizer().state_dict().unwrap());
}

#[test]
fn byol_resumes_bit_for_bit_with_every_optimizer() {
    for rule in rules() {
        continues_exactly(|| byol(rule.clone()));
    }
}

#[test]
fn barlow_twins_resumes_bit_for_bit_with_every_optimizer() {
    for rule in rules() {
        continues_exactly(|| barlow_twins(rule.clone()));
    }
}

/// Its centre is a state that no optimiser knows.
#[test]
fn dino_resumes_bit_for_bit() {
    let config = DinoConfig {
        projector_hidden: 16,
        bottleneck: 8,
        prototypes: 12,
        student_temperature: 0.1,
        teacher_temperature: 0.07,
        teacher_temperature_start: 0.04,
        teacher_warmup: 0.9,
        center_momentum: 0.9,
        tau_base: 0.9,
        tau_schedule: TauSchedule::Cosine,
    };
    continues_exactly(|| {
        let device = Device::flex().autodiff();
        let method = config.init(&encoder(2), 3, &device).unwrap();
        Trainer::new(method, self::config(rules()[0].clone(), 1), &device).unwrap()
    });
}

/// Its random directions go by the step.
#[test]
fn lejepa_resumes_bit_for_bit() {
    let config = LeJepaConfig { projector: vec![16, 8], lambda: 0.05, slices: 16 };
    continues_exactly(|| {
        let device = Device::flex().autodiff();
        let method = config.init(&encoder(2), 3, &device).unwrap();
        Trainer::new(method, self::config(rules()[0].clone(), 1), &device).unwrap()
    });
}

#[test]
fn a_checkpoint_of_another_model_or_optimizer_is_refused_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    let [sgd, adamw, _] = rules();
    let mut saved = byol(sgd.clone());
    saved.step(views(0)).unwrap();
    Checkpoint::save(&saved, &serde_json::Value::Null, &path).unwrap();
    let checkpoint = Checkpoint::read(&path).unwrap();

    let mut other = barlow_twins(sgd);
    let before = state_dict(other.method()).unwrap();
    assert!(matches!(checkpoint.restore(&mut other), Err(TrainError::Model(_))));
    assert_eq!(state_dict(other.method()).unwrap(), before);

    let mut other = byol(adamw);
    let error = checkpoint.restore(&mut other).unwrap_err().to_string();
    assert!(error.contains("state"), "{error}");
    assert_eq!(other.steps_done(), 0);
}

#[test]
fn damaged_checkpoints_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.safetensors");
    assert!(Checkpoint::read(&path).is_err());
    Checkpoint::save(&byol(rules()[0].clone()), &serde_json::Value::Null, &path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for len in [0, 9, bytes.len() / 3, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let error = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(error.contains("last.safetensors"), "{error}");
    }
}

//! What all methods promise.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use selfsame_models::weights::state_dict;
use selfsame_models::{Architecture, Encoder, ResNet, ResNetConfig, Stem};
use selfsame_trainers::{
    ByolConfig, Dino, DinoConfig, LeJepaConfig, LearningRate, Method, MethodSettings, MocoV3Config,
    OptimizerConfig, Position, Rule, Sgd, SimClrConfig, SimSiamConfig, Step, TauSchedule, Trainer,
    TrainerConfig, VicRegConfig, Views, WMseConfig,
};

const IMAGES: usize = 32;

fn encoder() -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 2,
        zero_init_residual: false,
    }
}

fn byol() -> ByolConfig {
    ByolConfig {
        projector_hidden: 16,
        projector_dim: 8,
        predictor_hidden: 16,
        tau_base: 0.9,
        ..ByolConfig::default()
    }
}

fn simclr() -> SimClrConfig {
    SimClrConfig { projector_hidden: 16, projector_dim: 8, temperature: 0.5 }
}

fn moco_v3() -> MocoV3Config {
    MocoV3Config {
        projector_hidden: 16,
        projector_dim: 8,
        predictor_hidden: 16,
        temperature: 0.5,
        tau_base: 0.9,
        tau_schedule: TauSchedule::Cosine,
    }
}

fn simsiam() -> SimSiamConfig {
    SimSiamConfig { projector_dim: 16, predictor_hidden: 8, predictor: true, stop_gradient: true }
}

fn vicreg() -> VicRegConfig {
    VicRegConfig { projector: vec![16, 8], invariance: 25.0, variance: 25.0, covariance: 1.0 }
}

fn w_mse() -> WMseConfig {
    WMseConfig { projector_hidden: 16, projector_dim: 4, sub_batch: 8, epsilon: 1e-4 }
}

fn dino() -> DinoConfig {
    DinoConfig {
        projector_hidden: 16,
        bottleneck: 8,
        prototypes: 12,
        student_temperature: 0.1,
        teacher_temperature: 0.06,
        teacher_temperature_start: 0.04,
        teacher_warmup: 0.5,
        center_momentum: 0.75,
        tau_base: 0.9,
        tau_schedule: TauSchedule::Cosine,
    }
}

fn lejepa() -> LeJepaConfig {
    LeJepaConfig { projector: vec![16, 8], lambda: 0.05, slices: 32 }
}

/// Calls `$check::<Settings>(name)` for each method of the list.
macro_rules! for_every_method {
    ($check:ident) => {
        selfsame_trainers::methods!(each, $check)
    };
}

macro_rules! each {
    ($check:ident $($method:ident, $settings:ty, $name:literal, $section:literal;)+) => {
        $($check::<$settings>($name);)+
    };
}

fn built<S: MethodSettings>() -> S::Method<ResNet> {
    let device = Device::flex().autodiff();
    let settings = S::small_run().settings.for_batch(IMAGES);
    settings.build(encoder().build(1, &device).unwrap(), 1, &device).unwrap()
}

fn views() -> Views {
    let shape = [IMAGES, 3, 8, 8];
    let n: usize = shape.iter().product();
    let pixel = |i: usize, view: usize| {
        let hash = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        let noise = (i as u64 + 77 + (view * n) as u64).wrapping_mul(0xD134_2543_DE82_EF95) >> 40;
        (hash as f32 + 0.3 * noise as f32) / (1u64 << 23) as f32 - 1.3
    };
    Views::on_host([0, 1].map(|view| (0..n).map(|i| pixel(i, view)).collect()), shape)
}

fn trainer<M: Method>(method: M) -> Trainer<M> {
    let config = TrainerConfig {
        optimizer: OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.0, nesterov: false }),
            weight_decay: 0.0,
            exclude_bias_and_norm: false,
        },
        learning_rate: LearningRate {
            peak: 0.01,
            warmup_steps: 0,
            steps: 1000,
            final_fraction: 1.0,
        },
        accumulation: 1,
    };
    Trainer::new(method, config, &Device::flex().autodiff()).unwrap()
}

fn loss_falls<S: MethodSettings>(name: &str) {
    let mut trainer = trainer(built::<S>());
    let losses: Vec<f32> = (0..40).map(|_| trainer.step(vec![views()]).unwrap().loss).collect();
    let mean = |part: &[f32]| part.iter().sum::<f32>() / part.len() as f32;
    let (first, last) = (mean(&losses[..5]), mean(&losses[35..]));
    assert!(last < first, "{name}: {first} to {last}");
}

#[test]
fn the_loss_falls_on_a_batch_that_is_seen_again() {
    for_every_method!(loss_falls);
}

/// A network that no gradient reaches would stay at its random weights and nobody would notice.
fn all_networks_learn<S: MethodSettings>(name: &str) {
    let method = built::<S>();
    let device = Device::flex().autodiff();
    let at = Position { step: 0, steps: 10 };
    let gradients =
        method.loss(&views().on_device(&device), &Step::at(at)).loss.tensor().backward();
    let gradients = GradientsParams::from_grads(gradients, &method);
    // What follows a momentum and what has no affine map of its own gets none, everything else one.
    let frozen = |name: &str| name.starts_with("target.") || name.starts_with("teacher.");
    let all = state_dict(&method).unwrap();
    let trained = all.keys().filter(|n| !n.contains("running_") && !frozen(n) && *n != "center");
    let without_affine = match name {
        "simsiam" | "moco-v3" => 2,
        _ => 0,
    };
    assert_eq!(gradients.len(), trained.count() - without_affine, "{name}");
}

#[test]
fn every_parameter_but_those_of_momentum_targets_has_a_gradient() {
    for_every_method!(all_networks_learn);
}

fn same_seed_same_run<S: MethodSettings>(name: &str) {
    let run = || {
        let mut trainer = trainer(built::<S>());
        for _ in 0..3 {
            trainer.step(vec![views()]).unwrap();
        }
        state_dict(trainer.method()).unwrap()
    };
    assert!(run() == run(), "{name}");
}

#[test]
fn two_runs_of_one_seed_have_the_same_bits() {
    for_every_method!(same_seed_same_run);
}

fn projections_have_the_promised_shapes<S: MethodSettings>(name: &str) {
    let method = built::<S>().valid();
    let device = Device::flex();
    let view = || Tensor::<4>::random([5, 3, 8, 8], Distribution::Default, &device);
    let projections = method.projections([view(), view()]);
    let shape = projections.views[0].dims();
    assert_eq!(shape[0], 5, "{name}");
    assert_eq!(projections.views[1].dims(), shape, "{name}");
    for part in [projections.prediction, projections.target].into_iter().flatten() {
        assert_eq!(part.dims(), shape, "{name}");
    }
    assert_eq!(method.encoder().forward(view()).dims(), [5, encoder().feature_dim()], "{name}");
}

#[test]
fn a_doctor_can_look_into_every_method() {
    for_every_method!(projections_have_the_promised_shapes);
}

/// `C ← m C + (1 − m) · mean`, of the teacher's outputs to both views, from 0.
#[test]
fn dino_centres_by_what_its_teacher_says() {
    let device = Device::flex().autodiff();
    let method: Dino<_> = dino().build(encoder().build(1, &device).unwrap(), 1, &device).unwrap();
    let center = |method: &Dino<_>| method.center.value().into_data().try_to_vec::<f32>().unwrap();
    assert_eq!(center(&method), [0.0; 12]);
    let mut trainer = trainer(method);
    trainer.step(vec![views()]).unwrap();
    let first = center(trainer.method());
    assert!(first.iter().any(|c| *c != 0.0));
    // Cosines with prototypes, and a quarter of them.
    assert!(first.iter().all(|c| c.abs() <= 0.25), "{first:?}");
    let saved = state_dict(trainer.method()).unwrap();
    assert_eq!(saved["center"].values, first);
}

#[test]
fn wrong_settings_are_errors_that_name_them() {
    let dim = WMseConfig { projector_dim: 16, sub_batch: 8, ..w_mse() };
    for (error, word) in [
        (ByolConfig { tau_base: 1.5, ..byol() }.validate(), "tau_base"),
        (SimClrConfig { temperature: 0.0, ..simclr() }.validate(), "simclr.temperature"),
        (MocoV3Config { predictor_hidden: 0, ..moco_v3() }.validate(), "moco_v3.predictor_hidden"),
        (SimSiamConfig { projector_dim: 0, ..simsiam() }.validate(), "simsiam.projector_dim"),
        (VicRegConfig { variance: -1.0, ..vicreg() }.validate(), "vicreg.variance"),
        (VicRegConfig { projector: vec![], ..vicreg() }.validate(), "vicreg.projector"),
        (dim.validate(), "w_mse.sub_batch"),
        (DinoConfig { center_momentum: 1.1, ..dino() }.validate(), "dino.center_momentum"),
        (DinoConfig { teacher_temperature: f64::NAN, ..dino() }.validate(), "teacher_temperature"),
        (LeJepaConfig { lambda: 2.0, ..lejepa() }.validate(), "lejepa.lambda"),
        (LeJepaConfig { slices: 0, ..lejepa() }.validate(), "lejepa.slices"),
    ] {
        let error = error.unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

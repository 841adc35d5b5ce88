//! The whole method on every CPU backend: the same initial weights, the same losses.

use burn::tensor::Device;
use selfsame_models::weights::state_dict;
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, LearningRate, Method, MethodSettings, OptimizerConfig, Rule,
    Sgd, Trainer, TrainerConfig, Views,
};

#[expect(deprecated, reason = "built and tested until Burn removes it")]
fn devices() -> [Device; 2] {
    [Device::flex().autodiff(), Device::ndarray().autodiff()]
}

fn encoder() -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 2,
        zero_init_residual: false,
    }
}

fn views(step: usize) -> Views {
    let shape = [4, 3, 8, 8];
    let n = shape.iter().product::<usize>();
    let pixels =
        |view: usize| (0..n).map(|i| ((i * 7 + step * 31 + view * 17) as f32).sin()).collect();
    Views::on_host([pixels(0), pixels(1)], shape)
}

fn losses<M: Method>(method: M, device: &Device) -> Vec<f32> {
    let config = TrainerConfig {
        optimizer: OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            weight_decay: 1e-4,
            exclude_bias_and_norm: true,
        },
        learning_rate: LearningRate { peak: 0.01, warmup_steps: 0, steps: 3, final_fraction: 0.0 },
        accumulation: 1,
    };
    let mut trainer = Trainer::new(method, config, device).unwrap();
    (0..3).map(|step| trainer.step(vec![views(step)]).unwrap().loss).collect()
}

fn agree(flex: &[f32], ndarray: &[f32]) {
    for (a, b) in flex.iter().zip(ndarray) {
        assert!((a - b).abs() < 2e-3 * a.abs(), "{flex:?} {ndarray:?}");
    }
}

#[test]
fn initial_weights_are_the_same_bits_on_every_backend() {
    let byol = ByolConfig {
        projector_hidden: 8,
        projector_dim: 4,
        predictor_hidden: 8,
        tau_base: 0.9,
        ..ByolConfig::default()
    };
    let [a, b] = devices()
        .map(|d| state_dict(&byol.build(encoder().build(1, &d).unwrap(), 1, &d).unwrap()).unwrap());
    assert_eq!(a, b);
}

#[test]
fn byol_takes_the_same_steps_on_every_backend() {
    let byol = ByolConfig {
        projector_hidden: 8,
        projector_dim: 4,
        predictor_hidden: 8,
        tau_base: 0.9,
        ..ByolConfig::default()
    };
    let [a, b] =
        devices().map(|d| losses(byol.build(encoder().build(1, &d).unwrap(), 1, &d).unwrap(), &d));
    agree(&a, &b);
}

#[test]
fn barlow_twins_takes_the_same_steps_on_every_backend() {
    let barlow =
        BarlowTwinsConfig { projector: vec![8, 8], lambda: 0.005, ..BarlowTwinsConfig::default() };
    let [a, b] = devices()
        .map(|d| losses(barlow.build(encoder().build(1, &d).unwrap(), 1, &d).unwrap(), &d));
    agree(&a, &b);
}

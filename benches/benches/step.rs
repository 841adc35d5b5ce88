//! One training step of each method: 64 images through a CIFAR ResNet-18 of base width 8.

use burn::tensor::Device;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, LearningRate, Method, MethodSettings, OptimizerConfig, Rule,
    Sgd, Trainer, TrainerConfig, Views,
};

const BATCH: usize = 64;

fn views() -> Views {
    let shape = [BATCH, 3, 32, 32];
    let n = shape.iter().product::<usize>();
    let pixels = |view: usize| (0..n).map(|i| ((i * 7 + view) as f32).sin()).collect();
    Views::on_host([pixels(0), pixels(1)], shape)
}

fn bench<M: Method>(c: &mut Criterion, name: &str, method: M, device: &Device) {
    let config = TrainerConfig {
        optimizer: OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            weight_decay: 1e-4,
            exclude_bias_and_norm: true,
        },
        learning_rate: LearningRate {
            peak: 0.01,
            warmup_steps: 0,
            steps: u64::MAX,
            final_fraction: 1.0,
        },
        accumulation: 1,
    };
    let mut trainer = Trainer::new(method, config, device).expect("the settings are valid");
    let batch = views();
    let mut group = c.benchmark_group("step");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(name, |b| {
        b.iter(|| trainer.step(vec![batch.clone()]).expect("the loss is finite"));
    });
    group.finish();
}

fn steps(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let encoder = ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 8,
        zero_init_residual: false,
    };
    let byol = ByolConfig {
        projector_hidden: 256,
        projector_dim: 64,
        predictor_hidden: 256,
        tau_base: 0.99,
        ..ByolConfig::default()
    };
    let barlow = BarlowTwinsConfig {
        projector: vec![256, 256],
        lambda: 0.005,
        ..BarlowTwinsConfig::default()
    };
    bench(
        c,
        "BYOL",
        byol.build(encoder.build(0, &device).expect("valid"), 0, &device).expect("valid"),
        &device,
    );
    bench(
        c,
        "Barlow Twins",
        barlow.build(encoder.build(0, &device).expect("valid"), 0, &device).expect("valid"),
        &device,
    );
}

criterion_group!(benches, steps);
criterion_main!(benches);

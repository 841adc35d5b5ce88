//! Mistakes that published codes have made, one test each, in the order of a list that is kept
//! for this field: each says what went wrong elsewhere and would fail if it went wrong here.

use burn::module::Module;
use burn::tensor::{Device, Distribution, FloatDType, Tensor};
use selfsame_augment::{
    GaussianBlur, Image, RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair,
};
use selfsame_eval::{Features, Knn, Labelled, LinearProbe, Probe, collapse_signals};
use selfsame_losses::{BarlowTwinsLoss, ByolLoss, JointEmbeddingLoss, regression_loss};
use selfsame_models::weights::{StateDict, state_dict};
use selfsame_models::{Architecture, Encoder, ResNetConfig, Stem};
use selfsame_tests::inputs::{images, noise, noise_tensor, tensor, values};
use selfsame_trainers::{
    BarlowTwinsConfig, ByolConfig, Lars, LearningRate, Method, MethodSettings, OptimizerConfig,
    Rule, Sgd, Trainer, TrainerConfig, TrustRatio, Views,
};

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
        projector_hidden: 8,
        projector_dim: 4,
        predictor_hidden: 8,
        tau_base: 0.9,
        ..ByolConfig::default()
    }
}

fn barlow_twins(loss_scale: f64) -> BarlowTwinsConfig {
    BarlowTwinsConfig {
        projector: vec![8, 8],
        lambda: 0.005,
        loss_scale,
        ..BarlowTwinsConfig::default()
    }
}

fn views(step: u64) -> Views {
    Views::on_host([images(step, 4, 8), images(step + 50, 4, 8)], [4, 3, 8, 8])
}

fn trainer<M: Method>(method: M, rule: Rule, weight_decay: f64, accumulation: usize) -> Trainer<M> {
    let optimizer = OptimizerConfig { rule, weight_decay, exclude_bias_and_norm: true };
    let learning_rate = LearningRate { peak: 0.1, warmup_steps: 0, steps: 10, final_fraction: 0.0 };
    let config = TrainerConfig { optimizer, learning_rate, accumulation };
    Trainer::new(method, config, &Device::flex().autodiff()).unwrap()
}

fn sgd() -> Rule {
    Rule::Sgd(Sgd { momentum: 0.9, nesterov: false })
}

fn scalar(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

/// A peer normalised with the unbiased variance and divided by N: the diagonal stopped at
/// (N − 1)/N, and loss(x, x) ≠ loss(x, 2x + 4).
#[test]
fn trap_1_barlow_twins_standardises_with_the_biased_variance_of_the_actual_batch() {
    let device = Device::flex();
    for batch in [4, 7, 33] {
        let x = noise_tensor(batch as u64, [batch, 3], &device).mul_scalar(10.0);
        let terms = BarlowTwinsLoss::default().terms(x.clone(), x.clone());
        assert!(scalar(terms.invariance) < 1e-8, "the diagonal of C is not 1 at batch {batch}");
        let loss = BarlowTwinsLoss::default();
        let same = scalar(loss.forward(x.clone(), x.clone()));
        let moved = scalar(loss.forward(x.clone(), x.mul_scalar(2.0).add_scalar(4.0)));
        assert!((same - moved).abs() < 1e-4 * same.max(1e-3), "{same} {moved}");
    }
}

/// Averaging the two terms halves the gradient, which cost a peer 11 points with LARS.
#[test]
fn trap_2_byol_sums_its_two_terms() {
    let device = Device::flex();
    let (x, y) = (
        Tensor::<2>::from_floats([[1.0, 0.0]], &device),
        Tensor::<2>::from_floats([[0.0, 1.0]], &device),
    );
    // Orthogonal in both directions: 2 + 2.
    let loss = ByolLoss.symmetric((x.clone(), x), (y.clone(), y));
    assert!((scalar(loss) - 4.0).abs() < 1e-6);
}

/// The target normalises with its own batch's statistics, starts as the online network, moves once
/// per *optimiser* step, and its running statistics are never averaged.
#[test]
fn trap_3_the_target_trains_its_statistics_and_moves_once_per_optimiser_step() {
    let device = Device::flex().autodiff();
    let under = |dict: &StateDict, prefix: &str| -> StateDict {
        let entries = dict.iter().filter_map(|(name, array)| {
            Some((name.strip_prefix(prefix)?.to_owned(), array.clone()))
        });
        entries.collect()
    };
    let method = byol().build(encoder().build(3, &device).unwrap(), 3, &device).unwrap();
    let start = state_dict(&method).unwrap();
    assert_eq!(under(&start, "online."), under(&start, "target."));

    let mut trainer = trainer(method, sgd(), 1e-3, 2);
    trainer.step(vec![views(1), views(2)]).unwrap();
    let end = state_dict(trainer.method()).unwrap();
    let (xi0, xi1) = (under(&start, "target."), under(&end, "target."));
    let theta = under(&end, "online.");
    for (name, xi1) in &xi1 {
        let (xi0, theta) = (&xi0[name].values, &theta[name].values);
        if name.contains("running_") {
            assert_ne!(&xi1.values, xi0, "{name}: the target is not in train mode");
            continue;
        }
        for ((xi1, xi0), theta) in xi1.values.iter().zip(xi0).zip(theta) {
            let once = 0.9 * xi0 + 0.1 * theta;
            assert!((xi1 - once).abs() < 1e-6, "{name}: {xi1}, {once}");
        }
    }
    // Evaluation is of the online encoder.
    let kept = state_dict(trainer.method().encoder()).unwrap();
    assert_eq!(kept, under(&end, "online.encoder."));
}

/// Schedules count optimiser steps: the same rates and the same τ with accumulation. (That a
/// resume changes nothing is tested bit for bit in the trainers.)
#[test]
fn trap_4_schedules_count_optimiser_steps_under_accumulation() {
    let device = Device::flex().autodiff();
    let rates = |accumulation: usize| -> Vec<f64> {
        let method =
            barlow_twins(1.0).build(encoder().build(3, &device).unwrap(), 3, &device).unwrap();
        let mut trainer = trainer(method, sgd(), 1e-3, accumulation);
        let steps = (0..3).map(|_| trainer.step(vec![views(1); accumulation]).unwrap());
        steps.map(|report| report.learning_rate).collect()
    };
    assert_eq!(rates(1), rates(3));
    assert!(rates(1)[2] < rates(1)[0]);
}

/// Codes that exclude by "weight decay is zero" switch LARS off at a weight decay of 0.
#[test]
fn trap_5_lars_scales_without_weight_decay_and_excludes_by_rank() {
    let device = Device::flex().autodiff();
    let run = |trust_ratio| {
        let method =
            barlow_twins(1.0).build(encoder().build(3, &device).unwrap(), 3, &device).unwrap();
        let before = state_dict(&method).unwrap();
        let rule = Rule::Lars(Lars { momentum: 0.0, eta: 0.001, trust_ratio, clip: false });
        let mut trainer = trainer(method, rule, 0.0, 1);
        trainer.step(vec![views(1)]).unwrap();
        (before, state_dict(trainer.method()).unwrap())
    };
    for trust_ratio in [TrustRatio::Combined, TrustRatio::Separate] {
        let (before, after) = run(trust_ratio);
        for (name, old) in before.iter().filter(|(name, _)| !name.contains("running_")) {
            let norm = |v: &mut dyn Iterator<Item = f32>| v.map(|v| v * v).sum::<f32>().sqrt();
            let new = &after[name].values;
            let step = norm(&mut old.values.iter().zip(new).map(|(a, b)| a - b));
            let weight = norm(&mut old.values.iter().copied());
            if old.shape.len() > 1 {
                // lr · η · ‖w‖, whatever the gradient.
                let expected = 0.1 * 0.001 * weight;
                assert!((step / expected - 1.0).abs() < 2e-2, "{name}: {step}, {expected}");
            } else {
                assert!(step > 0.0 || weight == 0.0, "{name} did not move");
            }
        }
    }
}

/// One peer pads the CIFAR stem by 2 and works on 34×34 maps.
#[test]
fn trap_6_the_cifar_stem_keeps_the_image_size() {
    // A 1-pixel image stays one pixel through every stage: with padding 2 the stem would make
    // 3 × 3 of it, and the average would see the border.
    let device = Device::flex();
    let net = encoder().init(&mut selfsame_models::init::WeightInit::new(0, 0, &device)).unwrap();
    let dict = state_dict(&net).unwrap();
    let pixel = [0.3f32, -0.2, 0.9];
    let features = values(net.forward(tensor(pixel.to_vec(), [1, 3, 1, 1], &device)));
    // The same by hand: only the centre of each 3×3 kernel sees the pixel.
    let centre = |name: &str, x: &[f32]| -> Vec<f32> {
        let w = &dict[&format!("{name}.weight")];
        let taps = w.shape[2] * w.shape[3];
        (0..w.shape[0])
            .map(|o| {
                let weight = |i: usize| w.values[(o * w.shape[1] + i) * taps + taps / 2];
                x.iter().enumerate().map(|(i, x)| x * weight(i)).sum()
            })
            .collect()
    };
    // Batch norm of a fresh network in eval mode divides by √(1 + 1e-5).
    let norm = |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| x / 1.00001f32.sqrt()).collect() };
    let relu = |x: Vec<f32>| -> Vec<f32> { x.iter().map(|x| x.max(0.0)).collect() };
    let mut x = relu(norm(centre("conv1", &pixel)));
    for stage in 1..=4 {
        for block in 0..2 {
            let name = format!("layer{stage}.{block}");
            let y = relu(norm(centre(&format!("{name}.conv1"), &x)));
            let y = norm(centre(&format!("{name}.conv2"), &y));
            let shortcut = match dict.contains_key(&format!("{name}.downsample.0.weight")) {
                true => norm(centre(&format!("{name}.downsample.0"), &x)),
                false => x.clone(),
            };
            x = relu(y.iter().zip(&shortcut).map(|(y, s)| y + s).collect());
        }
    }
    for (ours, by_hand) in features.iter().zip(&x) {
        assert!((ours - by_hand).abs() < 1e-5, "{features:?} {x:?}");
    }
}

/// Averaging over shards is right for a loss that is a mean over images, and wrong for one that
/// looks at the whole batch.
#[test]
fn trap_7_the_mean_over_shards_is_the_whole_for_byol_and_not_for_barlow_twins() {
    let device = Device::flex().autodiff();
    let (a, b) = (noise_tensor(1, [16, 5], &device), noise_tensor(2, [16, 5], &device));
    type Loss<'a> = &'a dyn Fn(Tensor<2>, Tensor<2>) -> Tensor<1>;
    let gradient = |loss: Loss, shards: usize| -> Vec<f32> {
        let a = a.clone().require_grad();
        let rows = 16 / shards;
        let parts = (0..shards).map(|s| {
            loss(a.clone().narrow(0, s * rows, rows), b.clone().narrow(0, s * rows, rows))
        });
        let total = parts.reduce(|x, y| x + y).unwrap().div_scalar(shards as f32);
        values(a.grad(&total.backward()).unwrap())
    };
    let apart = |loss: Loss| -> f32 {
        let pairs = gradient(loss, 1).into_iter().zip(gradient(loss, 4));
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    assert!(apart(&|a, b| regression_loss(a, b)) < 1e-7);
    assert!(apart(&|a, b| BarlowTwinsLoss::default().forward(a, b)) > 1e-3);
}

/// Labels of −1 counted as a class, the number of classes taken from the test labels, and
/// hyper-parameters chosen on the test set.
#[test]
fn trap_8_probes_leave_out_the_unlabelled_and_never_look_at_the_test_set() {
    let features = Features::new(noise(5, 60 * 3, 1.0, 0.0), 60, 3).unwrap();
    let labels: Vec<Option<u32>> =
        (0..60).map(|i| if i % 3 == 2 { None } else { Some(i % 3) }).collect();
    let train = Labelled::new(&features, &labels).unwrap();
    assert_eq!((train.features.rows(), train.classes()), (40, 2));

    let test = Features::new(noise(6, 10 * 3, 1.0, 0.0), 10, 3).unwrap();
    let unknown = Labelled::new(&test, &[Some(7); 10]).unwrap();
    let probes: [&dyn Probe; 2] = [&Knn { k: 5, temperature: 0.1 }, &LinearProbe::default()];
    for probe in probes {
        let together = probe.predict(&train, &test).unwrap();
        assert!(together.iter().all(|class| *class < 2));
        // A class that never occurs in training is wrong, not an error.
        assert_eq!(probe.score(&train, &unknown).unwrap().top1, 0.0);
        // A row's prediction does not depend on what else is tested.
        let alone = Features::new(test.values()[..3].to_vec(), 1, 3).unwrap();
        assert_eq!(probe.predict(&train, &alone).unwrap()[0], together[0]);
    }
}

/// The rank of N embeddings is at most N − 1 after centring; a blur's σ is not its radius;
/// randomness belongs to the image and the epoch and to nothing else.
#[test]
fn trap_9_rank_is_normalised_by_the_rows_and_randomness_is_per_image() {
    let wide = Features::new(noise(8, 4 * 100, 1.0, 0.0), 4, 100).unwrap();
    let signals = collapse_signals(&wide).unwrap();
    assert!((signals.effective_rank_share - signals.effective_rank / 3.0).abs() < 1e-12);

    // A point blurred with σ = 1 spreads with variance 1 in each direction.
    let mut image = Image::default();
    let mut pixels = vec![0u8; 3 * 41 * 41];
    pixels[3 * (20 * 41 + 20)..][..3].fill(255);
    let point = RgbSource::new(&pixels, 41, 41).unwrap();
    let whole = selfsame_augment::CropWindow { x: 0, y: 0, width: 41, height: 41 };
    selfsame_augment::resize(
        point,
        whole,
        41,
        41,
        selfsame_augment::Interpolation::Bilinear,
        &mut image,
    );
    GaussianBlur::blur(&mut image, 1.0, 8);
    let [plane, ..] = image.planes_mut();
    let variance: f32 =
        plane.iter().enumerate().map(|(i, v)| v * ((i % 41) as f32 - 20.0).powi(2)).sum();
    assert!((variance - 1.0).abs() < 0.01, "{variance}");

    let pair = ViewPair::cifar(16, [0.5; 3], [0.25; 3]).unwrap();
    let render = |epoch, image| {
        let mut out = vec![0.0; 3 * 16 * 16];
        let mut rng = ViewKey { seed: 1, epoch, image, view: 0 }.rng();
        pair.render(point, 0, &mut rng, ViewBuffer::Planar(&mut out)).unwrap();
        out
    };
    assert_eq!(render(0, 0), render(0, 0));
    assert_ne!(render(0, 0), render(1, 0));
    assert_ne!(render(0, 0), render(0, 1));
}

/// The squares of tiny half-precision numbers are 0: their cosine was 0 or NaN.
#[test]
fn trap_10_losses_of_tiny_half_precision_vectors_are_right() {
    let device = Device::flex();
    let z = Tensor::<2>::random([8, 4], Distribution::Uniform(-1e-4, 1e-4), &device);
    let half = z.clone().cast(FloatDType::F16);
    let other = half.clone().neg();
    assert!((scalar(regression_loss(half.clone(), other)) - 4.0).abs() < 1e-3);
    assert!(scalar(BarlowTwinsLoss::default().forward(half.clone(), half)).is_finite());
}

/// Under LARS the scale of Barlow Twins' loss reaches only the parameters that LARS leaves out.
#[test]
fn trap_11_the_loss_scale_reaches_only_what_lars_leaves_out() {
    let device = Device::flex().autodiff();
    let after = |loss_scale| {
        let method = barlow_twins(loss_scale)
            .build(encoder().build(3, &device).unwrap(), 3, &device)
            .unwrap();
        let rule = Rule::Lars(Lars { momentum: 0.9, ..Lars::default() });
        let mut trainer = trainer(method, rule, 0.0, 1);
        trainer.step(vec![views(1)]).unwrap();
        state_dict(&trainer.method().clone().no_grad()).unwrap()
    };
    let (one, tenth) = (after(1.0), after(0.1));
    for (name, a) in one.iter().filter(|(name, _)| !name.contains("running_")) {
        let apart = a.values.iter().zip(&tenth[name].values).map(|(a, b)| (a - b).abs());
        let apart = apart.fold(0.0, f32::max);
        match a.shape.len() {
            1 => assert!(apart > 1e-6, "{name} does not feel the scale"),
            _ => assert!(apart < 1e-6, "{name} feels the scale: {apart}"),
        }
    }
}

//! Training on labels: the loss beside PyTorch's, and what fine-tuning promises.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use selfsame_models::init::WeightInit;
use selfsame_models::weights::{StateDict, state_dict};
use selfsame_models::{Architecture, ResNet, ResNetConfig, Stem};
use selfsame_tests::inputs::{noise, tensor, unit, values};
use selfsame_trainers::{
    Classifier, Flow, LabelledBatch, LabelledSource, LearningRate, OptimizerConfig, Outcome, Rule,
    Sgd, SupervisedConfig, SupervisedTrainer, TrainError, cross_entropy, predicted_classes,
};

const SIDE: usize = 8;
const CLASSES: u32 = 3;

fn encoder(device: &Device) -> ResNet {
    let config = ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 2,
        zero_init_residual: false,
    };
    config.init(&mut WeightInit::new(5, 0, device)).unwrap()
}

fn config(peak: f64, steps: u64) -> SupervisedConfig {
    SupervisedConfig {
        optimizer: OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            weight_decay: 1e-4,
            exclude_bias_and_norm: true,
        },
        learning_rate: LearningRate { peak, warmup_steps: 0, steps, final_fraction: 0.0 },
        encoder_rate: 1.0,
        label_smoothing: 0.0,
    }
}

fn trainer(peak: f64, steps: u64) -> SupervisedTrainer<ResNet> {
    let classifier = Classifier::new(&encoder(&Device::flex()), CLASSES as usize, 5).unwrap();
    SupervisedTrainer::new(classifier, config(peak, steps)).unwrap()
}

/// Noise, with the channel that the class names made brighter.
fn batch(seed: u64, images: usize) -> LabelledBatch {
    let labels: Vec<u32> = unit(seed, images).iter().map(|u| (u * CLASSES as f32) as u32).collect();
    let mut pixels = noise(seed + 1, images * 3 * SIDE * SIDE, 0.5, 0.0);
    for (plane, values) in pixels.chunks_mut(SIDE * SIDE).enumerate() {
        if plane % 3 == labels[plane / 3] as usize {
            values.iter_mut().for_each(|value| *value += 1.0);
        }
    }
    LabelledBatch { pixels, shape: [images, 3, SIDE, SIDE], labels }
}

/// Batches of the sizes given, over and over.
struct Batches {
    sizes: Vec<usize>,
    next: usize,
}

impl LabelledSource for Batches {
    fn next_batch(
        &mut self,
    ) -> Option<Result<LabelledBatch, Box<dyn std::error::Error + Send + Sync>>> {
        self.next += 1;
        Some(Ok(batch(self.next as u64, self.sizes[self.next % self.sizes.len()])))
    }
}

fn logits(classifier: &Classifier<ResNet>, batch: &LabelledBatch) -> Tensor<2> {
    let images = tensor(batch.pixels.clone(), batch.shape, &Device::flex());
    classifier.valid().predict(images).unwrap()
}

fn assert_near(got: &[f32], expected: &[f32], relative: f32) {
    assert_eq!(got.len(), expected.len());
    for (g, e) in got.iter().zip(expected) {
        assert!((g - e).abs() <= relative * e.abs().max(0.01), "{got:?} against {expected:?}");
    }
}

/// Logits, labels, smoothing; then PyTorch 2.15's `F.cross_entropy(logits, labels,
/// label_smoothing=s)` in f64 and its gradient. The second batch overflows any softmax that is not
/// taken in the log domain.
#[test]
fn cross_entropy_is_pytorchs() {
    let moderate = [2.0, -1.0, 0.5, 0.0, 0.75, 1.5, -0.75, 3.0, -3.0, 4.0, -2.0, 4.5];
    let extreme = [1000.0, -1000.0, 999.0, 0.0, 1e4, 1e4, -1e4, 0.0];
    type Case<'a> = (&'a [f32], &'a [u32], f32, f32, &'a [f32]);
    let cases: [Case<'_>; 4] = [
        (
            &moderate,
            &[0, 2, 1],
            0.0,
            1.7897752,
            &[
                -0.09663336,
                0.0117846,
                0.0528149,
                0.03203386,
                0.0259851,
                0.05501045,
                -0.3275353,
                0.2465397,
                0.0001146108,
                -0.2076473,
                0.0003115444,
                0.2072212,
            ],
        ),
        (
            &moderate,
            &[0, 2, 1],
            0.1,
            1.8856086,
            &[
                -0.07163336,
                0.003451264,
                0.04448157,
                0.02370052,
                0.01765176,
                0.04667712,
                -0.3025353,
                0.2382064,
                -0.008218723,
                -0.1826473,
                -0.008021789,
                0.1988878,
            ],
        ),
        (
            &extreme,
            &[2, 1],
            0.0,
            1.0032044,
            &[0.3655293, 0.0, -0.3655293, 0.0, 0.25, -0.25, 0.0, 0.0],
        ),
        (
            &extreme,
            &[2, 1],
            0.1,
            413.4657,
            &[0.3530293, -0.0125, -0.3280293, -0.0125, 0.2375, -0.2125, -0.0125, -0.0125],
        ),
    ];
    let device = Device::flex().autodiff();
    for (values_in, labels, smoothing, expected, gradient) in cases {
        let x = tensor::<2>(values_in.to_vec(), [labels.len(), 4], &device).require_grad();
        let loss = cross_entropy(x.clone(), labels, smoothing).unwrap();
        let gradients = loss.backward();
        assert_near(&values(x.grad(&gradients).unwrap()), gradient, 1e-5);
        assert_near(&values(loss), &[expected], 1e-6);
    }
}

#[test]
fn a_step_lowers_the_loss() {
    let mut trainer = trainer(0.05, 100);
    let losses: Vec<f32> = (0..8).map(|_| trainer.step(batch(1, 16)).unwrap().loss).collect();
    assert!(losses[1] < losses[0] && losses[7] < 0.7 * losses[0], "{losses:?}");
}

/// In batches of many sizes, the smallest that there can be among them.
#[test]
fn a_separable_set_is_learned_in_full() {
    let mut trainer = trainer(0.05, 90);
    let mut source = Batches { sizes: vec![16, 16, 2, 5], next: 0 };
    let mut steps = Vec::new();
    let outcome = trainer.fit(&mut source, &mut |report| {
        steps.push(report.step);
        assert_eq!(report.steps, 90);
        Flow::Continue
    });
    assert_eq!(outcome.unwrap(), Outcome::Finished);
    assert_eq!(steps, (1..=90).collect::<Vec<_>>());
    let unseen = batch(1000, 64);
    assert_eq!(predicted_classes(logits(trainer.classifier(), &unseen)).unwrap(), unseen.labels);
}

/// The running statistics, not the batch's, normalise what is predicted.
#[test]
fn a_prediction_does_not_depend_on_the_batch() {
    let mut trainer = trainer(0.05, 10);
    for seed in 0..5 {
        trainer.step(batch(seed, 16)).unwrap();
    }
    let all = batch(9, 4);
    let together = values(logits(trainer.classifier(), &all));
    for image in 0..4 {
        let length = 3 * SIDE * SIDE;
        let one = LabelledBatch {
            pixels: all.pixels[image * length..(image + 1) * length].to_vec(),
            shape: [1, 3, SIDE, SIDE],
            labels: vec![all.labels[image]],
        };
        let alone = values(logits(trainer.classifier(), &one));
        assert_near(&alone, &together[3 * image..3 * image + 3], 1e-4);
    }
    let images = tensor(all.pixels, all.shape, &Device::flex().autodiff());
    assert!(trainer.classifier().predict(images).is_err());
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let train = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut trainer = trainer(0.05, 6);
            let mut source = Batches { sizes: vec![16, 7], next: 0 };
            trainer.fit(&mut source, &mut |_| Flow::Continue).unwrap();
            state_dict(trainer.classifier()).unwrap()
        })
    };
    let one = train(1);
    assert_eq!(one, train(2));
    assert_eq!(one, train(5));
}

/// Burn's clones share the running statistics of batch norm; a pretrained encoder must not be
/// changed by what is made of it, wherever it lives.
#[test]
fn the_pretrained_encoder_is_not_changed() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        let pretrained = encoder(&device);
        let start = state_dict(&pretrained).unwrap();
        let classifier = Classifier::new(&pretrained, CLASSES as usize, 5).unwrap();
        assert_eq!(state_dict(&classifier.encoder).unwrap(), start);
        let mut trainer = SupervisedTrainer::new(classifier, config(0.05, 10)).unwrap();
        for seed in 0..3 {
            trainer.step(batch(seed, 8)).unwrap();
        }
        assert_eq!(state_dict(&pretrained).unwrap(), start);
        let end = state_dict(&trainer.classifier().encoder).unwrap();
        for (name, array) in &end {
            assert_ne!(array, &start[name], "{name} was not trained");
        }
    }
}

#[test]
fn the_encoder_can_learn_more_slowly_than_the_head() {
    let moved = |encoder_rate: f64| {
        let classifier = Classifier::new(&encoder(&Device::flex()), CLASSES as usize, 5).unwrap();
        let start = state_dict(&classifier).unwrap();
        let config = SupervisedConfig { encoder_rate, ..config(0.05, 10) };
        let mut trainer = SupervisedTrainer::new(classifier, config).unwrap();
        trainer.step(batch(0, 16)).unwrap();
        let end = state_dict(trainer.classifier()).unwrap();
        let distance = |name: &str| -> f32 {
            let pairs = start[name].values.iter().zip(&end[name].values);
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
        };
        (distance("encoder.layer2.0.conv1.weight"), distance("head.weight"))
    };
    let (same, slow) = (moved(1.0), moved(0.1));
    assert_eq!(same.1, slow.1);
    assert!((slow.0 / same.0 - 0.1).abs() < 0.01, "{same:?} {slow:?}");
}

/// Whatever is refused leaves the classifier as it was.
#[test]
fn what_cannot_be_trained_on_is_refused() {
    let mut trainer = trainer(0.05, 10);
    let before: StateDict = state_dict(trainer.classifier()).unwrap();
    let good = batch(0, 4);
    let mut check = |change: &dyn Fn(&mut LabelledBatch),
                     expected: &dyn Fn(&TrainError) -> bool| {
        let mut bad = good.clone();
        change(&mut bad);
        let error = trainer.step(bad).unwrap_err();
        assert!(expected(&error), "{error}");
        assert_eq!(trainer.steps_done(), 0);
        let now = state_dict(trainer.classifier()).unwrap();
        let weights = |(name, _): &(&String, _)| !name.contains("running_");
        assert!(now.iter().filter(weights).eq(before.iter().filter(weights)), "{error}");
    };
    check(&|b| b.labels[2] = CLASSES, &|e| {
        matches!(e, TrainError::Label { label: CLASSES, classes: 3 })
    });
    check(&|b| b.labels.truncate(3), &|e| matches!(e, TrainError::Batch(_)));
    check(&|b| b.pixels.truncate(100), &|e| matches!(e, TrainError::Batch(_)));
    check(&|b| *b = batch(0, 1), &|e| matches!(e, TrainError::Batch(_)));
    check(&|b| *b = batch(0, 0), &|e| matches!(e, TrainError::Batch(_)));
    check(&|b| b.pixels[7] = f32::NAN, &|e| matches!(e, TrainError::NotFinite { step: 0, .. }));
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let plain = encoder(&Device::flex());
    assert!(Classifier::new(&plain, 1, 0).is_err());
    let new = |config| {
        let classifier = Classifier::new(&plain, 3, 0).unwrap();
        SupervisedTrainer::new(classifier, config).map(|_| ()).unwrap_err().to_string()
    };
    let base = config(0.1, 10);
    for rate in [0.0, -1.0, f64::NAN] {
        let error = new(SupervisedConfig { encoder_rate: rate, ..base.clone() });
        assert!(error.contains("encoder_rate"), "{error}");
    }
    for smoothing in [-0.1, 1.0, f32::NAN] {
        let error = new(SupervisedConfig { label_smoothing: smoothing, ..base.clone() });
        assert!(error.contains("label_smoothing"), "{error}");
    }
    let snapshot = Classifier::new(&plain, 3, 0).unwrap().valid();
    assert!(SupervisedTrainer::new(snapshot, base).is_err());
}

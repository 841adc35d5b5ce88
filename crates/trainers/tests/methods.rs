//! What BYOL and Barlow Twins promise about their networks.

use burn::module::{Module, Param};
use burn::tensor::{Device, Distribution, Tensor};
use selfsame_models::weights::{StateDict, state_dict};
use selfsame_models::{Architecture, Encoder, ResNet, ResNetConfig, Stem};
use selfsame_trainers::{
    Batch, Byol, ByolConfig, Flow, Hooks, LearningRate, Method, MethodLoss, MethodSettings,
    OptimizerConfig, Outcome, Position, Projections, Rule, Sgd, Step, StepReport, TrainError,
    Trainer, TrainerConfig, ViewSource, Views,
};

const START: Position = Position { step: 0, steps: 10 };

fn encoder() -> ResNetConfig {
    ResNetConfig {
        architecture: Architecture::ResNet18,
        stem: Stem::Cifar,
        base_width: 2,
        zero_init_residual: false,
    }
}

fn small(tau_base: f64) -> ByolConfig {
    ByolConfig {
        projector_hidden: 8,
        projector_dim: 4,
        predictor_hidden: 8,
        tau_base,
        ..ByolConfig::default()
    }
}

fn byol(tau_base: f64) -> Byol<ResNet> {
    small(tau_base)
        .build(
            encoder().build(0, &Device::flex().autodiff()).unwrap(),
            0,
            &Device::flex().autodiff(),
        )
        .unwrap()
}

fn images(seed: f32) -> Tensor<4> {
    let device = Device::flex().autodiff();
    Tensor::random([4, 3, 8, 8], Distribution::Normal(f64::from(seed), 1.0), &device)
}

fn trainer<M: Method>(method: M, accumulation: usize) -> Trainer<M> {
    let config = TrainerConfig {
        optimizer: OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
            weight_decay: 0.0,
            exclude_bias_and_norm: false,
        },
        learning_rate: LearningRate { peak: 0.1, warmup_steps: 0, steps: 10, final_fraction: 0.0 },
        accumulation,
    };
    Trainer::new(method, config, &Device::flex().autodiff()).unwrap()
}

fn batch(fill: impl Fn(usize) -> f32) -> Views {
    let shape = [4, 3, 8, 8];
    let n = shape.iter().product::<usize>();
    Views::on_host([(0..n).map(&fill).collect(), (0..n).map(|i| fill(i + n)).collect()], shape)
}

fn wave(i: usize) -> f32 {
    (i as f32 * 0.7).sin()
}

fn under(dict: &StateDict, prefix: &str) -> StateDict {
    dict.iter().filter_map(|(k, v)| Some((k.strip_prefix(prefix)?.to_owned(), v.clone()))).collect()
}

#[test]
fn the_target_starts_as_the_online_network_and_gets_no_gradient() {
    let method = byol(0.99);
    let weights = state_dict(&method).unwrap();
    assert_eq!(under(&weights, "target."), under(&weights, "online."));

    let gradients = method
        .loss(&Batch::new(vec![images(0.0), images(1.0)]), &Step::at(START))
        .loss
        .tensor()
        .backward();
    let conv = |branch: &ResNet| {
        let dict = state_dict(branch).unwrap();
        dict["conv1.weight"].clone()
    };
    assert_eq!(conv(&method.online.encoder), conv(&method.target.encoder));
    let gradients = burn::optim::GradientsParams::from_grads(gradients, &method.target);
    assert!(gradients.is_empty(), "{} target parameters have a gradient", gradients.len());
}

#[test]
fn the_target_runs_in_train_mode_on_its_own_statistics() {
    let method = byol(0.99);
    method.loss(&Batch::new(vec![images(0.0), images(3.0)]), &Step::at(START));
    let weights = state_dict(&method).unwrap();
    let target = &weights["target.encoder.bn1.running_mean"];
    assert!(target.values.iter().any(|v| *v != 0.0), "running statistics did not move");
}

#[test]
fn after_a_step_the_target_moves_by_one_minus_tau_once() {
    let tau = 0.75;
    for accumulation in [1, 3] {
        let mut trainer = trainer(byol(tau), accumulation);
        let before = state_dict(trainer.method()).unwrap();
        trainer.step((0..accumulation).map(|_| batch(wave)).collect()).unwrap();
        let after = state_dict(trainer.method()).unwrap();
        let name = "encoder.layer1.0.conv1.weight";
        let start = &before[&format!("target.{name}")].values;
        let online = &after[&format!("online.{name}")].values;
        for ((xi, xi0), theta) in
            after[&format!("target.{name}")].values.iter().zip(start).zip(online)
        {
            // τ(0) is the base.
            let expected = tau as f32 * xi0 + (1.0 - tau as f32) * theta;
            assert!((xi - expected).abs() < 1e-6, "{xi} {expected}");
            assert!(theta != xi0, "the online network did not move");
        }
    }
}

#[test]
fn accumulating_equal_micro_batches_is_one_of_them() {
    let run = |accumulation: usize| {
        let mut trainer = trainer(byol(0.9), accumulation);
        let report = trainer.step(vec![batch(wave); accumulation]).unwrap();
        let weights = state_dict(trainer.method()).unwrap();
        (report.loss, weights["online.encoder.conv1.weight"].values.clone())
    };
    let ((one, w1), (two, w2)) = (run(1), run(2));
    assert!((one - two).abs() < 1e-5, "{one} {two}");
    assert!(w1.iter().zip(&w2).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_loss_that_is_not_finite_ends_the_run_and_changes_no_weight() {
    let mut trainer = trainer(byol(0.9), 1);
    let name = "online.encoder.conv1.weight";
    let before = state_dict(trainer.method()).unwrap()[name].clone();
    let error = trainer.step(vec![batch(|_| f32::NAN)]).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { step: 0, .. }), "{error}");
    assert_eq!(state_dict(trainer.method()).unwrap()[name], before);
    assert_eq!(trainer.steps_done(), 0);
}

/// `L = √(0 · w)`: a loss of 0 whose gradient is ∞ · 0.
#[derive(Module, Debug)]
struct Edge {
    weight: Param<Tensor<1>>,
}

impl Encoder for Edge {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        images.flatten(1, 3)
    }
    fn feature_dim(&self) -> usize {
        1
    }
}

impl Method for Edge {
    type Encoder = Self;
    fn loss(&self, batch: &Batch, step: &Step) -> MethodLoss {
        let loss = step.mean(self.weight.val().mul_scalar(0.0).sqrt());
        let [view, _] = batch.pair();
        MethodLoss { loss, terms: Vec::new(), embedding: self.forward(view) }
    }
    fn encoder(&self) -> &Self {
        self
    }
    fn projections(&self, views: [Tensor<4>; 2]) -> Projections {
        Projections { views: views.map(|v| self.forward(v)), prediction: None, target: None }
    }
}

#[test]
fn a_gradient_that_is_not_finite_is_named_and_changes_no_weight() {
    let device = Device::flex().autodiff();
    let method = Edge { weight: Param::from_tensor(Tensor::from_floats([1.5], &device)) };
    let mut trainer = trainer(method, 1);
    let error = trainer.step(vec![batch(wave)]).unwrap_err();
    let TrainError::GradientNotFinite { step: 0, parameter, value, loss } = &error else {
        panic!("{error}");
    };
    assert_eq!((parameter.as_str(), *loss), ("weight", 0.0));
    assert!(value.is_nan());
    assert_eq!(state_dict(trainer.method()).unwrap()["weight"].values, [1.5]);
    assert_eq!(trainer.steps_done(), 0);
}

/// Without the predictor, online and target networks are compared as they are; without
/// stop-gradient there is no target, and the gradient comes from both sides. Batches that differ
/// from each other, as many as there are.
struct Batches {
    made: usize,
    /// The micro-batch that is NaN.
    broken: Option<usize>,
    /// The micro-batch that cannot be made.
    fails: Option<usize>,
}

impl ViewSource for Batches {
    fn next_views(&mut self) -> Option<Result<Views, Box<dyn std::error::Error + Send + Sync>>> {
        let this = self.made;
        self.made += 1;
        if self.fails == Some(this) {
            return Some(Err("the disk is gone".into()));
        }
        let broken = self.broken == Some(this);
        Some(Ok(batch(|i| if broken { f32::NAN } else { wave(i + 1000 * this) })))
    }
}

/// Reads the figures of every so many steps together.
struct Reads {
    every: u64,
    reports: Vec<StepReport>,
    /// Steps that the trainer had done at each report.
    done: Vec<u64>,
    stop_at: Option<u64>,
}

impl Reads {
    fn new(every: u64) -> Self {
        Self { every, reports: Vec::new(), done: Vec::new(), stop_at: None }
    }
}

impl<M: Method> Hooks<M> for Reads {
    fn reads(&self, step: u64) -> bool {
        step.is_multiple_of(self.every)
    }

    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        self.reports.push(report.clone());
        self.done.push(trainer.steps_done());
        Ok(if self.stop_at == Some(report.step) { Flow::Stop } else { Flow::Continue })
    }
}

#[test]
fn figures_that_are_read_later_are_the_same() {
    for accumulation in [1, 2] {
        let run = |every| {
            let (mut trainer, mut reads) = (trainer(byol(0.9), accumulation), Reads::new(every));
            let mut source = Batches { made: 0, broken: None, fails: None };
            assert_eq!(trainer.fit(&mut source, &mut reads).unwrap(), Outcome::Finished);
            let figures = |r: &StepReport| {
                (r.step, r.loss, r.embedding_std, r.terms.clone(), r.learning_rate, r.images)
            };
            let figures: Vec<_> = reads.reports.iter().map(figures).collect();
            (figures, reads.done, state_dict(trainer.method()).unwrap())
        };
        let ((at_once, done, weights), (later, done_later, weights_later)) = (run(1), run(4));
        assert_eq!(done, (1..=10).collect::<Vec<u64>>());
        assert_eq!(done_later, [4, 4, 4, 4, 8, 8, 8, 8, 10, 10]);
        assert_eq!(at_once, later);
        assert!(weights == weights_later);
        assert!(at_once.windows(2).all(|two| two[0].1 != two[1].1), "losses differ: {at_once:?}");
    }
}

#[test]
fn what_is_not_finite_is_found_when_it_is_read() {
    let fit = |source: &mut Batches, reads: &mut Reads| {
        let mut trainer = trainer(byol(0.9), 1);
        (trainer.fit(source, reads), trainer.steps_done())
    };
    let mut reads = Reads::new(4);
    let (result, done) = fit(&mut Batches { made: 0, broken: Some(5), fails: None }, &mut reads);
    assert!(matches!(result, Err(TrainError::NotFinite { step: 5, .. })), "{result:?}");
    // The first four and the one before it; the trainer had gone on to the eighth.
    assert_eq!((reads.reports.len(), done), (5, 8));

    // It comes before an error that ends the run earlier than that.
    let mut reads = Reads::new(4);
    let (result, done) = fit(&mut Batches { made: 0, broken: Some(5), fails: Some(7) }, &mut reads);
    assert!(matches!(result, Err(TrainError::NotFinite { step: 5, .. })), "{result:?}");
    assert_eq!((reads.reports.len(), done), (5, 7));

    let device = Device::flex().autodiff();
    let edge = Edge { weight: Param::from_tensor(Tensor::from_floats([1.5], &device)) };
    let mut source = Batches { made: 0, broken: None, fails: None };
    let error = trainer(edge, 1).fit(&mut source, &mut Reads::new(2)).unwrap_err();
    let TrainError::GradientNotFinite { step: 0, parameter, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(parameter, "weight");
}

/// However a run ends, its steps have been reported.
#[test]
fn no_step_goes_unreported() {
    let mut reads = Reads::new(4);
    let mut unlucky = trainer(byol(0.9), 1);
    let mut source = Batches { made: 0, broken: None, fails: Some(6) };
    let error = unlucky.fit(&mut source, &mut reads).unwrap_err();
    assert!(matches!(error, TrainError::Source(_)), "{error}");
    assert_eq!(reads.done, [4, 4, 4, 4, 6, 6]);

    let mut reads = Reads { stop_at: Some(2), ..Reads::new(4) };
    let mut source = Batches { made: 0, broken: None, fails: None };
    let outcome = trainer(byol(0.9), 1).fit(&mut source, &mut reads).unwrap();
    assert_eq!((outcome, reads.done), (Outcome::Stopped, vec![4; 4]));
}

#[test]
fn byol_can_do_without_its_parts() {
    let device = Device::flex().autodiff();
    let whole = byol(0.9);
    let names = |method: &Byol<ResNet>| state_dict(method).unwrap().into_keys().collect::<Vec<_>>();
    let config = ByolConfig { predictor: false, ..small(0.9) };
    let bare = config.build(encoder().build(0, &device).unwrap(), 0, &device).unwrap();
    assert!(names(&whole).iter().any(|n| n.starts_with("predictor.")));
    assert!(!names(&bare).iter().any(|n| n.starts_with("predictor.")));
    assert_eq!(names(&bare).len() + 7, names(&whole).len());
    // Of one view, both networks make the same projection as long as they are equal.
    let same = images(0.0);
    let loss = bare
        .loss(&Batch::new(vec![same.clone(), same.clone()]), &Step::at(START))
        .loss
        .tensor()
        .into_scalar::<f32>();
    assert!(loss < 1e-6, "{loss}");
    let on_plain = |x: &Tensor<4>| x.clone().inner();
    let projections = bare.valid().projections([on_plain(&same), on_plain(&images(1.0))]);
    assert!(projections.prediction.is_none() && projections.target.is_some());

    let gradient = |stop_gradient: bool| {
        let config = ByolConfig { stop_gradient, ..small(0.0) };
        let mut trainer =
            trainer(config.build(encoder().build(0, &device).unwrap(), 0, &device).unwrap(), 1);
        let report = trainer.step(vec![batch(wave)]).unwrap();
        let weights = state_dict(trainer.method()).unwrap();
        (report.loss, weights["online.encoder.conv1.weight"].values.clone())
    };
    let ((loss_with, with), (loss_without, without)) = (gradient(true), gradient(false));
    assert!((loss_with - loss_without).abs() < 1e-5, "{loss_with} {loss_without}");
    assert_ne!(with, without);
}

#[test]
fn evaluation_is_of_the_online_encoder_and_does_not_disturb_training() {
    let method = byol(0.9);
    let before = state_dict(&method).unwrap();
    let encoder = method.encoder().valid();
    let device = Device::flex();
    encoder.forward(Tensor::random([4, 3, 8, 8], Distribution::Default, &device));
    assert_eq!(state_dict(&method).unwrap(), before);
    assert_eq!(state_dict(&encoder).unwrap(), under(&before, "online.encoder."));
}

#[test]
fn a_batch_of_one_view_is_an_error_of_its_source() {
    struct OneView;
    impl ViewSource for OneView {
        fn next_views(
            &mut self,
        ) -> Option<Result<Views, Box<dyn std::error::Error + Send + Sync>>> {
            Some(Ok(Views::on_host([vec![0.0; 4 * 3 * 8 * 8]], [4, 3, 8, 8])))
        }
    }
    let error = trainer(byol(0.9), 1).fit(&mut OneView, &mut ()).unwrap_err();
    assert!(matches!(error, TrainError::Source(_)), "{error}");
    assert!(error.to_string().contains("two views"), "{error}");
}

//! The training loop: views, loss, gradient, update, and the method's own update.

use std::time::{Duration, Instant};

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use selfsame_kernels::{current_ranks, on_workers, sharing_weights};
use selfsame_losses::{l2_normalize, sums};

use crate::figures::{Figures, Unread};
use crate::finite::{first_not_finite, gradient_values};
use crate::ranks::{Standing, agree, sum_gradients};
use crate::{
    LearningRate, Method, Optimizer, OptimizerConfig, Position, Rule, Sgd, Snapshot, Step,
    TrainError, Views,
};

/// A source of batches, in the order of training.
///
/// Each item is one *micro*-batch. With gradient accumulation over `n`, `n` items make one
/// optimiser step. `None` means that the source is empty. It ends the run.
pub trait ViewSource {
    /// The next micro-batch.
    fn next_views(&mut self) -> Option<Result<Views, Box<dyn std::error::Error + Send + Sync>>>;
}

/// The settings of a trainer.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerConfig {
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate, by optimiser step. Its `steps` is the length of the run.
    pub learning_rate: LearningRate,
    /// Micro-batches per optimiser step, at least 1. The gradient is their mean.
    pub accumulation: usize,
}

impl TrainerConfig {
    /// SGD with momentum 0.9 and a weight decay of 1e-4, but for biases and batch norm. The
    /// learning rate rises to `peak` in a tenth of the steps, then falls to 0 along half a cosine.
    pub fn sgd(peak: f64, steps: u64) -> Self {
        let rule = Rule::Sgd(Sgd { momentum: 0.9, nesterov: false });
        Self {
            optimizer: OptimizerConfig { rule, weight_decay: 1e-4, exclude_bias_and_norm: true },
            learning_rate: LearningRate {
                peak,
                warmup_steps: steps / 10,
                steps,
                final_fraction: 0.0,
            },
            accumulation: 1,
        }
    }
}

/// The report of one optimiser step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean loss over the micro-batches.
    pub loss: f32,
    /// Parts of the loss by name, means over the micro-batches.
    pub terms: Vec<(&'static str, f32)>,
    /// Spread of the l2-normalised embeddings of the last micro-batch: the standard deviation of
    /// each dimension, averaged over the dimensions, times √dim. It is 1 when the embeddings fill
    /// the sphere evenly, and 0 when all are the same.
    pub embedding_std: f32,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Images seen in this step, by all ranks.
    pub images: usize,
    /// Wall-clock time in forward, backward and update. If the step's figures were not read at
    /// once, it is only the time to queue the work.
    pub busy: Duration,
    /// Wall-clock time that [`Trainer::fit`] waited for the batches of this step.
    pub waited: Duration,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after this step. The state of the trainer can then be saved.
    Stop,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done.
    Finished,
    /// A hook said stop.
    Stopped,
}

/// The caller's work between steps: show progress, evaluate, save, stop.
pub trait Hooks<M: Method> {
    /// Whether to read the figures of the next step, `step`, from the device as soon as it is done.
    ///
    /// A read waits for the GPU, which works behind the program. A hook that does not need the
    /// figures at once returns `false`. The step is then reported together with the next step that
    /// is read, or with the last step of the run. This has a price: the update happens before
    /// anyone checks whether loss and gradients are finite. A bad value is reported when it is
    /// already in the weights. With several ranks, all read if one of them needs to.
    fn reads(&self, step: u64) -> bool {
        let _ = step;
        true
    }

    /// Called after every optimiser step, in order. `trainer` is in the state after the newest
    /// step. If steps are reported together, this is later than the step of `report`.
    ///
    /// # Errors
    /// Any error of the caller. It ends the run.
    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>>;
}

/// Nothing to do between steps.
impl<M: Method> Hooks<M> for () {
    fn after_step(
        &mut self,
        _trainer: &Trainer<M>,
        _report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Flow::Continue)
    }
}

/// A method in training: the method, its optimiser, its schedule and its position.
#[derive(Debug)]
pub struct Trainer<M: Method> {
    method: M,
    optimizer: Optimizer,
    config: TrainerConfig,
    device: Device,
}

impl<M: Method> Trainer<M> {
    /// Starts at step 0. `device` must be the autodiff device that `method` lives on.
    ///
    /// # Errors
    /// The settings of the optimiser or the schedule are invalid, or the device is plain.
    pub fn new(method: M, config: TrainerConfig, device: &Device) -> Result<Self, TrainError> {
        if !device.is_autodiff() {
            return Err(TrainError::config("device", "training needs an autodiff device"));
        }
        if config.accumulation == 0 {
            return Err(TrainError::config("train.accumulation", "must be at least 1"));
        }
        let optimizer = Optimizer::new(config.optimizer.clone())?;
        Ok(Self { method, optimizer, config, device: device.clone() })
    }

    /// The method with its current weights.
    pub fn method(&self) -> &M {
        &self.method
    }

    /// The optimiser with its state.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }

    /// Optimiser steps done.
    pub fn steps_done(&self) -> u64 {
        self.optimizer.steps_done()
    }

    /// Optimiser steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.config.learning_rate.steps
    }

    /// The state as it is now.
    pub fn snapshot(&self) -> Snapshot<M> {
        Snapshot {
            method: self.method.valid(),
            optimizer: self.optimizer.clone(),
            steps: self.steps(),
        }
    }

    /// Replaces weights and optimiser state, to resume a run.
    pub(crate) fn restore(&mut self, method: M, optimizer: Optimizer) {
        self.method = method;
        self.optimizer = optimizer;
    }

    /// Trains until the schedule ends, the source is empty, or a hook stops it. Several ranks stop
    /// together.
    ///
    /// # Errors
    /// A source or a hook fails, here or on another rank, or a loss or gradient is not finite.
    pub fn fit(
        &mut self,
        source: &mut dyn ViewSource,
        hooks: &mut dyn Hooks<M>,
    ) -> Result<Outcome, TrainError> {
        let mut unread = Vec::new();
        let outcome = self.fit_until(source, hooks, &mut unread);
        let (reports, finite) = Unread::read_all(unread);
        self.report(reports, hooks)?;
        // NaN or infinity may be the cause of all other errors. So this error comes first.
        finite?;
        outcome
    }

    fn fit_until(
        &mut self,
        source: &mut dyn ViewSource,
        hooks: &mut dyn Hooks<M>,
        unread: &mut Vec<Unread>,
    ) -> Result<Outcome, TrainError> {
        while self.steps_done() < self.steps() {
            let start = Instant::now();
            let Some((micro_batches, reads)) = self.begin(source, hooks)? else {
                return Ok(Outcome::Stopped);
            };
            let waited = start.elapsed();
            let (reports, finite) = self.advance(micro_batches, waited, reads, unread);
            if reads {
                // With sums between devices, a step may end although one device failed in it. Such
                // a step is not used: the reader notices it.
                agree(Standing::Ready)?;
            }
            // The steps before one that is not finite are reported, too.
            let flow = self.report(reports, hooks);
            if !go_on(finite.and(flow))? {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// The micro-batches of the next step, and whether its figures are read at once. All ranks
    /// begin the step, or none does: `None` if one of them has no batch left.
    fn begin(
        &self,
        source: &mut dyn ViewSource,
        hooks: &dyn Hooks<M>,
    ) -> Result<Option<(Vec<Views>, bool)>, TrainError> {
        let batches = self.next_batches(source);
        let standing = agree(match &batches {
            Ok(Some(_)) if hooks.reads(self.steps_done() + 1) => Standing::Reading,
            Ok(Some(_)) => Standing::Ready,
            Ok(None) => Standing::Done,
            Err(_) => Standing::Failed,
        });
        // This rank's own error says more than that of another.
        let batches = batches?;
        Ok(match (standing?, batches) {
            (Standing::Reading, Some(batches)) => Some((batches, true)),
            (Standing::Ready, Some(batches)) => Some((batches, false)),
            _ => None,
        })
    }

    /// One step. Returns the reports of the steps that are read now, and whether all their figures
    /// were finite.
    fn advance(
        &mut self,
        micro_batches: Vec<Views>,
        waited: Duration,
        reads: bool,
        unread: &mut Vec<Unread>,
    ) -> (Vec<StepReport>, Result<(), TrainError>) {
        if reads && unread.is_empty() {
            return match self.step(micro_batches) {
                Ok(report) => (vec![StepReport { waited, ..report }], Ok(())),
                Err(error) => (Vec::new(), Err(error)),
            };
        }
        unread.push(self.step_unread(micro_batches, waited));
        Unread::read_all(if reads { std::mem::take(unread) } else { Vec::new() })
    }

    /// Whether the hooks stop after any of these steps.
    fn report(
        &self,
        reports: Vec<StepReport>,
        hooks: &mut dyn Hooks<M>,
    ) -> Result<Flow, TrainError> {
        let mut flow = Flow::Continue;
        for report in &reports {
            if hooks.after_step(self, report).map_err(TrainError::Hook)? == Flow::Stop {
                flow = Flow::Stop;
            }
        }
        Ok(flow)
    }

    /// The micro-batches of a step, `None` if the source is empty.
    fn next_batches(&self, source: &mut dyn ViewSource) -> Result<Option<Vec<Views>>, TrainError> {
        let batches = (0..self.config.accumulation).map_while(|_| source.next_views());
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(TrainError::Source)?;
        if batches.iter().any(|views| views.count() < 2) {
            return Err(TrainError::Source("a batch has fewer than two views".into()));
        }
        Ok(Some(batches).filter(|batches| batches.len() == self.config.accumulation))
    }

    /// One optimiser step over `micro_batches` (normally `accumulation` of them).
    ///
    /// # Errors
    /// A loss or gradient is not finite. Parameters and optimiser are then unchanged.
    pub fn step(&mut self, micro_batches: Vec<Views>) -> Result<StepReport, TrainError> {
        let device = self.device.clone();
        on_workers(&device, || {
            let start = Instant::now();
            let (mut report, figures, gradients) = self.differentiate(micro_batches);
            figures.read(&mut report)?;
            let found = first_not_finite(&self.method, &gradients, &self.device);
            if let Some((parameter, value)) = found {
                let (step, loss) = (report.step - 1, report.loss);
                return Err(TrainError::GradientNotFinite { step, parameter, value, loss });
            }
            self.update(gradients, &report);
            report.busy = start.elapsed();
            Ok(report)
        })
    }

    /// A step with its figures left on the device.
    fn step_unread(&mut self, micro_batches: Vec<Views>, waited: Duration) -> Unread {
        let device = self.device.clone();
        on_workers(&device, || {
            let start = Instant::now();
            let (report, figures, gradients) = self.differentiate(micro_batches);
            let values = gradient_values(&self.method, &gradients, &self.device);
            self.update(gradients, &report);
            Unread::new(StepReport { busy: start.elapsed(), waited, ..report }, figures, values)
        })
    }

    /// Forward and backward.
    fn differentiate(
        &mut self,
        micro_batches: Vec<Views>,
    ) -> (StepReport, Figures, GradientsParams) {
        let ranks = current_ranks().map(|together| together.ranks);
        let done = self.steps_done();
        let step = Step::at(Position { step: done, steps: self.steps() });
        let count = micro_batches.len() as f32;
        let mut accumulator = GradientsAccumulator::new();
        let mut figures = Figures::default();
        let mut images = 0;
        for views in micro_batches {
            images += views.images() * step.ranks();
            let out = sharing_weights(|| self.method.loss(&views.on_device(&self.device), &step));
            // Dividing before the backward pass makes the accumulated gradient the mean.
            let loss = out.loss.tensor() / count;
            let gradients = loss.backward();
            accumulator
                .accumulate(&self.method, GradientsParams::from_grads(gradients, &self.method));
            let terms = out.terms.into_iter().map(|(name, term)| (name, term.inner() / count));
            let spread = embedding_std(step.all(out.embedding));
            figures.add(loss.inner(), spread, terms.collect());
        }
        let mut gradients = accumulator.grads();
        if let Some(ranks) = &ranks {
            gradients = sum_gradients(&self.method, gradients, &**ranks);
        }
        let report = StepReport {
            step: done + 1,
            loss: 0.0,
            terms: Vec::new(),
            embedding_std: 0.0,
            learning_rate: self.config.learning_rate.at(done),
            images,
            busy: Duration::ZERO,
            waited: Duration::ZERO,
        };
        (report, figures, gradients)
    }

    fn update(&mut self, gradients: GradientsParams, report: &StepReport) {
        let at = Position { step: self.steps_done(), steps: self.steps() };
        let method = self.optimizer.step(self.method.clone(), gradients, report.learning_rate);
        self.method = method.after_step(at);
    }
}

/// Whether to go on after a step. All ranks go on, or none does.
fn go_on(flow: Result<Flow, TrainError>) -> Result<bool, TrainError> {
    let standing = agree(match &flow {
        Ok(Flow::Continue) => Standing::Ready,
        Ok(Flow::Stop) => Standing::Done,
        Err(_) => Standing::Failed,
    });
    // This rank's own error says more than that of another.
    flow?;
    Ok(standing? == Standing::Ready)
}

/// See [`StepReport::embedding_std`]. `z`: `[batch, dim]`.
fn embedding_std(z: Tensor<2>) -> Tensor<1> {
    let [_, dim] = z.dims();
    let z = l2_normalize(z.inner());
    let centred = z.clone() - sums::mean_dim(z, 0);
    let deviations = sums::mean_dim(centred.square(), 0).sqrt();
    sums::mean(deviations) * (dim as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embedding_std_tells_collapse_from_spread() {
        let device = Device::flex().autodiff();
        let same = Tensor::<2>::ones([8, 4], &device);
        let embedding_std = |z| embedding_std(z).into_scalar::<f32>();
        assert!(embedding_std(same) < 1e-6);
        let axes =
            Tensor::cat(vec![Tensor::<2>::eye(4, &device), Tensor::eye(4, &device).neg()], 0);
        // Mean 0 and mean square 1/4 in each of 4 dimensions.
        assert!((embedding_std(axes) - 1.0).abs() < 1e-5);
    }
}

//! The training loop: views, loss, gradient, update, and the method's say after it.

use std::time::{Duration, Instant};

use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_kernels::{current_ranks, on_workers, sharing_weights};
use selfsame_losses::{l2_normalize, sums};

use crate::figures::{Figures, Unread};
use crate::finite::{first_not_finite, gradient_values};
use crate::ranks::{Standing, agree, gather_rows, sum_gradients};
use crate::{LearningRate, Method, Optimizer, OptimizerConfig, Position, Snapshot, TrainError};

/// Two views of the same images.
#[derive(Debug, Clone)]
pub enum Views {
    /// As a data loader makes them on the CPU.
    OnHost {
        /// Row-major `[batch, channels, height, width]`, f32, normalised; one per view.
        pixels: [Vec<f32>; 2],
        /// `[batch, channels, height, width]`
        shape: [usize; 4],
    },
    /// Made on the device that trains, `[batch, channels, height, width]` each; without autodiff.
    OnDevice(Box<[Tensor<4>; 2]>),
}

impl Views {
    /// How many images they are of.
    pub fn images(&self) -> usize {
        match self {
            Self::OnHost { shape, .. } => shape[0],
            Self::OnDevice(views) => views[0].dims()[0],
        }
    }

    /// As tensors on an autodiff device.
    pub fn on_device(self, device: &Device) -> [Tensor<4>; 2] {
        match self {
            Self::OnHost { pixels, shape } => {
                pixels.map(|pixels| Tensor::from_data(TensorData::new(pixels, shape), device))
            }
            Self::OnDevice(views) => views.map(Tensor::from_inner),
        }
    }

    /// Their values, one list per view, and the shape of each.
    pub fn into_host(self) -> ([Vec<f32>; 2], [usize; 4]) {
        match self {
            Self::OnHost { pixels, shape } => (pixels, shape),
            Self::OnDevice(views) => {
                let shape = views[0].dims();
                (views.map(|view| view.into_data().iter::<f32>().collect()), shape)
            }
        }
    }
}

/// Where batches come from, in the order of training.
///
/// Each item is one *micro*-batch: with gradient accumulation over `n`, `n` items make one
/// optimiser step. `None` means that the source has nothing more, which ends the run.
pub trait ViewSource {
    /// The next micro-batch.
    fn next_views(&mut self) -> Option<Result<Views, Box<dyn std::error::Error + Send + Sync>>>;
}

/// What a trainer needs besides the method.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainerConfig {
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// By optimiser step; its `steps` is the length of the run.
    pub learning_rate: LearningRate,
    /// Micro-batches per optimiser step, at least 1. The gradient is their mean.
    pub accumulation: usize,
}

/// What happened in one optimiser step.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Mean over the micro-batches.
    pub loss: f32,
    /// Parts of the loss by name, means over the micro-batches.
    pub terms: Vec<(&'static str, f32)>,
    /// Mean over the dimensions of the standard deviation of the l2-normalised embedding, times
    /// √dim: 1 when the embeddings fill the sphere evenly, 0 when all are the same. From the last
    /// micro-batch.
    pub embedding_std: f32,
    /// The learning rate of this step.
    pub learning_rate: f64,
    /// Images seen in this step, by all ranks.
    pub images: usize,
    /// Wall-clock time in forward, backward and update; where its figures were not read at once,
    /// only until the device had been told what to do.
    pub busy: Duration,
    /// Wall-clock time that [`Trainer::fit`] waited for the batches of this step.
    pub waited: Duration,
}

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// Stop after this step; the trainer is left in a state that can be saved.
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

/// What the caller does between steps: show progress, evaluate, save, stop.
pub trait Hooks<M: Method> {
    /// Whether the figures of `step`, which is about to be computed, are to be read from the device
    /// as soon as it is done.
    ///
    /// Reading waits for a device that computes behind the program, a GPU. A hook that need not
    /// know at once says no, and steps are reported together with the next one that it says yes to,
    /// or with the last one of the run. The price: their updates have been made before anyone looks
    /// whether loss and gradients are finite, and what is then found not to be is reported when the
    /// weights have already taken it in. Of several ranks, all read what one of them has to know.
    fn reads(&self, step: u64) -> bool {
        let _ = step;
        true
    }

    /// After every optimiser step, in their order. `trainer` is as the newest step left it, which
    /// is a later one than that of `report` where steps are reported together.
    ///
    /// # Errors
    /// Whatever the caller wants to end the run with.
    fn after_step(
        &mut self,
        trainer: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>>;
}

/// A method in training: the method, its optimiser, its schedule and where it stands.
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
    /// Settings of the optimiser or the schedule that make no sense, or a plain device.
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

    /// Replaces weights and optimiser state, for a resume.
    pub(crate) fn restore(&mut self, method: M, optimizer: Optimizer) {
        self.method = method;
        self.optimizer = optimizer;
    }

    /// Trains until the schedule ends, the source runs dry or a hook stops it; of several ranks,
    /// until one of them does.
    ///
    /// # Errors
    /// A failing source or hook, here or on another rank, or a loss or gradient that is not finite.
    pub fn fit(
        &mut self,
        source: &mut dyn ViewSource,
        hooks: &mut dyn Hooks<M>,
    ) -> Result<Outcome, TrainError> {
        let mut unread = Vec::new();
        let outcome = self.fit_until(source, hooks, &mut unread);
        let (reports, finite) = Unread::read_all(unread);
        self.report(reports, hooks)?;
        // Whatever else is wrong may come of that.
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
            let batches = self.next_batches(source);
            let standing = agree(match &batches {
                Ok(Some(_)) if hooks.reads(self.steps_done() + 1) => Standing::Reading,
                Ok(Some(_)) => Standing::Ready,
                Ok(None) => Standing::Done,
                Err(_) => Standing::Failed,
            });
            // An error of this rank's own says more than that of another.
            let batches = batches?;
            let (standing @ (Standing::Ready | Standing::Reading), Some(micro_batches)) =
                (standing?, batches)
            else {
                return Ok(Outcome::Stopped);
            };
            let waited = start.elapsed();
            let reads = standing == Standing::Reading;
            let (reports, finite) = if reads && unread.is_empty() {
                match self.step(micro_batches) {
                    Ok(report) => (vec![StepReport { waited, ..report }], Ok(())),
                    Err(error) => (Vec::new(), Err(error)),
                }
            } else {
                unread.push(self.step_unread(micro_batches, waited));
                let ready = if reads { std::mem::take(unread) } else { Vec::new() };
                Unread::read_all(ready)
            };
            if reads {
                // Devices that sum between themselves may come to the end of a step without one
                // that has failed in it. Nothing is made of such a step: who reads knows.
                agree(Standing::Ready)?;
            }
            let flow = finite.and(self.report(reports, hooks));
            let standing = agree(match &flow {
                Ok(Flow::Continue) => Standing::Ready,
                Ok(Flow::Stop) => Standing::Done,
                Err(_) => Standing::Failed,
            });
            flow?;
            if standing? != Standing::Ready {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// Whether the hooks say stop after any of these steps.
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

    /// The micro-batches of a step, `None` where the source has no more.
    fn next_batches(&self, source: &mut dyn ViewSource) -> Result<Option<Vec<Views>>, TrainError> {
        let batches = (0..self.config.accumulation).map_while(|_| source.next_views());
        let batches = batches.collect::<Result<Vec<_>, _>>().map_err(TrainError::Source)?;
        Ok(Some(batches).filter(|batches| batches.len() == self.config.accumulation))
    }

    /// One optimiser step over `micro_batches` (normally `accumulation` of them).
    ///
    /// # Errors
    /// A loss or gradient that is not finite; parameters and optimiser are then unchanged.
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

    /// A step whose figures stay on the device for now.
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
        let step = self.steps_done();
        let at = Position { step, steps: self.steps() };
        let count = micro_batches.len() as f32;
        let mut accumulator = GradientsAccumulator::new();
        let mut figures = Figures::default();
        let mut images = 0;
        for views in micro_batches {
            images += views.images() * ranks.as_ref().map_or(1, |ranks| ranks.count());
            let out = sharing_weights(|| self.method.loss(views.on_device(&self.device), at));
            // Dividing before the backward pass makes the accumulated gradient the mean.
            let loss = out.loss / count;
            let gradients = loss.backward();
            accumulator
                .accumulate(&self.method, GradientsParams::from_grads(gradients, &self.method));
            let terms = out.terms.into_iter().map(|(name, term)| (name, term.inner() / count));
            let spread = embedding_std(gather_rows(out.embedding));
            figures.add(loss.inner(), spread, terms.collect());
        }
        let mut gradients = accumulator.grads();
        if let Some(ranks) = &ranks {
            gradients = sum_gradients(&self.method, gradients, &**ranks);
        }
        let report = StepReport {
            step: step + 1,
            loss: 0.0,
            terms: Vec::new(),
            embedding_std: 0.0,
            learning_rate: self.config.learning_rate.at(step),
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

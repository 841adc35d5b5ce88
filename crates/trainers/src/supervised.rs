//! Training on labels: full fine-tuning of a pretrained encoder, and, from initial weights, the
//! supervised baseline of the same size. The two only differ in the initial encoder.

use std::time::{Duration, Instant};

use burn::module::{Module, ModuleDisplay};
use burn::nn::loss::CrossEntropyLossConfig;
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, FloatDType, Int, Tensor, TensorData};
use selfsame_kernels::on_workers;
use selfsame_models::Encoder;
use selfsame_models::init::WeightInit;
use selfsame_models::layers::Linear;

use crate::finite::first_not_finite;
use crate::{Flow, LearningRate, Optimizer, OptimizerConfig, Outcome, TrainError};

/// An encoder with a linear layer on its features.
#[derive(Module, Debug)]
pub struct Classifier<E: Module> {
    /// All of it is trained.
    pub encoder: E,
    /// Features to one logit per class.
    pub head: Linear,
}

impl<E: Encoder + Module + ModuleDisplay> Classifier<E> {
    /// The stream of [`WeightInit`] for heads. The methods' networks have the streams 0 to 2.
    const HEAD_STREAM: u64 = 3;

    /// A copy of `encoder` with a new head, ready to train. `encoder` may be on a plain or an
    /// autodiff device.
    ///
    /// `encoder` does not change: parameters and running statistics are copied.
    ///
    /// # Errors
    /// Fewer than two classes.
    pub fn new(encoder: &E, classes: usize, seed: u64) -> Result<Self, TrainError> {
        if classes < 2 {
            let reason = format!("{classes} is too few; classification needs at least 2");
            return Err(TrainError::config("classes", reason));
        }
        let device = encoder.devices().into_iter().next().unwrap_or_default().inner().autodiff();
        let mut init = WeightInit::new(seed, Self::HEAD_STREAM, &device);
        let head = Linear::new([encoder.feature_dim(), classes], true, &mut init);
        // A plain clone would share its running statistics with the original. A validation snapshot
        // does not.
        Ok(Self { encoder: encoder.valid().train(), head })
    }

    /// Images `[batch, 3, height, width]` → logits `[batch, classes]`. The device decides the mode:
    /// on an autodiff device, batch norm trains.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.encoder.forward(images))
    }

    /// Logits `[batch, classes]` of a validation snapshot (`classifier.valid()`). Batch norm uses
    /// its running statistics. So the logits of an image do not depend on its batch.
    ///
    /// # Errors
    /// The classifier or the images are on an autodiff device. This would train batch norm.
    pub fn predict(&self, images: Tensor<4>) -> Result<Tensor<2>, TrainError> {
        if images.device().is_autodiff() || self.devices().iter().any(Device::is_autodiff) {
            let reason = "prediction needs a plain device: a validation snapshot, `valid()`";
            return Err(TrainError::config("device", reason));
        }
        Ok(self.forward(images))
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.head.weight.dims()[0]
    }
}

/// Cross-entropy of logits and classes, the mean over the batch:
///
/// `L = −mean_i Σ_k t_ik · log softmax(logits_i)_k`, where `t_ik = (1 − s) · [k = label_i] + s / K`
/// (label smoothing: Szegedy et al., 2016, section 7).
///
/// - `logits`: `[batch, K]`, any float type. Computed at least in f32 and in the log domain, so no
///   logit is too large.
/// - `labels`: `batch` of them.
/// - `smoothing`: s, in `[0, 1)`; 0 for none.
/// - returns a scalar `[1]`, differentiable in `logits`.
///
/// # Errors
/// A class has no logit, the numbers of labels and rows differ, or the smoothing is out of range.
pub fn cross_entropy(
    logits: Tensor<2>,
    labels: &[u32],
    smoothing: f32,
) -> Result<Tensor<1>, TrainError> {
    let [batch, classes] = logits.dims();
    check_smoothing(smoothing)?;
    check_labels(labels, batch, classes)?;
    let device = logits.device();
    let logits = if logits.dtype().size() < 4 { logits.cast(FloatDType::F32) } else { logits };
    let labels = labels.iter().map(|label| i64::from(*label)).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new::<i64, _>(labels, [batch]), &device);
    let smoothing = (smoothing > 0.0).then_some(smoothing);
    let loss = CrossEntropyLossConfig::new().with_smoothing(smoothing).init(&device);
    Ok(loss.forward(logits, targets))
}

fn check_smoothing(smoothing: f32) -> Result<(), TrainError> {
    if (0.0..1.0).contains(&smoothing) {
        return Ok(());
    }
    Err(TrainError::config("label_smoothing", format!("{smoothing} is outside [0, 1)")))
}

fn check_labels(labels: &[u32], batch: usize, classes: usize) -> Result<(), TrainError> {
    if labels.len() != batch {
        return Err(TrainError::Batch(format!("{} labels for {batch} images", labels.len())));
    }
    match labels.iter().find(|label| **label as usize >= classes) {
        Some(label) => Err(TrainError::Label { label: *label, classes }),
        None => Ok(()),
    }
}

/// Images with a class each, as a data loader makes them on the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelledBatch {
    /// Row-major `[batch, channels, height, width]`, f32, normalised.
    pub pixels: Vec<f32>,
    /// `[batch, channels, height, width]`
    pub shape: [usize; 4],
    /// One per image.
    pub labels: Vec<u32>,
}

/// A source of labelled batches, in the order of training. Their sizes may differ.
pub trait LabelledSource {
    /// The next batch, for one optimiser step. `None` ends the run.
    fn next_batch(
        &mut self,
    ) -> Option<Result<LabelledBatch, Box<dyn std::error::Error + Send + Sync>>>;
}

/// The settings of a [`SupervisedTrainer`].
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisedConfig {
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate of the head, by optimiser step. Its `steps` is the length of the run.
    pub learning_rate: LearningRate,
    /// The encoder's learning rate over the head's, above 0. With 1 both are equal. In Barlow
    /// Twins' code it is less.
    pub encoder_rate: f64,
    /// See [`cross_entropy`].
    pub label_smoothing: f32,
}

/// The report of one optimiser step.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisedReport {
    /// Steps done, this one included.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Cross-entropy of the batch before the step.
    pub loss: f32,
    /// Images of the batch whose class had the largest logit, before the step.
    pub correct: usize,
    /// Images of the batch.
    pub images: usize,
    /// The head's learning rate in this step.
    pub learning_rate: f64,
    /// Wall-clock time in forward, backward and update.
    pub busy: Duration,
}

/// A classifier in training: encoder and head, an optimiser for each, and their position.
#[derive(Debug)]
pub struct SupervisedTrainer<E: Module> {
    classifier: Classifier<E>,
    encoder: Optimizer,
    head: Optimizer,
    config: SupervisedConfig,
    device: Device,
}

impl<E: Encoder + Module + ModuleDisplay> SupervisedTrainer<E> {
    /// Starts at step 0.
    ///
    /// # Errors
    /// The settings are invalid, or the classifier is on a plain device.
    pub fn new(classifier: Classifier<E>, config: SupervisedConfig) -> Result<Self, TrainError> {
        let device = classifier.devices().into_iter().next().unwrap_or_default();
        if !device.is_autodiff() {
            return Err(TrainError::config("device", "training needs an autodiff device"));
        }
        check_smoothing(config.label_smoothing)?;
        let rate = config.encoder_rate;
        if !(rate > 0.0 && rate.is_finite()) {
            let reason = format!("{rate} is not a finite number above 0");
            return Err(TrainError::config("encoder_rate", reason));
        }
        let encoder = Optimizer::new(config.optimizer.clone())?;
        let head = encoder.clone();
        Ok(Self { classifier, encoder, head, config, device })
    }

    /// The classifier with its current weights.
    pub fn classifier(&self) -> &Classifier<E> {
        &self.classifier
    }

    /// Optimiser steps done.
    pub fn steps_done(&self) -> u64 {
        self.head.steps_done()
    }

    /// Optimiser steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.config.learning_rate.steps
    }

    /// Trains until the schedule ends, the source is empty, or `after_step` stops it.
    ///
    /// # Errors
    /// The source fails, and those of [`step`](Self::step).
    pub fn fit(
        &mut self,
        source: &mut dyn LabelledSource,
        after_step: &mut dyn FnMut(&SupervisedReport) -> Flow,
    ) -> Result<Outcome, TrainError> {
        while self.steps_done() < self.steps() {
            let Some(batch) = source.next_batch() else { return Ok(Outcome::Stopped) };
            let report = self.step(batch.map_err(TrainError::Source)?)?;
            if after_step(&report) == Flow::Stop {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Finished)
    }

    /// One optimiser step. A batch needs at least 2 images. Its size may differ in every step.
    ///
    /// # Errors
    /// The batch has fewer than two images, too few for batch norm; pixels or labels do not fit the
    /// shape; a class is out of range; or the loss or a gradient is not finite. Parameters and
    /// optimisers are then unchanged. In the last case, the running statistics include the batch.
    pub fn step(&mut self, batch: LabelledBatch) -> Result<SupervisedReport, TrainError> {
        let [images, channels, height, width] = batch.shape;
        if images < 2 {
            let reason = format!("batch statistics need at least 2 images, not {images}");
            return Err(TrainError::Batch(reason));
        }
        let elements =
            [channels, height, width].into_iter().try_fold(images, |n, side| n.checked_mul(side));
        if elements != Some(batch.pixels.len()) {
            let reason = format!("{} values for a shape of {:?}", batch.pixels.len(), batch.shape);
            return Err(TrainError::Batch(reason));
        }
        check_labels(&batch.labels, images, self.classifier.classes())?;
        let device = self.device.clone();
        on_workers(&device, || self.compute(batch))
    }

    fn compute(&mut self, batch: LabelledBatch) -> Result<SupervisedReport, TrainError> {
        let start = Instant::now();
        let step = self.steps_done();
        let LabelledBatch { pixels, shape, labels } = batch;
        let images = Tensor::from_data(TensorData::new(pixels, shape), &self.device);
        let logits = self.classifier.forward(images);
        let loss = cross_entropy(logits.clone(), &labels, self.config.label_smoothing)?;
        let mut gradients = loss.backward();
        let loss_value = loss.into_scalar::<f32>();
        if !loss_value.is_finite() {
            return Err(TrainError::NotFinite { step, loss: loss_value });
        }
        let predictions = predicted_classes(logits.inner())?;
        let Classifier { encoder, head } = self.classifier.clone();
        let of_encoder = GradientsParams::from_module(&mut gradients, &encoder);
        let of_head = GradientsParams::from_grads(gradients, &head);
        let found = first_not_finite(&encoder, &of_encoder, &self.device)
            .or_else(|| first_not_finite(&head, &of_head, &self.device));
        if let Some((parameter, value)) = found {
            let loss = loss_value;
            return Err(TrainError::GradientNotFinite { step, parameter, value, loss });
        }
        let learning_rate = self.config.learning_rate.at(step);
        let encoder_rate = learning_rate * self.config.encoder_rate;
        self.classifier = Classifier {
            encoder: self.encoder.step(encoder, of_encoder, encoder_rate),
            head: self.head.step(head, of_head, learning_rate),
        };
        Ok(SupervisedReport {
            step: step + 1,
            steps: self.steps(),
            loss: loss_value,
            correct: predictions.iter().zip(&labels).filter(|(p, l)| p == l).count(),
            images: labels.len(),
            learning_rate,
            busy: start.elapsed(),
        })
    }
}

/// The class of the largest logit in each row, or the first of several equal ones. `logits`:
/// `[batch, classes]`.
///
/// # Errors
/// The logits are not finite, or the device cannot return them.
pub fn predicted_classes(logits: Tensor<2>) -> Result<Vec<u32>, TrainError> {
    let [_, classes] = logits.dims();
    let unreadable = |reason: String| selfsame_models::ModelError::Device(reason);
    let data = logits.try_into_data_dtype(DType::F32).map_err(|e| unreadable(format!("{e:?}")))?;
    let values = data.try_into_vec::<f32>().map_err(|e| unreadable(format!("{e:?}")))?;
    if values.iter().any(|value| !value.is_finite()) {
        return Err(TrainError::Batch("the logits are not finite".into()));
    }
    let largest = |row: &[f32]| {
        let best = (0..row.len()).rev().max_by(|a, b| row[*a].total_cmp(&row[*b]));
        best.unwrap_or(0) as u32
    };
    Ok(values.chunks(classes.max(1)).map(largest).collect())
}

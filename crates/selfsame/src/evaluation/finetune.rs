//! Training of the whole network on labels: fine-tuning of a pretrained encoder, or a supervised
//! baseline from initial weights.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{bail, ensure};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use selfsame_augment::{
    AugmentError, RgbSource, ViewBuffer, ViewConfig, ViewGenerator, ViewParams, ViewRng,
};
use selfsame_data::{ImageDataset, LoaderConfig, Shard, ViewLoader, ViewStream};
use selfsame_eval::LabelledImages;
use selfsame_models::ResNet;
use selfsame_models::init::WeightInit;
use selfsame_trainers::{
    Classifier, Flow, LabelledBatch, LabelledSource, LearningRate, OptimizerConfig, Outcome, Rule,
    Sgd, SupervisedConfig, SupervisedReport, SupervisedTrainer, TrainError, predicted_classes,
};
use serde::Serialize;

use crate::features::images::PlainImages;
use crate::settings::RunConfig;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The initial weights of the encoder.
#[derive(Clone, Copy)]
pub enum Start<'a> {
    /// Those of a pretrained encoder. It is not changed.
    Pretrained(&'a ResNet),
    /// Random weights, drawn from the seed, as in pretraining with that seed.
    Scratch,
}

/// The settings of training on labels. The rule is SGD with momentum 0.9, with a warm-up and a
/// cosine schedule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FinetuneSettings {
    /// Passes over the labelled images.
    pub epochs: u64,
    /// The least number of optimiser steps. Few labels need more passes to reach it.
    pub min_steps: u64,
    /// The largest batch.
    pub batch_size: usize,
    /// Learning rate of the head, at the end of the warm-up.
    pub learning_rate: f64,
    /// The encoder's learning rate over the head's.
    pub encoder_rate: f64,
    /// Weight decay λ. Biases and batch norm have none.
    pub weight_decay: f64,
    /// The share of all steps in the warm-up, from 0 to 1.
    pub warmup: f64,
    /// Label smoothing, from 0 (none) to below 1.
    pub label_smoothing: f32,
}

impl Default for FinetuneSettings {
    /// See `docs/decisions/0010-finetuning.md`.
    fn default() -> Self {
        Self {
            epochs: 10,
            min_steps: 600,
            batch_size: 32,
            learning_rate: 0.05,
            encoder_rate: 1.0,
            weight_decay: 1e-3,
            warmup: 0.1,
            label_smoothing: 0.1,
        }
    }
}

impl FinetuneSettings {
    /// The number of optimiser steps on `images` labelled images.
    pub fn steps(&self, images: usize) -> u64 {
        let per_epoch = (images as u64).div_ceil(self.batch_size.max(1) as u64).max(1);
        self.epochs(per_epoch) * per_epoch
    }

    /// The number of passes over the images, with `steps` steps each.
    fn epochs(&self, per_epoch: u64) -> u64 {
        self.epochs.max(self.min_steps.div_ceil(per_epoch)).max(1)
    }
}

/// The result of training on labels.
#[derive(Debug)]
pub struct FinetuneResult {
    /// As trained, in evaluation mode.
    pub encoder: ResNet,
    /// For each labelled test image, in order, whether the prediction is right.
    pub correct: Vec<bool>,
    /// The share of right predictions.
    pub top1: f64,
    /// Passes over the labelled images.
    pub epochs: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Wall-clock time of training, without the test.
    pub train_seconds: f64,
}

/// The training images, the test images, and the settings.
pub struct Finetune<'a> {
    /// The settings of the run: encoder, size and statistics of the views, crops and flips,
    /// precision.
    pub config: &'a RunConfig,
    /// The training images. All have labels.
    pub train: Arc<dyn ImageDataset>,
    /// The test images. They are used once, after the last step.
    pub test: Arc<dyn ImageDataset>,
    pub settings: FinetuneSettings,
    /// A plain one.
    pub device: &'a Device,
}

impl Finetune<'_> {
    /// Trains a classifier on `train` and tests it on `test`.
    ///
    /// The seed fixes the head, the order of the images, their views, and the weights of
    /// [`Start::Scratch`]. The same seed gives the same result on any number of threads.
    ///
    /// # Errors
    /// A training image has no label, or no test image has one; settings are invalid; the loss is
    /// not finite; or `progress` stops the training.
    pub fn run(
        &self,
        start: Start<'_>,
        seed: u64,
        progress: &mut dyn FnMut(&SupervisedReport) -> Flow,
    ) -> anyhow::Result<FinetuneResult> {
        let settings = &self.settings;
        ensure!(settings.batch_size >= 2, "fine-tuning: batch_size must be at least 2");
        ensure!((0.0..=1.0).contains(&settings.warmup), "fine-tuning: warmup must be from 0 to 1");
        if let Some(index) = (0..self.train.len()).find(|i| self.train.label(*i).is_none()) {
            bail!("fine-tuning needs labels: training image {index} has none");
        }
        let loader = self.loader(seed)?;
        let per_epoch = loader.batches_per_epoch();
        let epochs = settings.epochs(per_epoch);
        let steps = epochs * per_epoch;
        let mut trainer = self.trainer(start, seed, steps)?;
        let mut source =
            LabelledViews { stream: loader.stream(0, steps), dataset: self.train.clone() };

        let begin = Instant::now();
        let precision = self.config.precision.into();
        let outcome = selfsame_kernels::autocast(precision, || trainer.fit(&mut source, progress))?;
        let train_seconds = begin.elapsed().as_secs_f64();
        ensure!(outcome == Outcome::Finished, "fine-tuning was stopped");

        let classifier = trainer.classifier().valid();
        let correct = self.test(&classifier)?;
        let top1 = correct.iter().filter(|c| **c).count() as f64 / correct.len() as f64;
        let encoder = classifier.encoder;
        Ok(FinetuneResult { encoder, correct, top1, epochs, steps, train_seconds })
    }

    fn loader(&self, seed: u64) -> anyhow::Result<ViewLoader> {
        let view = self.config.views.view(0);
        let config = ViewConfig::plain(view.size)
            .interpolation(view.interpolation)
            .random_resized_crop(view.crop_scale, view.crop_ratio)
            .horizontal_flip(view.flip_probability)
            .normalize(view.mean, view.std);
        config.validate()?;
        let loader = LoaderConfig {
            batch_size: self.settings.batch_size,
            seed,
            prefetch: self.config.data.prefetch,
            threads: crate::device::threads::of_loader(self.config.data.threads),
            shard: Shard::default(),
        };
        Ok(ViewLoader::every_image(self.train.clone(), Arc::new(OneView(config)), &loader)?)
    }

    fn trainer(
        &self,
        start: Start<'_>,
        seed: u64,
        steps: u64,
    ) -> anyhow::Result<SupervisedTrainer<ResNet>> {
        let settings = &self.settings;
        let classes = self.train.class_names().len();
        let classifier = match start {
            Start::Pretrained(encoder) => Classifier::new(encoder, classes, seed)?,
            Start::Scratch => {
                let mut init = WeightInit::new(seed, 0, self.device);
                let encoder = self.config.encoder.resnet().init(&mut init)?;
                Classifier::new(&encoder, classes, seed)?
            }
        };
        let config = SupervisedConfig {
            optimizer: OptimizerConfig {
                rule: Rule::Sgd(Sgd { momentum: 0.9, nesterov: false }),
                weight_decay: settings.weight_decay,
                exclude_bias_and_norm: settings.weight_decay > 0.0,
            },
            learning_rate: LearningRate {
                peak: settings.learning_rate,
                warmup_steps: (settings.warmup * steps as f64).round() as u64,
                steps,
                final_fraction: 0.0,
            },
            encoder_rate: settings.encoder_rate,
            label_smoothing: settings.label_smoothing,
        };
        Ok(SupervisedTrainer::new(classifier, config)?)
    }

    /// Whether the prediction is right for each labelled test image, without augmentation.
    fn test(&self, classifier: &Classifier<ResNet>) -> anyhow::Result<Vec<bool>> {
        let images = PlainImages::new(self.test.clone(), self.config)?;
        let batch_size = self.config.eval.batch_size;
        let mut correct = Vec::with_capacity(images.len());
        for start in (0..images.len()).step_by(batch_size) {
            let range = start..(start + batch_size).min(images.len());
            let mut pixels = Vec::new();
            let [c, h, w] = images.read(range.clone(), &mut pixels).map_err(TrainError::Source)?;
            let data = TensorData::new(pixels, [range.len(), c, h, w]);
            let predictions =
                predicted_classes(classifier.predict(Tensor::from_data(data, self.device))?)?;
            correct.extend(range.zip(predictions).filter_map(|(index, predicted)| {
                images.label(index).map(|label| label == predicted)
            }));
        }
        ensure!(!correct.is_empty(), "none of the test images has a label");
        Ok(correct)
    }
}

/// One random view of each image.
struct OneView(ViewConfig);

impl ViewGenerator for OneView {
    fn view_count(&self) -> usize {
        1
    }

    fn view_size(&self, _: usize) -> usize {
        self.0.size as usize
    }

    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        rng: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError> {
        if view != 0 {
            return Err(AugmentError::View { view, count: 1 });
        }
        Ok(self.0.draw(width, height, rng))
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        let params = self.draw(source.width(), source.height(), view, rng)?;
        self.0.render(source, &params, out)
    }
}

/// A batch source: a loader's stream with the labels of its images.
struct LabelledViews {
    stream: ViewStream,
    dataset: Arc<dyn ImageDataset>,
}

impl LabelledSource for LabelledViews {
    fn next_batch(&mut self) -> Option<Result<LabelledBatch, BoxError>> {
        Some(self.stream.next()?.map_err(Into::into).and_then(|batch| {
            let pixels = batch.views.into_iter().next().ok_or("the loader made no view")?;
            let size = batch.sizes[0];
            let label = |index: &usize| {
                self.dataset.label(*index).ok_or_else(|| format!("image {index} has no label"))
            };
            let labels = batch.indices.iter().map(label).collect::<Result<_, _>>()?;
            Ok(LabelledBatch { pixels, shape: [batch.batch, 3, size, size], labels })
        }))
    }
}

#[cfg(test)]
mod tests;

//! A visit of the collapse doctor: it sends two fixed views of the same images through a method's
//! networks.

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_augment::{RgbSource, ViewPair, render_batch};
use selfsame_data::ImageDataset;
use selfsame_eval::{
    Diagnosis, Evidence, Features, PairSignals, PredictorSpectrum, Spread, TargetDistance, Trained,
    Training, images_together, projection_distance, weight_distance,
};
use selfsame_models::weights::state_dict;
use selfsame_trainers::{Method, Projections};

use crate::evenly::evenly;
use crate::folder::judged::Evaluation;
use crate::folder::record::DoctorFigures;
use crate::settings::RunConfig;

/// No training run reaches this epoch. So no run trains on these views.
const EPOCH: u64 = u64::MAX - 1;

/// Views of some images under the augmentation of a run.
pub struct Checkup {
    /// One row-major `[images, 3, size, size]` for each view.
    views: [Vec<f32>; 2],
    images: usize,
    size: usize,
    trained: Option<Trained>,
    batch_size: usize,
    device: Device,
}

/// A method's embeddings of the views, each `[images, dim]`.
struct Embeddings {
    views: [Features; 2],
    prediction: Option<Features>,
    target: Option<Features>,
}

/// The networks to compare with.
#[derive(Default)]
pub struct Untrained<'a> {
    pub features: Option<&'a Spread>,
    pub projections: Option<&'a Spread>,
    pub knn_top1: Option<f64>,
}

/// The result of a visit, without the encoder's features.
#[derive(Debug, Clone)]
pub struct Examination {
    /// The spread of the first view's projections.
    pub projections: Spread,
    pub pair: PairSignals,
    pub predictor: Option<PredictorSpectrum>,
    pub target: Option<TargetDistance>,
    trained: Option<Trained>,
}

impl Checkup {
    /// Views of up to `count` images, evenly over the set. `device`: a plain device.
    pub fn new(
        config: &RunConfig,
        images: &dyn ImageDataset,
        count: usize,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let pair = ViewPair::new(config.views.view(0), config.views.view(1))?;
        let chosen = evenly(images.len(), count);
        // A file that cannot be read is skipped, as in training.
        let read: Vec<_> = chosen
            .into_iter()
            .filter_map(|index| Some((index as u64, images.image(index).ok()?)))
            .collect();
        let sources = read
            .iter()
            .map(|(index, image)| Ok((*index, RgbSource::try_from(&**image)?)))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut views = Vec::new();
        render_batch(&pair, &sources, config.seed, EPOCH, &mut views)?;
        let size = config.views.view(0).size as usize;
        let views = views.try_into().map_err(|_| anyhow::anyhow!("a pair makes two views"))?;
        Ok(Self {
            views,
            images: sources.len(),
            size,
            trained: config.method.trained(),
            batch_size: images_together(config.eval.batch_size, 3 * size * size),
            device: device.clone(),
        })
    }

    /// Examines `method`, a validation snapshot.
    pub fn examine<M: Method>(&self, method: &M) -> anyhow::Result<Examination> {
        let Embeddings { views: [first, second], prediction, target } = self.embeddings(method)?;
        // The map from inputs to outputs is only determined with more images than dimensions.
        let prediction = prediction.filter(|_| first.rows() > first.dim());
        let predictor = prediction.map(|q| PredictorSpectrum::of_map(&first, &q)).transpose()?;
        let target = match target {
            Some(target) => Some(TargetDistance {
                weights: distance_to_target(method)?,
                projections: projection_distance(&first, &target)?,
            }),
            None => None,
        };
        Ok(Examination {
            projections: Spread::of(&first)?,
            pair: PairSignals::of(&first, &second)?,
            predictor,
            target,
            trained: self.trained,
        })
    }

    /// The embeddings of the views by `method`, a validation snapshot.
    fn embeddings<M: Method>(&self, method: &M) -> anyhow::Result<Embeddings> {
        let length = 3 * self.size * self.size;
        let (mut views, mut prediction, mut target) = ([vec![], vec![]], vec![], vec![]);
        for start in (0..self.images).step_by(self.batch_size) {
            let end = (start + self.batch_size).min(self.images);
            let input = |pixels: &Vec<f32>| -> Tensor<4> {
                let part = pixels[start * length..end * length].to_vec();
                let shape = [end - start, 3, self.size, self.size];
                Tensor::from_data(TensorData::new(part, shape), &self.device)
            };
            let batch: Projections = method.projections(self.views.each_ref().map(input));
            for (all, part) in views.iter_mut().zip(batch.views) {
                append(all, part)?;
            }
            batch.prediction.map(|part| append(&mut prediction, part)).transpose()?;
            batch.target.map(|part| append(&mut target, part)).transpose()?;
        }
        let features = |values: Vec<f32>| {
            Features::new(values.clone(), self.images, (values.len() / self.images.max(1)).max(1))
        };
        let [first, second] = views;
        let optional = |values: Vec<f32>| -> anyhow::Result<Option<Features>> {
            Ok(if values.is_empty() { None } else { Some(features(values)?) })
        };
        Ok(Embeddings {
            views: [features(first)?, features(second)?],
            prediction: optional(prediction)?,
            target: optional(target)?,
        })
    }
}

/// The progress of a run of `steps` optimiser steps after `done`.
pub fn training(config: &RunConfig, done: u64, steps: u64) -> Training {
    let rate = config.trainer(steps).learning_rate;
    Training {
        steps: done,
        full_steps: match rate.peak > 0.0 {
            true => (0..done).map(|step| rate.at(step) / rate.peak).sum(),
            false => 0.0,
        },
        ended: done >= steps,
        tau: config.settings.tau(),
    }
}

/// Relative distance between the parameters of online and target network, or student and teacher.
fn distance_to_target<M: Method>(method: &M) -> anyhow::Result<f64> {
    let weights = state_dict(method)?;
    let pairs = weights.iter().filter_map(|(name, online)| {
        if name.contains("running_") {
            return None;
        }
        let counterpart = match name.split_once('.')? {
            ("online", rest) => format!("target.{rest}"),
            ("student", rest) => format!("teacher.{rest}"),
            _ => return None,
        };
        let target = weights.get(&counterpart)?;
        Some((online.values.as_slice(), target.values.as_slice()))
    });
    Ok(weight_distance(pairs)?)
}

impl Examination {
    /// The verdict. It uses the encoder's features, the networks before training, and the progress
    /// of training.
    pub fn diagnose(
        &self,
        features: &Evaluation,
        untrained: &Untrained<'_>,
        training: Training,
    ) -> Diagnosis {
        Evidence {
            trained: self.trained,
            training: Some(training),
            features: Some(&features.spread),
            projections: Some(&self.projections),
            untrained_features: untrained.features,
            untrained_projections: untrained.projections,
            pair: Some(&self.pair),
            predictor: self.predictor.as_ref(),
            target: self.target,
            knn: features.knn_gain(untrained.knn_top1),
        }
        .diagnose()
    }

    /// The figures, for `metrics.jsonl`.
    pub fn figures(&self) -> DoctorFigures {
        DoctorFigures {
            projection_std: self.projections.mean_std,
            projection_rank: self.projections.effective_rank,
            projection_directions: self.projections.directions,
            alignment: self.pair.alignment,
            uniformity: self.pair.uniformity,
            on_diagonal: self.pair.on_diagonal,
            off_diagonal: self.pair.off_diagonal,
            predictor_rank: self.predictor.as_ref().map(|predictor| predictor.effective_rank),
            target_weight_distance: self.target.map(|target| target.weights),
            target_projection_distance: self.target.map(|target| target.projections),
        }
    }
}

fn append(all: &mut Vec<f32>, part: Tensor<2>) -> anyhow::Result<()> {
    let values = part.into_data().try_into_vec::<f32>();
    all.extend(values.map_err(|e| anyhow::anyhow!("cannot read embeddings: {e:?}"))?);
    Ok(())
}

//! The evaluation that training, `eval` and the report share.

use std::sync::Arc;

use anyhow::Context;
use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::{ImageDataset, Labels, Splits, Subset};
use selfsame_eval::{Features, Labelled, LabelledImages, Probe, Spread, extract};
use selfsame_models::Encoder;

use crate::features::cache::FeatureCache;
use crate::features::images::PlainImages;
use crate::folder::judged::Evaluation;
use crate::settings::{EvalSection, RunConfig};

/// The images to evaluate an encoder on.
pub struct Judge {
    pub train: PlainImages,
    /// `None` if there is no accuracy (see [`Splits::untested`]). Then only collapse can be
    /// detected.
    pub test: Option<PlainImages>,
    settings: EvalSection,
    device: Device,
}

/// The number of images of each split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub train: usize,
    pub test: usize,
}

/// The training images for probes: those with a label, as many as the settings allow. All images if
/// none has a label.
fn known(config: &RunConfig, data: &Splits) -> anyhow::Result<Arc<dyn ImageDataset>> {
    let train = &data.train;
    let budget = config.eval.labels()?;
    let (mut some, mut all) = (false, true);
    for index in 0..train.len() {
        let labelled = train.label(index).is_some();
        some |= labelled;
        all &= labelled;
    }
    if !some || (all && budget.is_none()) {
        return Ok(train.clone());
    }
    let budget = budget.unwrap_or(Labels::Share(1.0));
    Ok(Arc::new(Subset::labelled(train.clone(), budget, config.data.split_seed)?))
}

/// Features of both splits.
pub struct SplitFeatures {
    pub train: Features,
    pub test: Option<Features>,
}

impl Judge {
    /// `device`: a plain one.
    pub fn new(config: &RunConfig, data: &Splits, device: &Device) -> anyhow::Result<Self> {
        let train = PlainImages::new(known(config, data)?, config)?;
        let test = match &data.test {
            Some(test) => Some(PlainImages::new(test.clone(), config)?),
            None => None,
        };
        let test = test.filter(|_| data.untested().is_none());
        Ok(Self { train, test, settings: config.eval.clone(), device: device.clone() })
    }

    /// The same with at most this many images of each split, evenly over the classes.
    pub fn at_most(mut self, most: Size, config: &RunConfig) -> anyhow::Result<Self> {
        let some = |images: PlainImages, most: usize| match images.len() > most {
            false => Ok(images),
            true => PlainImages::new(Arc::new(Subset::first(images.shared(), most)), config),
        };
        self.train = some(self.train, most.train)?;
        self.test = self.test.map(|test| some(test, most.test)).transpose()?;
        Ok(self)
    }

    /// Frozen features. The encoder is in evaluation mode.
    pub fn features(&self, encoder: &impl Encoder) -> anyhow::Result<SplitFeatures> {
        let extract =
            |images: &PlainImages| extract(encoder, images, self.settings.batch_size, &self.device);
        let test = self.test.as_ref().map(extract).transpose()?;
        Ok(SplitFeatures { train: extract(&self.train)?, test })
    }

    /// [`features`](Self::features), kept in the run's folder for a later `eval`. `of`: the name of
    /// the encoder.
    pub fn kept_features(
        &self,
        encoder: &(impl Encoder + Module),
        cache: &FeatureCache,
        of: &str,
    ) -> anyhow::Result<SplitFeatures> {
        let kept = |images: &PlainImages, split: &str| {
            cache.features(encoder, images, &format!("features of {of}, {split} images"))
        };
        let test = self.test.as_ref().map(|test| kept(test, "test")).transpose()?;
        Ok(SplitFeatures { train: kept(&self.train, "training")?, test })
    }

    /// Raw pixels under k-NN, the baseline that needs no encoder.
    pub fn pixels(&self) -> anyhow::Result<Option<f64>> {
        let Some(test) = &self.test else { return Ok(None) };
        let features = SplitFeatures { train: self.train.pixels()?, test: Some(test.pixels()?) };
        self.knn(&features)
    }

    /// Weighted k-NN of the test images among the training images.
    fn knn(&self, features: &SplitFeatures) -> anyhow::Result<Option<f64>> {
        self.score(&self.settings.knn(), features).context("k-NN")
    }

    /// k-NN, the linear probe if it is on, and the signals of collapse.
    pub fn evaluate(
        &self,
        features: &SplitFeatures,
        linear_probe: bool,
    ) -> anyhow::Result<Evaluation> {
        let linear_top1 = match linear_probe {
            true => self.score(&self.settings.linear(), features).context("linear probe")?,
            false => None,
        };
        // Held-out images, if there are any: collapse on new images matters.
        let judged = features.test.as_ref().unwrap_or(&features.train);
        let scored = self.test.as_ref().map_or(0, |test| test.labels().iter().flatten().count());
        let knn_top1 = self.knn(features)?;
        Ok(Evaluation { knn_top1, linear_top1, scored, spread: Spread::of(judged)? })
    }

    fn score(&self, probe: &impl Probe, features: &SplitFeatures) -> anyhow::Result<Option<f64>> {
        let (Some(test), Some(images)) = (&features.test, &self.test) else { return Ok(None) };
        let train = Labelled::new(&features.train, &self.train.labels())?;
        let test = Labelled::new(test, &images.labels())?;
        Ok(Some(probe.score(&train, &test)?.top1))
    }
}

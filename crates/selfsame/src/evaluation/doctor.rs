//! The collapse doctor of a run.

use burn::tensor::Device;
use selfsame_data::Splits;
use selfsame_eval::{Diagnosis, Training};
use selfsame_trainers::Method;

use super::checkup::{Checkup, Examination, Untrained};
use crate::folder::judged::Evaluation;
use crate::settings::RunConfig;

/// Watches a run for collapse. It compares with the untrained networks.
pub struct Doctor {
    pub checkup: Checkup,
    pub untrained: (Examination, Evaluation),
}

impl Doctor {
    /// `untrained`: a validation snapshot.
    pub fn new<M: Method>(
        config: &RunConfig,
        data: &Splits,
        untrained: &M,
        evaluation: Evaluation,
        device: &Device,
    ) -> anyhow::Result<Self> {
        let images = data.test.as_ref().unwrap_or(&data.train);
        let checkup = Checkup::new(config, &**images, config.doctor.images, device)?;
        let untrained = (checkup.examine(untrained)?, evaluation);
        Ok(Self { checkup, untrained })
    }

    /// The verdict on a visit after this much training.
    pub fn diagnose(
        &self,
        examination: &Examination,
        evaluation: &Evaluation,
        training: Training,
    ) -> Diagnosis {
        let (before, features) = &self.untrained;
        let untrained = Untrained {
            features: Some(&features.spread),
            projections: Some(&before.projections),
            knn_top1: features.knn_top1,
        };
        examination.diagnose(evaluation, &untrained, training)
    }
}

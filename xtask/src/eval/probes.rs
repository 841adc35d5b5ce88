//! Scores of frozen features.

use std::sync::Arc;

use selfsame_data::{Labels, Subset};
use selfsame_eval::{
    Bootstrap, KMeans, Knn, KnnGrid, Labelled, LinearProbe, adjusted_rand_index,
    mean_and_deviation, normalized_mutual_information,
};

use super::Setting;
use super::outcome::{ClusterScore, FewScore, KnnScore, LinearScore, Scores};
use super::representation::Representation;

/// The label budgets of the papers' semi-supervised tables, and few of each class.
pub const BUDGETS: [(&str, Labels); 4] = [
    ("1 %", Labels::Share(0.01)),
    ("10 %", Labels::Share(0.1)),
    ("1 per class", Labels::PerClass(1)),
    ("10 per class", Labels::PerClass(10)),
];

pub fn scores(setting: &Setting<'_>, subject: &Representation) -> anyhow::Result<Scores> {
    let Representation { train, test, .. } = subject;
    let settings = &setting.config.eval;
    let knn = settings.knn();
    let chosen = KnnGrid::default().choose(train)?;
    let fitted = settings.linear().fit(train)?;
    Ok(Scores {
        name: subject.name,
        dim: train.features.dim(),
        knn: Some(of_knn(knn, train, test)?),
        knn_chosen: Some(of_knn(chosen.best, train, test)?),
        linear: Some(LinearScore {
            c: fitted.c,
            top1: share(&right(&fitted.predict(&test.features)?, test))?,
        }),
        few: few(setting, train, test)?,
        clusters: clusters(setting, test)?,
        classifier: subject.classified.as_ref().map(|right| share(right)).transpose()?,
    })
}

/// The share that is right, with its 95 % interval over the test images.
pub fn share(right: &[bool]) -> anyhow::Result<selfsame_eval::Interval> {
    Ok(Bootstrap::default().share(right)?)
}

/// Whether each prediction is the label.
pub fn right(predictions: &[u32], test: &Labelled) -> Vec<bool> {
    predictions.iter().zip(&test.labels).map(|(p, l)| p == l).collect()
}

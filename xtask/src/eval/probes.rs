//! Scores of frozen features.

use selfsame_data::{Labels, Subset};
use selfsame_eval::{
    Bootstrap, KMeans, Knn, KnnGrid, Labelled, Probe, adjusted_rand_index, mean_and_deviation,
    normalized_mutual_information,
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
    // Of classes with fewer than five images none can be held out, and there is nothing to choose by.
    let chosen = KnnGrid::default().choose(train).ok();
    let fitted = settings.linear().fit(train)?;
    Ok(Scores {
        name: subject.name,
        dim: train.features.dim(),
        knn: Some(of_knn(knn, train, test)?),
        knn_chosen: chosen.map(|chosen| of_knn(chosen.best, train, test)).transpose()?,
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

fn of_knn(knn: Knn, train: &Labelled, test: &Labelled) -> anyhow::Result<KnnScore> {
    let predictions = knn.predict(train, &test.features)?;
    let top1 = share(&right(&predictions, test))?;
    Ok(KnnScore { k: knn.k, temperature: knn.temperature, top1 })
}

/// Linear probes that know few labels, a draw for each seed.
fn few(setting: &Setting<'_>, train: &Labelled, test: &Labelled) -> anyhow::Result<Vec<FewScore>> {
    let images = setting.judge.train.shared();
    let mut scores = Vec::new();
    for (name, budget) in BUDGETS {
        let (mut top1, mut known) = (Vec::new(), 0);
        for seed in 0..setting.seeds {
            // The training images of a judge all have labels, so their features are in the same order.
            let subset = Subset::labelled(images.clone(), budget, seed)?;
            let indices: Vec<usize> = subset.indices().iter().map(|i| *i as usize).collect();
            let few = train.select(&indices);
            known = few.labels.len();
            let predictions = setting.config.eval.linear().predict(&few, &test.features)?;
            let right = right(&predictions, test);
            top1.push(right.iter().filter(|r| **r).count() as f64 / right.len() as f64);
        }
        let Some(top1) = mean_and_deviation(&top1) else { continue };
        // Of a small set, a share may be everything or next to nothing.
        if known < train.labels.len() {
            scores.push(FewScore { labels: name.into(), images: known, top1 });
        }
    }
    Ok(scores)
}

/// k-means on the normalised test features, with as many clusters as there are classes.
fn clusters(setting: &Setting<'_>, test: &Labelled) -> anyhow::Result<Option<ClusterScore>> {
    let clusters = test.classes();
    if clusters < 2 || test.labels.len() < clusters {
        return Ok(None);
    }
    let unit = test.features.normalized();
    let (mut nmi, mut ari) = (Vec::new(), Vec::new());
    for seed in 0..setting.seeds {
        let found = KMeans { seed, ..KMeans::new(clusters) }.fit(&unit)?;
        nmi.push(normalized_mutual_information(&found.assignments, &test.labels)?);
        ari.push(adjusted_rand_index(&found.assignments, &test.labels)?);
    }
    let means = mean_and_deviation(&nmi).zip(mean_and_deviation(&ari));
    Ok(means.map(|(nmi, ari)| ClusterScore { clusters, nmi, ari }))
}

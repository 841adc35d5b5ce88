//! Scores of frozen features.

use selfsame_data::{Labels, Subset};
use selfsame_eval::{
    Bootstrap, KMeans, Knn, KnnGrid, Labelled, LinearFit, Probe, adjusted_rand_index,
    mean_and_deviation, normalized_mutual_information,
};

use super::Setting;
use super::outcome::{ClusterScore, FewScore, KnnScore, LinearScore, Scores};
use super::phases::Phases;
use super::representation::{Representation, Splits};

/// The label budgets of the papers' semi-supervised tables, and few of each class.
const BUDGETS: [(&str, Labels); 4] = [
    ("1 %", Labels::Share(0.01)),
    ("10 %", Labels::Share(0.1)),
    ("1 per class", Labels::PerClass(1)),
    ("10 per class", Labels::PerClass(10)),
];

/// The least number of images per cluster, on average. Below it, agreement with the classes says
/// nothing.
const LEAST_OF_A_CLUSTER: usize = 2;

/// A label budget with its images, drawn once for each seed.
pub struct FewLabels {
    name: &'static str,
    /// Rows of the table's training images, by seed.
    drawn: Vec<Vec<usize>>,
    /// An earlier budget with the same images.
    same_as: Option<&'static str>,
}

/// The label budgets for probes, the same for all representations. Budgets with all images are left
/// out.
pub fn few_labels(setting: &Setting<'_>, splits: &Splits<'_>) -> anyhow::Result<Vec<FewLabels>> {
    let images = &splits.train.table;
    let mut budgets: Vec<FewLabels> = Vec::new();
    for (name, budget) in BUDGETS {
        let draw = |seed| {
            let subset = Subset::labelled(images.clone(), budget, seed)?;
            Ok(subset.indices().iter().map(|i| *i as usize).collect())
        };
        let drawn = (0..setting.seeds).map(draw).collect::<anyhow::Result<Vec<Vec<usize>>>>()?;
        if drawn.iter().any(|rows| rows.len() == images.len()) {
            continue;
        }
        // At least one of each class. In a small set this is more than the share.
        let share = match budget {
            Labels::Share(share) => (share * images.len() as f64).round() as usize,
            Labels::PerClass(_) => usize::MAX,
        };
        if drawn.iter().any(|rows| rows.len() > share.saturating_add(share / 2).max(1)) {
            continue;
        }
        let same_as = budgets.iter().find(|other| other.drawn == drawn).map(|other| other.name);
        budgets.push(FewLabels { name, drawn, same_as });
    }
    Ok(budgets)
}

/// The number of steps in [`scores`].
fn steps(setting: &Setting<'_>, few: &[FewLabels]) -> usize {
    let seeds = setting.seeds as usize;
    let drawn = few.iter().filter(|few| few.same_as.is_none()).count();
    2 + setting.config.eval.linear().most_fits() + seeds * (drawn + 1)
}

/// All scores of a representation, and its linear probe.
pub fn scores(
    setting: &Setting<'_>,
    subject: &Representation,
    few: &[FewLabels],
    phases: &mut Phases,
) -> anyhow::Result<(Scores, LinearFit)> {
    let Representation { train, test, .. } = subject;
    phases.begin(&format!("probes of {}", subject.name), steps(setting, few));
    let knn = of_knn(setting.config.eval.knn(), train, test)?;
    phases.advance(1);
    // From classes with fewer than five images none can be held out. Then nothing can be chosen.
    let chosen = KnnGrid::default().choose(train).ok();
    let knn_chosen = chosen.map(|chosen| of_knn(chosen.best, train, test)).transpose()?;
    phases.advance(1);
    let (linear, fitted) = linear(setting, train, test, phases)?;
    let scores = Scores {
        name: subject.name,
        dim: train.features.dim(),
        train_images: train.labels.len(),
        test_images: test.labels.len(),
        knn: Some(knn),
        knn_chosen,
        linear: Some(linear),
        few: few_scores(setting, few, train, test, phases)?,
        clusters: clusters(setting, test, phases)?,
        classifier: subject.classified.as_ref().map(|right| share(right)).transpose()?,
    };
    Ok((scores, fitted))
}

/// The linear probe. Each fit is a step.
pub fn linear(
    setting: &Setting<'_>,
    train: &Labelled,
    test: &Labelled,
    phases: &mut Phases,
) -> anyhow::Result<(LinearScore, LinearFit)> {
    let fitted = setting.config.eval.linear().fit_watched(train, &mut || phases.advance(1))?;
    let top1 = share(&right(&fitted.predict(&test.features)?, test))?;
    Ok((LinearScore { c: fitted.c, top1 }, fitted))
}

/// The accuracy, with its 95 % interval over the test images.
pub fn share(right: &[bool]) -> anyhow::Result<selfsame_eval::Interval> {
    Ok(Bootstrap::default().share(right)?)
}

/// Whether each prediction is right.
pub fn right(predictions: &[u32], test: &Labelled) -> Vec<bool> {
    predictions.iter().zip(&test.labels).map(|(p, l)| p == l).collect()
}

pub fn of_knn(knn: Knn, train: &Labelled, test: &Labelled) -> anyhow::Result<KnnScore> {
    let predictions = knn.predict(train, &test.features)?;
    let top1 = share(&right(&predictions, test))?;
    Ok(KnnScore { k: knn.k, temperature: knn.temperature, top1 })
}

/// Linear probes with few labels, one draw for each seed.
fn few_scores(
    setting: &Setting<'_>,
    few: &[FewLabels],
    train: &Labelled,
    test: &Labelled,
    phases: &mut Phases,
) -> anyhow::Result<Vec<FewScore>> {
    let mut scores: Vec<FewScore> = Vec::new();
    for FewLabels { name, drawn, same_as } in few {
        if let Some(same) = scores.iter().find(|score| *same_as == Some(&*score.labels)) {
            let same_as = Some(same.labels.clone());
            scores.push(FewScore { labels: (*name).into(), same_as, ..same.clone() });
            continue;
        }
        let mut intervals = Vec::new();
        for rows in drawn {
            let known = train.select(rows);
            let predictions = setting.config.eval.linear().predict(&known, &test.features)?;
            intervals.push(share(&right(&predictions, test))?);
            phases.advance(1);
        }
        let means: Vec<f64> = intervals.iter().map(|interval| interval.mean).collect();
        let Some(top1) = mean_and_deviation(&means) else { continue };
        let images = drawn.first().map_or(0, Vec::len);
        let interval = intervals.first().filter(|_| intervals.len() == 1).copied();
        scores.push(FewScore { labels: (*name).into(), images, top1, interval, same_as: None });
    }
    Ok(scores)
}

/// Why k-means has no score; `None` if it has one.
pub fn without_clusters(test: &Labelled) -> Option<String> {
    let (clusters, images) = (test.classes(), test.labels.len());
    (clusters < 2 || images < LEAST_OF_A_CLUSTER * clusters).then(|| {
        format!(
            "k-means needs at least {LEAST_OF_A_CLUSTER} test images for each of at least 2 classes; there are \
             {images} for {clusters}"
        )
    })
}

/// k-means on the normalised test features, with as many clusters as there are classes.
fn clusters(
    setting: &Setting<'_>,
    test: &Labelled,
    phases: &mut Phases,
) -> anyhow::Result<Option<ClusterScore>> {
    if without_clusters(test).is_some() {
        phases.advance(setting.seeds as usize);
        return Ok(None);
    }
    let clusters = test.classes();
    let unit = test.features.normalized();
    let (mut nmi, mut ari) = (Vec::new(), Vec::new());
    for seed in 0..setting.seeds {
        let found = KMeans { seed, ..KMeans::new(clusters) }.fit(&unit)?;
        nmi.push(normalized_mutual_information(&found.assignments, &test.labels)?);
        ari.push(adjusted_rand_index(&found.assignments, &test.labels)?);
        phases.advance(1);
    }
    let means = mean_and_deviation(&nmi).zip(mean_and_deviation(&ari));
    Ok(means.map(|(nmi, ari)| ClusterScore { clusters, nmi, ari }))
}

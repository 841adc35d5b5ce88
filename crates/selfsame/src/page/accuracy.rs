//! The accuracy of probes on frozen features: next to baselines, for each class, and with
//! intervals.

use std::collections::BTreeMap;

use anyhow::Context;
use selfsame_eval::{Labelled, LabelledImages, Probe};
use selfsame_report::{Cell, Table};

use super::Material;
use crate::evaluation::judge::SplitFeatures;
use crate::words::{count, percent};

/// Above these numbers of images and values, the baselines of the linear probe are left to `eval`.
/// Below, they take about ten seconds at most.
const MOST_IMAGES: usize = 20_000;
const MOST_VALUES: usize = 10_000_000;
/// The most classes in a table. Of more classes, the worst are shown.
const MOST_CLASSES: usize = 40;
/// 95 % of a normal distribution lie within this many standard deviations.
const Z: f64 = 1.96;

/// Top-1 accuracies on the test images.
#[derive(Default)]
pub struct Accuracy {
    /// Number of labelled test images; 0 if there is no accuracy.
    pub images: usize,
    pub linear_untrained: Option<f64>,
    pub linear_pixels: Option<f64>,
    /// The label and the k-NN prediction of each labelled test image.
    predicted: Vec<(u32, u32)>,
}

/// Measures what training has not: baselines of the linear probe, and the prediction for each
/// image. `untrained`: the features of the untrained encoder.
pub fn measure(material: &Material<'_>, untrained: &SplitFeatures) -> anyhow::Result<Accuracy> {
    let Material { judge, config, features, .. } = material;
    let Some(images) = &judge.test else { return Ok(Accuracy::default()) };
    let pairs = |features: &SplitFeatures| -> anyhow::Result<Option<(Labelled, Labelled)>> {
        let Some(test) = &features.test else { return Ok(None) };
        let train = Labelled::new(&features.train, &judge.train.labels())?;
        Ok(Some((train, Labelled::new(test, &images.labels())?)))
    };
    let linear = |features: &SplitFeatures| -> anyhow::Result<Option<f64>> {
        let values = features.train.rows() * features.train.dim();
        let Some((train, test)) = pairs(features)?.filter(|_| values <= MOST_VALUES) else {
            return Ok(None);
        };
        let score = config.eval.linear().score(&train, &test).context("linear probe")?;
        Ok(Some(score.top1))
    };
    let mut accuracy = Accuracy::default();
    if config.eval.linear_probe && judge.train.len() + images.len() <= MOST_IMAGES {
        accuracy.linear_untrained = linear(untrained)?;
        let pixels = SplitFeatures { train: judge.train.pixels()?, test: Some(images.pixels()?) };
        accuracy.linear_pixels = linear(&pixels)?;
    }
    if let Some((train, test)) = pairs(features)? {
        let predicted = config.eval.knn().predict(&train, &test.features).context("k-NN")?;
        accuracy.images = test.labels.len();
        accuracy.predicted = test.labels.iter().copied().zip(predicted).collect();
    }
    Ok(accuracy)
}

impl Accuracy {
    /// All accuracies with intervals, then the k-NN accuracy of each class.
    pub fn tables(&self, material: &Material<'_>) -> anyhow::Result<Vec<Table>> {
        if self.images == 0 {
            return Ok(Vec::new());
        }
        let names = material.data.train.class_names();
        Ok(vec![self.overview(material), classes(&self.predicted, names)])
    }

    fn overview(&self, material: &Material<'_>) -> Table {
        let Material { summary, config, judge, .. } = material;
        let row = |name: &str, knn: Option<f64>, linear: Option<f64>| {
            vec![Cell::from(name), cell(knn, self.images), cell(linear, self.images)]
        };
        let rows = vec![
            row("trained encoder", summary.knn_top1, summary.linear_top1),
            row("untrained encoder", summary.knn_top1_random_init, self.linear_untrained),
            row("raw pixels", summary.knn_top1_pixels, self.linear_pixels),
        ];
        let linear = match (config.eval.linear_probe, self.linear_untrained, self.linear_pixels) {
            (false, ..) => " The linear probe was switched off (eval.linear_probe).",
            (true, Some(_), Some(_)) => "",
            _ => " `selfsame eval` measures the rest. It takes longer.",
        };
        Table {
            // As in an evaluation. Its table replaces this one.
            title: "Frozen features".into(),
            caption: format!(
                "Top-1 on {} from {}, higher is better; in brackets, the 95 % interval for that many test images \
                 (Wilson's). k-NN: k = {}, T = {}.{linear}",
                count(self.images, "test image"),
                count(judge.train.len(), "training image"),
                config.eval.knn_k,
                config.eval.knn_temperature,
            ),
            header: ["representation", "k-NN", "linear probe"].map(str::to_owned).into(),
            rows: best(rows),
        }
    }
}

/// Sets the best of each column in bold.
fn best(mut rows: Vec<Vec<Cell>>) -> Vec<Vec<Cell>> {
    for column in 1..rows.first().map_or(0, Vec::len) {
        let value = |row: &Vec<Cell>| row[column].interval.map(|[_, value, _]| value);
        let most = rows.iter().filter_map(value).reduce(f64::max);
        for row in &mut rows {
            row[column].strong = most.is_some() && value(row) == most;
        }
    }
    rows
}

/// The number of right predictions for each class, and the most frequent wrong class.
fn classes(predicted: &[(u32, u32)], names: &[String]) -> Table {
    let mut of_class: BTreeMap<u32, BTreeMap<u32, usize>> = BTreeMap::new();
    for (label, prediction) in predicted {
        *of_class.entry(*label).or_default().entry(*prediction).or_default() += 1;
    }
    let name = |class: u32| {
        let name = names.get(class as usize).filter(|name| !name.is_empty());
        name.cloned().unwrap_or_else(|| format!("class {class}"))
    };
    let all = of_class.len();
    let mut rows: Vec<(f64, Vec<Cell>)> = of_class
        .into_iter()
        .map(|(label, taken_for)| {
            let images: usize = taken_for.values().sum();
            let right = taken_for.get(&label).copied().unwrap_or(0);
            let share = right as f64 / images.max(1) as f64;
            let others = taken_for.into_iter().filter(|(class, _)| *class != label);
            // Ties go to the lower class.
            let most = others.rev().max_by_key(|(_, times)| *times);
            let most = most.map_or(String::new(), |(class, n)| format!("{} ({n})", name(class)));
            let row = vec![
                Cell::from(name(label)),
                Cell::from(images.to_string()),
                cell(Some(share), images),
                Cell::from(most),
            ];
            (share, row)
        })
        .collect();
    let mut some = String::new();
    if rows.len() > MOST_CLASSES {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        rows.truncate(MOST_CLASSES);
        some = format!(" The worst {MOST_CLASSES} of {all} classes.");
    }
    Table {
        title: "Accuracy of each class".into(),
        caption: format!(
            "k-NN on the trained encoder's features, {}; in brackets, the 95 % interval for the class's images.{some}",
            count(predicted.len(), "test image"),
        ),
        header: ["class", "test images", "top-1", "most often taken for"].map(str::to_owned).into(),
        rows: rows.into_iter().map(|(_, row)| row).collect(),
    }
}

fn cell(top1: Option<f64>, images: usize) -> Cell {
    let Some(top1) = top1 else { return Cell::from("–") };
    let (low, high) = wilson(top1, images);
    Cell {
        text: format!("{} ({})", percent(top1), span(top1, images)),
        // Rounding may put an end of the interval on the wrong side of the value.
        interval: Some([low.min(top1), top1, high.max(top1)]),
        strong: false,
    }
}

/// "77.6–81.2": the interval of an accuracy in percent.
pub fn span(top1: f64, images: usize) -> String {
    let (low, high) = wilson(top1, images);
    format!("{:.1}–{:.1}", 100.0 * low, 100.0 * high)
}

/// The 95 % score interval of a share `p` of `n` (Wilson, 1927). Unlike a bootstrap interval, it is
/// also useful for a share of 0 or 1.
fn wilson(p: f64, n: usize) -> (f64, f64) {
    let n = n.max(1) as f64;
    let denominator = 1.0 + Z * Z / n;
    let center = (p + Z * Z / (2.0 * n)) / denominator;
    let half = Z / denominator * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    ((center - half).max(0.0), (center + half).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_wilsons() {
        // scipy.stats.binomtest(k, n).proportion_ci(method="wilson")
        for (right, n, expected) in
            [(50, 100, (0.4038, 0.5962)), (10, 10, (0.7225, 1.0)), (1589, 2000, (0.7762, 0.8117))]
        {
            let (low, high) = wilson(f64::from(right) / n as f64, n);
            assert!((low - expected.0).abs() < 1e-4, "{right} of {n}: {low}");
            assert!((high - expected.1).abs() < 1e-4, "{right} of {n}: {high}");
        }
    }

    #[test]
    fn a_class_says_what_it_is_most_often_taken_for() {
        let predicted = [(0, 0), (0, 0), (0, 1), (0, 2), (0, 2), (1, 1)];
        let table = classes(&predicted, &["coat".into(), "dress".into()]);
        let texts: Vec<Vec<&str>> =
            table.rows.iter().map(|row| row.iter().map(|c| c.text.as_str()).collect()).collect();
        assert_eq!(texts[0], ["coat", "5", "40.00 % (11.8–76.9)", "class 2 (2)"]);
        assert_eq!(texts[1], ["dress", "1", "100.00 % (20.7–100.0)", ""]);
        assert!(table.caption.contains("6 test images"));
    }

    #[test]
    fn of_many_classes_the_worst_are_shown() {
        let predicted: Vec<(u32, u32)> =
            (0..100).map(|i| (i, if i < 50 { i } else { 0 })).collect();
        let table = classes(&predicted, &[]);
        assert_eq!(table.rows.len(), MOST_CLASSES);
        assert!(table.rows.iter().all(|row| row[2].text.starts_with("0.00 %")));
        assert!(table.caption.ends_with("The worst 40 of 100 classes."), "{}", table.caption);
    }
}

//! Accuracy on corrupted images.

use std::sync::Arc;

use rayon::prelude::*;
use selfsame_augment::{Corruption, RgbSource, Severity};
use selfsame_data::{ImageDataset, InMemory, Subset};
use selfsame_eval::{LabelledImages, LinearFit};

use super::Setting;
use super::outcome::{CorruptionRow, CorruptionScore};
use super::representation::Representation;
use crate::bridge::PlainImages;
use crate::progress::{Tally, Unit};
use crate::spread::spread;

/// Test images that are corrupted; of larger sets, some.
const IMAGES: usize = 2_000;
const SEED: u64 = 0;

/// The linear probe of each representation, fitted on clean training images, on test images with each of the fifteen
/// corruptions (Hendrycks & Dietterich, 2019) in five severities.
pub fn rows(
    setting: &Setting<'_>,
    subjects: &[Representation],
) -> anyhow::Result<Vec<CorruptionRow>> {
    let Some(test) = &setting.judge.test else { return Ok(Vec::new()) };
    let known: Vec<u32> =
        (0..test.len()).filter(|i| test.label(*i).is_some()).map(|i| i as u32).collect();
    let chosen = spread(known.len(), IMAGES).into_iter().map(|i| known[i]).collect();
    let clean: Arc<dyn ImageDataset> = Arc::new(Subset::new(test.shared(), chosen));
    let labels: Vec<Option<u32>> = (0..clean.len()).map(|i| clean.label(i)).collect();
    let probes = subjects
        .iter()
        .map(|subject| Ok(setting.config.eval.linear().fit(&subject.train)?))
        .collect::<anyhow::Result<Vec<LinearFit>>>()?;

    let mut tally = Tally::new(Unit::Items);
    let total = (Corruption::ALL.len() * Severity::ALL.len()) as u64;
    let mut rows = Vec::new();
    for (done, corruption) in Corruption::ALL.into_iter().enumerate() {
        let mut top1 = vec![Vec::new(); subjects.len()];
        for (level, severity) in Severity::ALL.into_iter().enumerate() {
            let corrupted = corrupted(&*clean, &labels, corruption, severity)?;
            let images = PlainImages::new(Arc::new(corrupted), setting.config)?;
            for ((subject, probe), top1) in subjects.iter().zip(&probes).zip(&mut top1) {
                let features = subject.embed.features(setting, &images)?;
                let predictions = probe.predict(&features)?;
                let right = predictions.iter().zip(&labels).filter(|(p, l)| Some(**p) == **l);
                top1.push(right.count() as f64 / labels.len() as f64);
            }
            let done = (done * Severity::ALL.len() + level + 1) as u64;
            tally.show("corruptions", done, Some(total));
        }
        let top1 = subjects.iter().zip(top1).map(|(subject, by_severity)| CorruptionScore {
            representation: subject.name,
            mean: by_severity.iter().sum::<f64>() / by_severity.len() as f64,
            by_severity,
        });
        rows.push(CorruptionRow {
            corruption: corruption.name(),
            family: corruption.family().name(),
            top1: top1.collect(),
        });
    }
    tally.finish();
    Ok(rows)
}

/// All images with one corruption, on all threads. What is drawn for an image depends on its index alone.
fn corrupted(
    clean: &dyn ImageDataset,
    labels: &[Option<u32>],
    corruption: Corruption,
    severity: Severity,
) -> anyhow::Result<InMemory> {
    let images = (0..clean.len())
        .into_par_iter()
        .map(|index| {
            let image = clean.image(index)?;
            let mut rng = corruption.key(severity, SEED, index as u64).rng();
            Ok(corruption.apply(severity, RgbSource::try_from(&*image)?, &mut rng))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(InMemory::new(images, labels.to_vec(), clean.class_names().to_vec())?)
}

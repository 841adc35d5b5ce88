//! Accuracy on corrupted images.

use std::path::PathBuf;
use std::sync::Arc;

use image::RgbImage;
use selfsame_augment::{Corruption, RgbSource, Severity};
use selfsame_data::{DataError, ImageDataset, Subset};
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
            let corrupted = Corrupted { clean: clean.clone(), corruption, severity }.in_memory()?;
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

/// Images with one corruption. What is drawn for an image depends on its index alone.
struct Corrupted {
    clean: Arc<dyn ImageDataset>,
    corruption: Corruption,
    severity: Severity,
}

impl Corrupted {
    /// All of them made, once for all representations, on all threads.
    fn in_memory(&self) -> anyhow::Result<InMemory> {
        use rayon::prelude::*;
        let images = (0..self.clean.len())
            .into_par_iter()
            .map(|index| {
                let image = self.clean.image(index)?;
                let mut rng = self.corruption.key(self.severity, SEED, index as u64).rng();
                let source = RgbSource::try_from(&*image)?;
                Ok(Arc::new(self.corruption.apply(self.severity, source, &mut rng)))
            })
            .collect::<anyhow::Result<Vec<_>>>()?;
        Ok(InMemory { images, clean: self.clean.clone() })
    }
}

struct InMemory {
    images: Vec<Arc<RgbImage>>,
    clean: Arc<dyn ImageDataset>,
}

impl ImageDataset for InMemory {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        match self.images.get(index) {
            Some(image) => Ok(image.clone()),
            None => self.clean.image(index),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.clean.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.clean.class_names()
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.clean.path(index)
    }
}

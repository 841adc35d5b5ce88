//! Accuracy on corrupted images.

use std::sync::Arc;

use rayon::prelude::*;
use selfsame_augment::{Corruption, RgbSource, Severity};
use selfsame_data::{ImageDataset, InMemory, Subset};
use selfsame_eval::{Bootstrap, Features, Interval, LabelledImages, LinearFit};

use super::Setting;
use super::outcome::{CorruptedMean, CorruptionRow, CorruptionScore};
use super::phases::Phases;
use super::reading::Wanted;
use super::representation::{Embed, Representation};
use crate::evenly::evenly;
use crate::features::images::PlainImages;

const SEED: u64 = 0;

/// The results for corruptions.
#[derive(Default)]
pub struct Robustness {
    pub rows: Vec<CorruptionRow>,
    /// The mean over all corruptions, by representation.
    pub means: Vec<CorruptedMean>,
    pub images: usize,
}

/// The linear probe of each representation, fitted on clean training images, on test images with
/// each of the fifteen corruptions (Hendrycks & Dietterich, 2019) in five severities.
pub fn robustness(
    setting: &Setting<'_>,
    test: &PlainImages,
    subjects: &[Representation],
    probes: &[LinearFit],
    phases: &mut Phases,
) -> anyhow::Result<Robustness> {
    let known: Vec<u32> =
        (0..test.len()).filter(|i| test.label(*i).is_some()).map(|i| i as u32).collect();
    let most = setting.bounds.corrupted;
    let chosen = evenly(known.len(), most).into_iter().map(|i| known[i]).collect();
    let clean: Arc<dyn ImageDataset> = Arc::new(Subset::new(test.shared(), chosen));
    let labels: Vec<Option<u32>> = (0..clean.len()).map(|i| clean.label(i)).collect();

    phases.begin("corruptions", Corruption::ALL.len() * Severity::ALL.len());
    let mut rows = Vec::new();
    // For each representation, how often it is right about each image.
    let mut sums = vec![vec![0f64; labels.len()]; subjects.len()];
    for corruption in Corruption::ALL {
        let mut by_severity = vec![Vec::new(); subjects.len()];
        let mut right = vec![vec![0f64; labels.len()]; subjects.len()];
        for severity in Severity::ALL {
            let corrupted = corrupted(&*clean, &labels, corruption, severity)?;
            let images = PlainImages::new(Arc::new(corrupted), setting.config)?;
            let all = features(setting, subjects, &images)?;
            for (subject, features) in all.iter().enumerate() {
                let predictions = probes[subject].predict(features)?;
                let mut share = 0.0;
                for (image, predicted) in predictions.iter().enumerate() {
                    if Some(*predicted) == labels[image] {
                        right[subject][image] += 1.0;
                        share += 1.0;
                    }
                }
                by_severity[subject].push(share / labels.len() as f64);
            }
            phases.advance(1);
        }
        let mut top1 = Vec::new();
        for ((subject, by_severity), (right, sum)) in
            subjects.iter().zip(by_severity).zip(right.into_iter().zip(&mut sums))
        {
            sum.iter_mut().zip(&right).for_each(|(sum, right)| *sum += right);
            top1.push(CorruptionScore {
                representation: subject.name,
                mean: by_severity.iter().sum::<f64>() / by_severity.len() as f64,
                by_severity,
                interval: mean_of(right, Severity::ALL.len())?,
            });
        }
        rows.push(CorruptionRow {
            corruption: corruption.name(),
            family: corruption.family().name(),
            top1,
        });
    }
    let times = Corruption::ALL.len() * Severity::ALL.len();
    let means = subjects.iter().zip(sums).map(|(subject, sum)| {
        Ok(CorruptedMean { representation: subject.name, top1: mean_of(sum, times)? })
    });
    Ok(Robustness { rows, means: means.collect::<anyhow::Result<_>>()?, images: labels.len() })
}

/// The accuracy and its interval over the images. Each image was tested `times` times.
fn mean_of(right: Vec<f64>, times: usize) -> anyhow::Result<Interval> {
    let shares: Vec<f64> = right.iter().map(|right| right / times as f64).collect();
    Ok(Bootstrap::default().mean(&shares)?)
}

/// The vectors of the images for each representation. The images are read once.
fn features(
    setting: &Setting<'_>,
    subjects: &[Representation],
    images: &PlainImages,
) -> anyhow::Result<Vec<Features>> {
    let all: Vec<usize> = (0..images.len()).collect();
    let encoders = subjects.iter().filter_map(|subject| match &subject.embed {
        Embed::Encoder(encoder) => Some((&**encoder, all.as_slice())),
        Embed::Pixels | Embed::Components(_) => None,
    });
    let pixel_side = setting.bounds.pixel_side;
    let wanted = Wanted { encoders: encoders.collect(), pixels: &all, pixel_side };
    let batch = setting.config.eval.batch_size;
    let found = wanted.read(images, batch, setting.device, &mut |_| {})?;
    let mut of_encoders = found.features.into_iter();
    let of_subject = |subject: &Representation| match &subject.embed {
        Embed::Encoder(_) => {
            of_encoders.next().ok_or_else(|| anyhow::anyhow!("an encoder has no features"))
        }
        Embed::Pixels => Ok(found.pixels.clone()),
        Embed::Components(pca) => Ok(pca.transform(&found.pixels)?),
    };
    subjects.iter().map(of_subject).collect()
}

/// All images with one corruption, on all threads. The random draw for an image depends only on its
/// index.
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

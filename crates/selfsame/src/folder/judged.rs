//! The evaluations of a run, saved as soon as they are known.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use selfsame_data::Splits;
use selfsame_eval::{KnnGain, Spread};

use crate::clock::Seconds;
use crate::folder::state::images_key;
use crate::folder::{
    ENCODER, JUDGED, METRICS, NEIGHBOURS, REPORT, REPORT_DATA, RunFolder, SUMMARY,
};
use crate::hex::hex;
use crate::observer::Voice;
use crate::settings::RunConfig;
use crate::words::reasons;

/// Evaluations that a resumed run need not repeat. TOML keeps every figure bit for bit.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// Hash of everything that the figures depend on, except the step.
    key: String,
    pub baselines: Option<Baselines>,
    pub trained: Option<After>,
    pub ended: Option<Ended>,
    /// The step of the run when this was written.
    step: u64,
    /// The time until then.
    seconds: Seconds,
}

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    pub knn_top1: Option<f64>,
    pub linear_top1: Option<f64>,
    /// Test images with a label.
    pub scored: usize,
    /// The spread of the features, on held-out images if there are any.
    pub spread: Spread,
}

impl Evaluation {
    /// k-NN of the trained and the untrained encoder, if both are known.
    pub fn knn_gain(&self, untrained: Option<f64>) -> Option<KnnGain> {
        let (trained, untrained) = self.knn_top1.zip(untrained)?;
        Some(KnnGain { trained, untrained, images: self.scored })
    }
}

/// The baselines.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Baselines {
    pub knn_top1_pixels: Option<f64>,
    pub untrained: Evaluation,
}

/// The trained encoder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct After {
    pub step: u64,
    pub evaluation: Evaluation,
}

/// A run that has written everything.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    pub step: u64,
    /// Hashes of its files. A damaged or missing file is written again.
    files_sha256: String,
}

impl Ended {
    const FILES: [&str; 6] = [ENCODER, METRICS, NEIGHBOURS, REPORT, REPORT_DATA, SUMMARY];

    pub fn at(step: u64, folder: &RunFolder) -> anyhow::Result<Self> {
        Ok(Self { step, files_sha256: Self::hash(folder)? })
    }

    /// Whether all files are unchanged.
    pub fn stands(&self, folder: &RunFolder) -> bool {
        Self::hash(folder).is_ok_and(|found| found == self.files_sha256)
    }

    fn hash(folder: &RunFolder) -> anyhow::Result<String> {
        let mut key = Sha256::new();
        for name in Self::FILES {
            std::io::copy(&mut std::fs::File::open(folder.file(name))?, &mut HashOf(&mut key))?;
        }
        Ok(hex(&key.finalize()))
    }
}

/// Hashes everything that is written.
struct HashOf<'a>(&'a mut Sha256);

impl std::io::Write for HashOf<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Judged {
    /// The evaluations of the run in `folder`. None if the file is missing or damaged, or has other
    /// settings, other images or another program version.
    pub fn read(folder: &RunFolder, config: &RunConfig, data: &Splits) -> anyhow::Result<Self> {
        let key = key(config, data)?;
        let text = std::fs::read_to_string(folder.file(JUDGED)).unwrap_or_default();
        let intact = text.split_once('\n').filter(|(sum, body)| *sum == checksum(body));
        let kept = intact.and_then(|(_, body)| toml::from_str(body).ok());
        let kept = kept.filter(|kept: &Self| kept.key == key);
        Ok(kept.unwrap_or(Self { key, ..Self::default() }))
    }

    /// Saves the evaluations at `step`, with the time so far. A failure does not end the run; a
    /// resumed run then evaluates again.
    pub fn keep(&mut self, folder: &RunFolder, step: u64, seconds: Seconds, voice: &Voice) {
        (self.step, self.seconds) = (step, seconds);
        if let Err(error) = self.write(folder) {
            voice.warn(format_args!(
                "a resumed run would repeat the evaluation: {}",
                reasons(&error)
            ));
        }
    }

    fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        let body = toml::to_string(self)?;
        folder.write(JUDGED, format!("{}\n{body}", checksum(&body)).as_bytes())
    }

    /// The time of a run that resumes at `step`. A checkpoint does not know the time after it.
    pub fn seconds(&self, step: u64, in_checkpoint: Seconds) -> Seconds {
        if self.step == step && !self.seconds.is_empty() {
            self.seconds.clone()
        } else {
            in_checkpoint
        }
    }

    /// The trained encoder's evaluation, if it was made after this step.
    pub fn after(&self, step: u64) -> Option<&Evaluation> {
        self.trained.as_ref().filter(|after| after.step == step).map(|after| &after.evaluation)
    }
}

/// The first line of the file, a comment to TOML.
fn checksum(body: &str) -> String {
    format!("# SHA-256 of what follows: {}", hex(&Sha256::digest(body)))
}

fn key(config: &RunConfig, data: &Splits) -> anyhow::Result<String> {
    let mut key = Sha256::new();
    key.update(env!("CARGO_PKG_VERSION"));
    // A longer run has the same baselines, but its evaluation is at another step.
    let mut config = config.clone();
    config.train.stop_after = None;
    key.update(toml::to_string(&config)?);
    key.update(images_key(data).unwrap_or_default());
    let test = data.test.as_ref().and_then(|test| test.content_key());
    key.update(test.map_or([0; 32], |key| key.0));
    Ok(hex(&key.finalize()))
}

#[cfg(test)]
mod tests {
    use selfsame_eval::{Features, Spread};

    use super::*;
    use crate::clock::Phase;

    #[test]
    fn figures_come_back_bit_for_bit() {
        let values = (0..96).map(|i| ((i * 37 % 101) as f32).sin() / 3.0).collect();
        let spread = Spread::of(&Features::new(values, 24, 4).unwrap()).unwrap();
        let evaluation =
            Evaluation { knn_top1: Some(0.1 + 0.2), linear_top1: None, scored: 24, spread };
        let judged = Judged {
            key: "k".into(),
            baselines: Some(Baselines {
                knn_top1_pixels: Some(1.0 / 3.0),
                untrained: evaluation.clone(),
            }),
            trained: Some(After { step: 7, evaluation }),
            ended: None,
            step: 7,
            seconds: Seconds::from([(Phase::Training, 0.1), (Phase::Report, 1e-3)]),
        };
        let text = toml::to_string(&judged).unwrap();
        assert_eq!(toml::from_str::<Judged>(&text).unwrap(), judged);
        assert!(judged.after(7).is_some() && judged.after(8).is_none());
        let checkpoint = Seconds::from([(Phase::Training, 0.1)]);
        assert_eq!(judged.seconds(7, checkpoint.clone()), judged.seconds);
        assert_eq!(judged.seconds(5, checkpoint.clone()), checkpoint);
    }
}

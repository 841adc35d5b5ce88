//! The final figures of a run.

use std::path::Path;

use anyhow::Context;
use selfsame_eval::Diagnosis;
use serde::{Deserialize, Serialize};

use crate::clock::{Phase, Seconds};
use crate::folder::{ENCODER, REPORT, RunFolder, SUMMARY};
use crate::words::{count, told};

/// `summary.json`. Accuracies are fractions of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The method's name, as on a command line.
    pub method: String,
    /// The name of the data set, or of the folder of images.
    pub dataset: String,
    /// The device.
    pub device: String,
    /// The seed of initial weights, shuffling and augmentation.
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: f64,
    /// Epochs in the settings.
    pub epochs_planned: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// Optimiser steps in the settings.
    pub steps_planned: u64,
    /// Whether all steps are done.
    pub finished: bool,
    /// Images trained on.
    pub train_images: usize,
    /// Held-out images with labels.
    pub test_images: usize,
    /// Images that could not be read.
    pub skipped_images: usize,
    /// Why there is no accuracy, if there is none.
    pub untested: Option<String>,
    /// Speed of training, without evaluations and checkpoints.
    pub images_per_second: f64,
    /// Seconds of training, without evaluations and checkpoints.
    pub train_seconds: f64,
    /// Seconds of training spent waiting for batches.
    pub data_wait_seconds: f64,
    /// Seconds from the command to the report, over all parts of a resumed run.
    pub wall_seconds: f64,
    /// The same time by phase.
    #[serde(default)]
    pub seconds: Seconds,
    /// Peak memory of the process, if the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Mean loss over the last epoch.
    pub final_loss: f64,
    /// k-NN accuracy after the last step. It need not be the best.
    pub knn_top1: Option<f64>,
    /// Weighted k-NN on the features of the untrained encoder.
    pub knn_top1_random_init: Option<f64>,
    /// Weighted k-NN on raw pixels.
    pub knn_top1_pixels: Option<f64>,
    /// Accuracy of a linear probe on the frozen features, if it was asked for.
    pub linear_top1: Option<f64>,
    /// Standard deviation of the projections of the last training batch, times √dim.
    pub embedding_std: f32,
    /// Standard deviation of the frozen features, times √dim.
    pub feature_std: f64,
    /// Effective rank of the frozen features (RankMe, Garrido et al., 2023).
    pub effective_rank: f64,
    /// The same as a share of the dimensions.
    pub effective_rank_share: f64,
    /// Standard deviation of the projections of held-out images, times √dim.
    pub projection_std: f64,
    /// Directions that the projections use.
    pub projection_directions: usize,
    /// Dimensions of the projections.
    pub projection_dim: usize,
    /// The collapse doctor's verdict at the end.
    pub diagnosis: Diagnosis,
    /// Whether the collapse doctor ended the run.
    pub stopped_by_doctor: bool,
    /// The commit of the checkout that the program ran in.
    pub git_commit: Option<String>,
}

impl Summary {
    /// Reads the summary of the run in `folder`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(SUMMARY);
        let reading = || format!("cannot read {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(reading)?;
        serde_json::from_str(&text).with_context(reading)
    }

    pub(crate) fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        folder.write(SUMMARY, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Whether training is complete.
    pub fn complete(&self) -> bool {
        self.finished || self.stopped_by_doctor
    }

    /// Sets all times from the phases.
    pub(crate) fn count_time(&mut self, seconds: Seconds) {
        self.wall_seconds = seconds.values().sum();
        self.train_seconds = seconds.get(&Phase::Training).copied().unwrap_or_default();
        self.seconds = seconds;
    }

    /// Name and value of each line for a person.
    pub fn lines(&self) -> Vec<(&'static str, String)> {
        let percent = |v: Option<f64>| v.map_or("–".into(), |v| format!("{:.2} %", 100.0 * v));
        vec![
            ("k-NN top-1, trained encoder", percent(self.knn_top1)),
            ("k-NN top-1, untrained encoder", percent(self.knn_top1_random_init)),
            ("k-NN top-1, raw pixels", percent(self.knn_top1_pixels)),
            ("linear probe top-1", self.linear_line()),
            ("loss, last epoch", format!("{:.4}", self.final_loss)),
            (
                "std of the projections (0 collapsed, 1 spread)",
                format!("{:.3}", self.projection_std),
            ),
            (
                "effective rank of the features (RankMe)",
                format!("{:.1} ({:.0} %)", self.effective_rank, 100.0 * self.effective_rank_share),
            ),
            ("collapse doctor", self.diagnosis.headline.clone()),
            (
                "training",
                format!(
                    "{} in {:.0} s, {:.0} images/s, waited {:.1} s ({:.1} %) for data",
                    count(self.steps, "step"),
                    self.train_seconds,
                    self.images_per_second,
                    self.data_wait_seconds,
                    100.0 * self.data_wait_seconds / self.train_seconds.max(1e-9)
                ),
            ),
            ("time in all", self.time_line()),
        ]
    }

    fn linear_line(&self) -> String {
        match (self.linear_top1, self.knn_top1) {
            (Some(top1), _) => format!("{:.2} %", 100.0 * top1),
            (None, Some(_)) => "not measured (eval.linear_probe = false)".into(),
            (None, None) => "–".into(),
        }
    }

    /// The total time, and its parts of at least a second.
    fn time_line(&self) -> String {
        let parts = self.seconds.iter().filter(|(_, seconds)| **seconds >= 1.0);
        let parts: Vec<_> = parts.map(|(phase, s)| format!("{} {s:.0} s", phase.title())).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{:.0} s{parts}", self.wall_seconds)
    }

    /// The summary as text, with the paths of the weights and the page.
    pub(crate) fn table(&self, folder: &Path) -> String {
        let mut out = format!("\n{} on {}, seed {}\n", self.method, self.dataset, self.seed);
        for (name, value) in self.lines() {
            let pad = 46usize.saturating_sub(name.chars().count());
            out += &format!("  {name}{} {value}\n", " ".repeat(pad));
        }
        let found = told(&self.diagnosis, "    ");
        if !found.is_empty() {
            out += &format!("\n  what the doctor found, and what to do\n{found}");
        }
        if let Some(cause) = &self.untested {
            out += &format!("\n  no accuracy, only the signals of collapse: {cause}\n");
        }
        out + &format!(
            "\n  weights {}\n  report  {}\n",
            folder.join(ENCODER).display(),
            folder.join(REPORT).display()
        )
    }
}

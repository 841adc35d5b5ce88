//! The final figures of a run.

use std::path::Path;

use anyhow::Context;
use selfsame_eval::Diagnosis;
use serde::{Deserialize, Serialize};

use crate::evaluation::checkup::told;
use crate::run::clock::{Phase, Seconds};
use crate::run::folder::{ENCODER, REPORT, RunFolder, SUMMARY};
use crate::words::count;

/// `summary.json`. Accuracies are fractions of 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The method's name, as on a command line.
    pub method: String,
    /// The name of the data set, or of the folder of images.
    pub dataset: String,
    /// Where it was computed.
    pub device: String,
    /// What fixed initial weights, shuffling and augmentation.
    pub seed: u64,
    /// Passes over the training images.
    pub epochs: f64,
    /// As many as the settings ask for.
    pub epochs_planned: u64,
    /// Optimiser steps.
    pub steps: u64,
    /// As many as the settings come to.
    pub steps_planned: u64,
    /// Whether all steps are done.
    pub finished: bool,
    /// Images trained on.
    pub train_images: usize,
    /// Held-out images with labels.
    pub test_images: usize,
    /// Images that could not be read.
    pub skipped_images: usize,
    /// Why there is no accuracy, where there is none.
    pub untested: Option<String>,
    /// In training, without evaluations and checkpoints.
    pub images_per_second: f64,
    /// Of training, without evaluations and checkpoints.
    pub train_seconds: f64,
    /// Of training, spent waiting for batches.
    pub data_wait_seconds: f64,
    /// From the command to the report, over all parts of a run that was resumed.
    pub wall_seconds: f64,
    /// The same by phase; they add up to it.
    #[serde(default)]
    pub seconds: Seconds,
    /// The most memory that the process held, where the system tells.
    pub peak_rss_bytes: Option<u64>,
    /// Mean over the last epoch.
    pub final_loss: f64,
    /// After the last step, which need not be the best.
    pub knn_top1: Option<f64>,
    /// Weighted k-NN on the features of the untrained encoder.
    pub knn_top1_random_init: Option<f64>,
    /// Weighted k-NN on raw pixels.
    pub knn_top1_pixels: Option<f64>,
    /// A linear probe on the frozen features, where it was asked for.
    pub linear_top1: Option<f64>,
    /// Of the projections of the last training batch, times √dim.
    pub embedding_std: f32,
    /// Of the frozen features, times √dim.
    pub feature_std: f64,
    /// Of the frozen features (RankMe, Garrido et al., 2023).
    pub effective_rank: f64,
    /// The same as a share of the dimensions.
    pub effective_rank_share: f64,
    /// Of the projections of held-out images, times √dim.
    pub projection_std: f64,
    /// That the projections use, of as many as they have.
    pub projection_directions: usize,
    /// Dimensions of the projections.
    pub projection_dim: usize,
    /// The collapse doctor's verdict at the end.
    pub diagnosis: Diagnosis,
    /// Whether the collapse doctor ended the run.
    pub stopped_by_doctor: bool,
    /// The commit of the checkout that the program was run from.
    pub git_commit: Option<String>,
}

impl Summary {
    /// That of the run in `folder`.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(SUMMARY);
        let reading = || format!("cannot read {}", path.display());
        let text = std::fs::read_to_string(&path).with_context(reading)?;
        serde_json::from_str(&text).with_context(reading)
    }

    pub(crate) fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        folder.write(SUMMARY, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// Whether there is nothing more to train.
    pub fn complete(&self) -> bool {
        self.finished || self.stopped_by_doctor
    }

    /// All clocks follow from the phases.
    pub(crate) fn count_time(&mut self, seconds: Seconds) {
        self.wall_seconds = seconds.values().sum();
        self.train_seconds = seconds.get(&Phase::Training).copied().unwrap_or_default();
        self.seconds = seconds;
    }

    /// Name and value of each line that people look for.
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

    /// The whole, and its parts of a second and more.
    fn time_line(&self) -> String {
        let parts = self.seconds.iter().filter(|(_, seconds)| **seconds >= 1.0);
        let parts: Vec<_> = parts.map(|(phase, s)| format!("{} {s:.0} s", phase.title())).collect();
        let parts =
            if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        format!("{:.0} s{parts}", self.wall_seconds)
    }

    /// As text, with where the weights and the page are.
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

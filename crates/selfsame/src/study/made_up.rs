//! Runs with invented figures, to test the conclusions.

use selfsame_eval::{Diagnosis, Level};

use super::comparison::{Comparison, Group};
use super::figures::Repeats;
use super::measured::{Measured, Moment};
use super::trials::Outcome;
use crate::clock::Seconds;
use crate::folder::summary::Summary;
use crate::settings::Method;

/// The accuracies of the untrained encoder and of raw pixels in each of these runs.
pub const UNTRAINED: f64 = 0.60;
pub const PIXELS: f64 = 0.76;

/// A run for each accuracy: 1,000 steps in 100 s, an evaluation after every 10 s, on a straight
/// line to the accuracy.
pub fn outcomes(accuracies: &[f64], change: impl Fn(&mut Measured)) -> Vec<Outcome> {
    let run = |accuracy: &f64| {
        let at = |i: u32| UNTRAINED + (accuracy - UNTRAINED) * f64::from(i) / 10.0;
        let moment = |i| Moment {
            epoch: f64::from(i),
            seconds: 10.0 * f64::from(i),
            knn_top1: if i == 10 { *accuracy } else { at(i) },
        };
        let mut run =
            Measured { summary: summary(*accuracy), curve: (0..=10).map(moment).collect() };
        change(&mut run);
        Ok(run)
    };
    accuracies.iter().map(run).collect()
}

fn summary(accuracy: f64) -> Summary {
    Summary {
        method: "made-up".into(),
        device: "flex".into(),
        seed: 0,
        epochs_planned: 10,
        steps_planned: 1000,
        skipped_images: 0,
        untested: None,
        data_wait_seconds: 0.0,
        wall_seconds: 110.0,
        seconds: Seconds::new(),
        final_loss: 1.0,
        embedding_std: 0.5,
        effective_rank_share: 0.3,
        git_commit: None,
        dataset: "made-up".into(),
        epochs: 10.0,
        steps: 1000,
        finished: true,
        stopped_by_doctor: false,
        train_images: 6400,
        test_images: 10_000,
        images_per_second: 640.0,
        train_seconds: 100.0,
        peak_rss_bytes: Some(300 << 20),
        knn_top1: Some(accuracy),
        knn_top1_random_init: Some(UNTRAINED),
        knn_top1_pixels: Some(PIXELS),
        linear_top1: Some(accuracy),
        feature_std: 0.5,
        effective_rank: 20.0,
        projection_std: 0.5,
        projection_directions: 40,
        projection_dim: 64,
        diagnosis: verdict(Level::Healthy, "no collapse"),
    }
}

fn verdict(level: Level, headline: &str) -> Diagnosis {
    Diagnosis { level, kind: None, headline: headline.into(), findings: Vec::new() }
}

pub fn collapse(run: &mut Measured) {
    run.summary.diagnosis = verdict(Level::Collapsed, "complete collapse");
}

pub fn repeats(outcomes: &[Outcome]) -> Repeats<'_> {
    Repeats { outcomes: outcomes.iter().collect() }
}

/// Methods at batches of 64.
pub fn comparison<'a>(methods: &[(Method, &'a [Outcome])]) -> Comparison<'a> {
    at_batch_sizes(&methods.iter().map(|(method, own)| (*method, 64, *own)).collect::<Vec<_>>())
}

pub fn at_batch_sizes<'a>(groups: &[(Method, usize, &'a [Outcome])]) -> Comparison<'a> {
    let mut methods: Vec<Method> = Vec::new();
    for (method, ..) in groups {
        if !methods.contains(method) {
            methods.push(*method);
        }
    }
    let group = |(method, batch_size, own): &(Method, usize, &'a [Outcome])| Group {
        method: *method,
        batch_size: *batch_size,
        repeats: repeats(own),
    };
    Comparison { groups: groups.iter().map(group).collect(), methods }
}

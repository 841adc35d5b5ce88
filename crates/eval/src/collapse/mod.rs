//! The collapse doctor: measures of a set of embeddings, and what they mean.
//!
//! Measures come first and do not depend on methods: [`Spread`] of one set, [`PairSignals`] of two
//! views, [`PredictorSpectrum`] and two distances for BYOL. [`Evidence`] gathers those that a
//! caller has. [`Evidence::diagnose`] turns it into a [`Diagnosis`] in plain language. A [`Watch`]
//! over successive diagnoses says when to stop.

mod advice;
mod diagnosis;
mod kind;
mod pair;
mod predictor;
mod progress;
mod rules;
mod spectrum;
mod spread;
#[cfg(test)]
mod tests;
pub mod thresholds;
#[cfg(test)]
mod verdict_tests;
mod watch;

pub use diagnosis::{Bound, Diagnosis, Evidence, Finding, KnnGain, Level, TargetDistance};
pub use kind::{Kind, Trained, Training};
pub use pair::PairSignals;
pub use predictor::{PredictorSpectrum, projection_distance, weight_distance};
pub use spectrum::{effective_rank, participation_ratio};
pub use spread::Spread;
pub use watch::Watch;

use serde::Serialize;

use crate::{EvalError, Features};

/// The three figures of a run's summary. [`Spread`] has all others.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CollapseSignals {
    /// [`Spread::mean_std`]: 1 if the embeddings fill the sphere evenly, 0 if they are one point.
    pub std: f64,
    /// [`Spread::effective_rank`]: RankMe, from 1 to `min(rows, dim)`.
    pub effective_rank: f64,
    /// [`effective_rank`](Self::effective_rank) over `min(rows − 1, dim)`, the most that
    /// differences between the rows can span.
    pub effective_rank_share: f64,
}

impl From<&Spread> for CollapseSignals {
    fn from(spread: &Spread) -> Self {
        Self {
            std: spread.mean_std,
            effective_rank: spread.effective_rank,
            effective_rank_share: spread.effective_rank_share(),
        }
    }
}

/// Measures collapse on embeddings `[rows, dim]`, two rows at least: [`Spread::of`] in brief.
///
/// # Errors
/// As [`Spread::of`].
pub fn collapse_signals(embeddings: &Features) -> Result<CollapseSignals, EvalError> {
    Spread::of(embeddings).map(|spread| (&spread).into())
}

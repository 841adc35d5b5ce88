//! The time of a run by phase, added up over all its parts.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};

/// The phases of a run, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Finding and reading the images, making the networks.
    Opening,
    /// Scoring raw pixels and the untrained encoder.
    Baselines,
    /// Optimiser steps, with the wait for their batches.
    Training,
    /// Evaluations and visits of the doctor between steps.
    Evaluation,
    /// Writing checkpoints.
    Saving,
    /// The evaluation after the last step.
    FinalEvaluation,
    /// Galleries, maps and the page.
    Report,
}

impl Phase {
    /// The name for a person.
    pub fn title(self) -> &'static str {
        match self {
            Self::Opening => "opening the images",
            Self::Baselines => "baselines",
            Self::Training => "training",
            Self::Evaluation => "evaluations between epochs",
            Self::Saving => "checkpoints",
            Self::FinalEvaluation => "final evaluation",
            Self::Report => "report",
        }
    }
}

/// Seconds by phase.
pub type Seconds = BTreeMap<Phase, f64>;

/// Times the phases. They follow each other without a gap, so their sum is the total time.
#[derive(Debug, Clone)]
pub struct Clock {
    spent: Seconds,
    phase: Phase,
    since: Instant,
}

impl Clock {
    /// Starts with [`Phase::Opening`].
    pub fn start() -> Self {
        Self { spent: Seconds::new(), phase: Phase::Opening, since: Instant::now() }
    }

    /// Adds the time before the interruption.
    pub fn add(&mut self, before: &Seconds) {
        for (phase, seconds) in before {
            *self.spent.entry(*phase).or_default() += seconds;
        }
    }

    /// Starts `phase`. Returns the phase before.
    pub fn enter(&mut self, phase: Phase) -> Phase {
        self.spent = self.seconds();
        self.since = Instant::now();
        std::mem::replace(&mut self.phase, phase)
    }

    /// Seconds of a phase so far.
    pub fn of(&self, phase: Phase) -> f64 {
        self.seconds().get(&phase).copied().unwrap_or_default()
    }

    /// Seconds so far, with the present phase.
    pub fn seconds(&self) -> Seconds {
        let mut spent = self.spent.clone();
        *spent.entry(self.phase).or_default() += self.since.elapsed().as_secs_f64();
        spent
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn phases_add_up_to_all_the_time_there_was() {
        let begun = Instant::now();
        let mut clock = Clock::start();
        for phase in [Phase::Training, Phase::Saving, Phase::Training, Phase::Report] {
            std::thread::sleep(Duration::from_millis(2));
            clock.enter(phase);
        }
        let least: f64 = 0.008;
        let sum: f64 = clock.seconds().values().sum();
        assert!((least..=begun.elapsed().as_secs_f64()).contains(&sum));
        assert_eq!(clock.seconds().len(), 4);
    }

    #[test]
    fn what_came_before_a_resume_counts() {
        let mut clock = Clock::start();
        clock.add(&Seconds::from([(Phase::Training, 100.0), (Phase::Opening, 7.0)]));
        clock.enter(Phase::Training);
        let seconds = clock.seconds();
        assert!(seconds[&Phase::Training] >= 100.0 && seconds[&Phase::Opening] >= 7.0);
    }
}

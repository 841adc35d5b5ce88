//! When checkpoints are written.

use std::time::{Duration, Instant};

/// When a checkpoint is due by the clock.
///
/// The first comes soon, later ones at growing intervals up to the setting. So a run that crashes
/// often still makes progress, and other runs are not slowed.
pub struct Pace {
    last: Instant,
    wait: Duration,
    longest: Duration,
}

impl Pace {
    const FIRST: Duration = Duration::from_secs(5);

    pub fn new(minutes: f64) -> Self {
        let longest = Duration::try_from_secs_f64(60.0 * minutes).unwrap_or(Duration::MAX);
        Self { last: Instant::now(), wait: Self::FIRST.min(longest), longest }
    }

    pub fn due(&self) -> bool {
        self.last.elapsed() >= self.wait
    }

    pub fn saved(&mut self) {
        self.last = Instant::now();
        self.wait = self.wait.saturating_mul(2).min(self.longest);
    }
}

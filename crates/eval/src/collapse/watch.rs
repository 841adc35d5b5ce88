//! When to stop a run that collapses.

use serde::{Deserialize, Serialize};

use super::{Diagnosis, Level};

/// Stops training early if it stays collapsed.
///
/// Its fields are its state. A run that resumes from them stops at the same step as an
/// uninterrupted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// How many collapsed diagnoses in a row stop the run. 0 never stops it.
    pub patience: u32,
    /// How many first diagnoses do not count: embeddings often shrink during warm-up and recover.
    pub grace: u32,
    seen: u32,
    collapsed: u32,
}

impl Watch {
    /// Stops after `patience` collapsed diagnoses in a row, the first `grace` not counted.
    pub fn new(patience: u32, grace: u32) -> Self {
        Self { patience, grace, seen: 0, collapsed: 0 }
    }

    /// Records the next diagnosis. Returns whether the run should stop now.
    pub fn observe(&mut self, diagnosis: &Diagnosis) -> bool {
        self.seen = self.seen.saturating_add(1);
        if self.seen <= self.grace {
            return false;
        }
        self.collapsed = match diagnosis.level {
            Level::Collapsed => self.collapsed.saturating_add(1),
            _ => 0,
        };
        self.patience > 0 && self.collapsed >= self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diagnosis(level: Level) -> Diagnosis {
        Diagnosis { level, kind: None, headline: String::new(), findings: Vec::new() }
    }

    fn stops(watch: &mut Watch, levels: &[Level]) -> Vec<bool> {
        levels.iter().map(|level| watch.observe(&diagnosis(*level))).collect()
    }

    #[test]
    fn stops_after_patience_in_a_row_and_never_in_the_grace_period() {
        use Level::{Collapsed, Warning};
        let mut watch = Watch::new(2, 3);
        assert_eq!(stops(&mut watch, &[Collapsed; 5]), [false, false, false, false, true]);
        let mut watch = Watch::new(2, 0);
        let levels = [Collapsed, Warning, Collapsed, Collapsed];
        assert_eq!(stops(&mut watch, &levels), [false, false, false, true]);
        assert!(!stops(&mut Watch::new(0, 0), &[Collapsed; 9]).contains(&true));
    }

    #[test]
    fn a_stored_watch_goes_on_where_it_was() {
        let mut watch = Watch::new(2, 1);
        stops(&mut watch, &[Level::Collapsed; 2]);
        let stored = serde_json::to_string(&watch).unwrap();
        let mut resumed: Watch = serde_json::from_str(&stored).unwrap();
        assert_eq!(resumed, watch);
        assert!(resumed.observe(&diagnosis(Level::Collapsed)));
    }
}

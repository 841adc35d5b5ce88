//! Which steps of a run are which.

use crate::settings::RunConfig;

/// How the steps of a run lie in its epochs, and where it stops.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Of the whole run.
    pub steps: u64,
    /// Where this part of it ends.
    pub last_step: u64,
    /// Of the whole run.
    epochs: u64,
    /// Steps that are read from the device together.
    read_every: u64,
}

impl Plan {
    pub fn new(config: &RunConfig, steps: u64, last_step: u64) -> Self {
        Self { steps, last_step, epochs: config.train.epochs, read_every: config.read_every() }
    }

    /// Whether figures are read after `step`, whatever else happens.
    pub fn reads(&self, step: u64) -> bool {
        step.is_multiple_of(self.read_every)
    }

    /// Epochs after `step`, with the part of the last one.
    pub fn epochs(&self, step: u64) -> f64 {
        step as f64 * self.epochs as f64 / self.steps as f64
    }

    /// Whole epochs after `step`.
    pub fn whole_epochs(&self, step: u64) -> u64 {
        let epochs = u128::from(step) * u128::from(self.epochs);
        (epochs / u128::from(self.steps)) as u64
    }

    /// The epoch, counted from 1, whose last step that does not go beyond it is `step`.
    pub fn ended_epoch(&self, step: u64) -> Option<u64> {
        let whole = |step| self.whole_epochs(step);
        Some(whole(step)).filter(|epoch| *epoch > whole(step - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_epoch_ends_once_also_where_steps_do_not_divide_among_them() {
        for (steps, epochs) in [(10, 5), (7, 3), (5, 5), (1000, 7)] {
            let plan = Plan { steps, last_step: steps, epochs, read_every: 1 };
            let ended: Vec<u64> = (1..=steps).filter_map(|step| plan.ended_epoch(step)).collect();
            assert_eq!(ended, (1..=epochs).collect::<Vec<_>>(), "{steps} steps");
            assert_eq!(plan.epochs(steps), epochs as f64);
            for step in 1..=steps {
                assert_eq!(plan.whole_epochs(step), plan.epochs(step).floor() as u64, "{step}");
            }
        }
    }
}

//! The budget of a study, and a budget for clearer results.

use crate::words::count;

/// A number of seeds that can tell methods apart in less than a night.
const GOOD_SEEDS: u64 = 3;

/// The budget of every run of a study.
pub struct Budget {
    /// `6 epochs`.
    pub words: String,
    pub seeds: u64,
    /// Whether training used only a part of the images.
    pub limited: bool,
    /// The option for longer runs, and the reason for their length.
    longer: (String, String),
}

impl Budget {
    /// A budget of epochs from this option. `own` is the longest of the methods' own settings.
    pub fn epochs(option: &str, epochs: u64, own: u64) -> Self {
        let more = own.max(2 * epochs);
        let why = match more == own {
            true => format!("the methods' own settings have up to {}", count(own, "epoch")),
            false => "that is twice as long".into(),
        };
        let longer = (format!("{option}{more}"), why);
        Self { words: count(epochs, "epoch"), seeds: 1, limited: false, longer }
    }

    /// A budget of minutes of training.
    pub fn minutes(minutes: f64) -> Self {
        let unit = if minutes == 1.0 { "minute" } else { "minutes" };
        let longer = (format!("--minutes {}", 4.0 * minutes), "that is four times as long".into());
        Self { words: format!("{minutes} {unit} of training"), seeds: 1, limited: false, longer }
    }

    pub fn with(self, seeds: u64, limited: bool) -> Self {
        Self { seeds, limited, ..self }
    }

    /// The advice if training was too short.
    pub fn longer(&self) -> String {
        let (option, why) = &self.longer;
        let seeds = match self.seeds < GOOD_SEEDS {
            true => format!(" --seeds {GOOD_SEEDS}"),
            false => String::new(),
        };
        let limit =
            if self.limited { ", with all images (without --limit or --fraction)" } else { "" };
        format!("For clearer results, try {option}{seeds}{limit} and another --out: {why}.")
    }

    /// The advice if runs disagree.
    pub fn more_seeds(&self) -> String {
        let seeds = if self.seeds < GOOD_SEEDS { GOOD_SEEDS } else { 2 * self.seeds };
        format!(
            "For clearer results, try the same command with --seeds {seeds}: finished runs are \
             kept."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_longer_than_what_was_tried() {
        let short = Budget::epochs("--epochs ", 1, 40).with(1, true);
        assert_eq!(short.words, "1 epoch");
        let advice = short.longer();
        for part in
            ["--epochs 40 --seeds 3", "without --limit", "own settings have up to 40 epochs"]
        {
            assert!(advice.contains(part), "{advice}");
        }
        let long = Budget::epochs("--set train.epochs=", 40, 40).with(3, false).longer();
        assert!(long.contains("--set train.epochs=80 and another --out"), "{long}");
        let timed = Budget::minutes(0.5).with(3, false);
        assert_eq!(timed.words, "0.5 minutes of training");
        assert!(timed.longer().contains("--minutes 2 "), "{}", timed.longer());
    }

    #[test]
    fn more_seeds_are_more_than_there_were() {
        let seeds = |n| Budget::minutes(1.0).with(n, false).more_seeds();
        assert!(seeds(1).contains("--seeds 3:") && seeds(3).contains("--seeds 6:"));
    }
}

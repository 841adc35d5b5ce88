//! How to ask a run to end early.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// The stage of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is trained yet.
    Starting = 0,
    /// The run will end after the step and save.
    Training,
    /// Everything is saved.
    Trained,
}

/// The result of [`Interrupt::ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Nothing is lost if the process ends at once. The text is for the user.
    NothingToLose(String),
    /// The run ends after its step and saves everything.
    AfterTheStep {
        /// The run was asked before and has not ended yet.
        again: bool,
    },
}

/// Asks a run or a study to end, from any thread. All clones ask the same one.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    told: Arc<AtomicBool>,
    hurried: Arc<AtomicBool>,
    stage: Arc<AtomicU8>,
    /// The command that resumes a saved run.
    go_on: Arc<OnceLock<String>>,
}

impl Interrupt {
    /// A new handle. The run has not been asked to end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to end. In training it ends after the step and saves. Then it returns an error
    /// of kind [`Interrupted`](crate::ErrorKind::Interrupted).
    pub fn ask(&self) -> Asked {
        let again = self.told.swap(true, Ordering::Relaxed);
        let stage = self.stage.load(Ordering::Relaxed);
        if stage == Stage::Starting as u8 {
            let line = "interrupted before training began; nothing is lost, start the run again \
                 with --resume auto";
            Asked::NothingToLose(line.into())
        } else if stage == Stage::Trained as u8 {
            let go_on = self.go_on.get().map_or("--resume auto", String::as_str);
            let line =
                format!("interrupted after training; the weights are saved, go on with\n  {go_on}");
            Asked::NothingToLose(line)
        } else {
            Asked::AfterTheStep { again }
        }
    }

    /// Announces that the process will be killed soon (SIGTERM). The state is then saved even if
    /// ranks wait for a lost one.
    pub fn hurry(&self) {
        self.hurried.store(true, Ordering::Relaxed);
    }

    pub(super) fn hurried(&self) -> Arc<AtomicBool> {
        self.hurried.clone()
    }

    /// Whether the run was asked to end.
    pub fn told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// From here on there is something to save.
    pub(crate) fn training_begins(&self) {
        self.stage.store(Stage::Training as u8, Ordering::Relaxed);
    }

    /// From here on everything is saved.
    pub(super) fn training_is_saved(&self, go_on: String) {
        self.go_on.get_or_init(|| go_on);
        self.stage.store(Stage::Trained as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_in_training_is_there_something_to_lose() {
        let interrupt = Interrupt::new();
        interrupt.training_begins();
        assert!(!interrupt.told());
        assert_eq!(interrupt.ask(), Asked::AfterTheStep { again: false });
        assert_eq!(interrupt.clone().ask(), Asked::AfterTheStep { again: true });
        assert!(interrupt.told());
        interrupt.training_is_saved("go on so".into());
        let Asked::NothingToLose(line) = interrupt.ask() else { panic!("everything is saved") };
        assert!(line.contains("go on so"));
        assert!(matches!(Interrupt::new().ask(), Asked::NothingToLose(_)));
    }
}

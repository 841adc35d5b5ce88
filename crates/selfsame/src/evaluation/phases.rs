//! The progress of an evaluation.

use crate::observer::{Tally, Unit, Voice};

/// The progress of an evaluation: the current phase, the number of phases, and the progress in the
/// phase.
pub struct Phases {
    tally: Tally,
    total: usize,
    current: usize,
    name: String,
    done: u64,
    steps: u64,
}

impl Phases {
    pub fn new(total: usize, voice: &Voice) -> Self {
        let tally = voice.tally(Unit::Items);
        Self { tally, total, current: 0, name: String::new(), done: 0, steps: 0 }
    }

    /// Starts the next phase, with this many steps.
    pub fn begin(&mut self, name: &str, steps: usize) {
        self.end();
        self.current += 1;
        self.name = format!("[{}/{}] {name}", self.current, self.total);
        (self.done, self.steps) = (0, steps as u64);
        self.show();
    }

    /// Adds this many finished steps of the phase.
    pub fn advance(&mut self, steps: usize) {
        self.done = (self.done + steps as u64).min(self.steps);
        self.show();
    }

    pub fn finish(&mut self) {
        self.end();
        self.tally.finish();
    }

    /// Unneeded steps end with the phase.
    fn end(&mut self) {
        if self.done < self.steps {
            self.advance(self.steps as usize);
        }
    }

    fn show(&mut self) {
        self.tally.show(&self.name, self.done, Some(self.steps));
    }
}

//! How far an evaluation has come.

use crate::observer::{Tally, Unit, Voice};

/// How an evaluation stands: the phase that it is in, of how many, and how far that is.
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

    /// The next phase, which has so many steps.
    pub fn begin(&mut self, name: &str, steps: usize) {
        self.end();
        self.current += 1;
        self.name = format!("[{}/{}] {name}", self.current, self.total);
        (self.done, self.steps) = (0, steps as u64);
        self.show();
    }

    /// So many more steps of the phase are done.
    pub fn advance(&mut self, steps: usize) {
        self.done = (self.done + steps as u64).min(self.steps);
        self.show();
    }

    pub fn finish(&mut self) {
        self.end();
        self.tally.finish();
    }

    /// Steps that turned out to be needless are over with the rest.
    fn end(&mut self) {
        if self.done < self.steps {
            self.advance(self.steps as usize);
        }
    }

    fn show(&mut self) {
        self.tally.show(&self.name, self.done, Some(self.steps));
    }
}

//! What work reports to its caller: lines for a person, progress, the steps of a run.

use std::fmt::Display;
use std::sync::Arc;

use selfsame_trainers::StepReport;

use crate::error::Error;

/// Receives events. This crate prints nothing. A program decides what to show.
///
/// Closures are observers: `|event: &Event<'_>| …`. Events come from several threads.
pub trait Observer: Send + Sync {
    /// Called for every event, in the middle of the work. A slow observer slows the work.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// An event.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A line that a person may want to read.
    Note(&'a str),
    /// A line about a problem. The work goes on.
    Warning(&'a str),
    /// A part of long work is done.
    Progress(Progress<'a>),
    /// The work of this name has ended.
    ProgressEnded(&'a str),
    /// An optimiser step is done.
    Step(Step<'a>),
    /// The steps have stopped, for now or for good.
    StepsEnded,
    /// The encoder was scored between two epochs.
    Evaluated(Evaluated),
    /// A rank of this process is lost, and the others wait for it for ever. The process must end.
    Lost(&'a Error),
}

/// How much of some work is done.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The name of the work. Works of different names may overlap.
    pub name: &'a str,
    /// What is counted.
    pub unit: Unit,
    /// How many are done.
    pub done: u64,
    /// How many there are, if known.
    pub total: Option<u64>,
    /// The work is usually short. Show it only after some seconds.
    pub brief: bool,
}

/// What [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a file.
    Bytes,
    /// Images, files, parts of a report.
    Items,
}

/// An optimiser step, and the state of the run after it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// The trainer's report of the step.
    pub report: &'a StepReport,
    /// Steps of the whole run.
    pub steps: u64,
    /// The epoch of the step, counted from 1.
    pub epoch: u64,
    /// The speed since this process began to train, without evaluations and checkpoints.
    pub images_per_second: f64,
    /// The time to the last step, at the pace so far.
    pub seconds_left: f64,
    /// The newest k-NN accuracy, a fraction of 1.
    pub knn_top1: Option<f64>,
}

/// What an evaluation between epochs found.
#[derive(Debug, Clone, Copy)]
pub struct Evaluated {
    /// Epochs so far; 3.5 in the middle of the fourth.
    pub epoch: f64,
    /// A fraction of 1; `None` without test labels.
    pub knn_top1: Option<f64>,
    /// Mean standard deviation of the normalised features, times √dim: 0 collapsed, 1 spread.
    pub feature_std: f64,
    /// Effective rank of the features (RankMe, Garrido et al., 2023).
    pub effective_rank: f64,
}

/// A shared observer, for several parts of the work.
#[derive(Clone)]
pub struct Voice(Arc<dyn Observer>);

impl Voice {
    /// A voice for this observer.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self(observer)
    }

    /// A voice without an observer.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self::new(Arc::new(|_: &Event<'_>| ()))
    }

    /// Reports an event.
    pub fn tell(&self, event: &Event<'_>) {
        self.0.observe(event);
    }

    /// Reports a line.
    pub fn note(&self, line: impl Display) {
        self.tell(&Event::Note(&line.to_string()));
    }

    /// Reports a warning.
    pub fn warn(&self, line: impl Display) {
        self.tell(&Event::Warning(&line.to_string()));
    }

    /// Counts work.
    pub fn tally(&self, unit: Unit) -> Tally {
        Tally { voice: self.clone(), unit, brief: false, name: None }
    }

    /// Counts work that usually takes less than some seconds.
    pub fn brief_tally(&self, unit: Unit) -> Tally {
        Tally { voice: self.clone(), unit, brief: true, name: None }
    }
}

/// Counts work, one thing after another.
pub struct Tally {
    voice: Voice,
    unit: Unit,
    brief: bool,
    /// The name of the thing in progress.
    name: Option<String>,
}

impl Tally {
    /// Shows `done` of `total` (if known) for the thing called `name`.
    pub fn show(&mut self, name: &str, done: u64, total: Option<u64>) {
        if self.name.as_deref() != Some(name) {
            self.finish();
            self.name = Some(name.to_owned());
        }
        let Self { unit, brief, .. } = *self;
        self.voice.tell(&Event::Progress(Progress { name, unit, done, total, brief }));
    }

    pub fn finish(&mut self) {
        if let Some(name) = self.name.take() {
            self.voice.tell(&Event::ProgressEnded(&name));
        }
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_tally_ends_what_it_began() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let said = heard.clone();
        let voice = Voice::new(Arc::new(move |event: &Event<'_>| {
            let text = match event {
                Event::Progress(p) => format!("{} {} of {:?}", p.name, p.done, p.total),
                Event::ProgressEnded(name) => format!("{name} ended"),
                other => format!("{other:?}"),
            };
            said.lock().unwrap().push(text);
        }));
        let mut tally = voice.tally(Unit::Items);
        tally.show("a", 1, Some(2));
        tally.show("a", 2, Some(2));
        tally.show("b", 1, None);
        drop(tally);
        let heard = heard.lock().unwrap();
        let expected = ["a 1 of Some(2)", "a 2 of Some(2)", "a ended", "b 1 of None", "b ended"];
        assert_eq!(*heard, expected);
    }
}

//! What work tells whoever started it: lines for a person, progress, the steps of a run.

use std::fmt::Display;
use std::sync::Arc;

use selfsame_trainers::StepReport;

use crate::error::Error;

/// Hears what happens. Nothing is printed by this crate; a program shows of it what it likes.
///
/// Closures are observers: `|event: &Event<'_>| …`. Events come from several threads.
pub trait Observer: Send + Sync {
    /// Called at once, in the middle of the work: a slow observer slows it.
    fn observe(&self, event: &Event<'_>);
}

impl<F: Fn(&Event<'_>) + Send + Sync> Observer for F {
    fn observe(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A line that a person may want to read.
    Note(&'a str),
    /// A line about something that is not as it should be. The work goes on.
    Warning(&'a str),
    /// A part of some long work is done.
    Progress(Progress<'a>),
    /// The work of that name is no longer under way.
    ProgressEnded(&'a str),
    /// An optimiser step is done.
    Step(Step<'a>),
    /// Steps have come to an end, for now or for good.
    StepsEnded,
    /// The encoder was scored between two epochs.
    Evaluated(Evaluated),
    /// A rank of this process is lost, and the others wait for it for ever. Nothing is left to do
    /// but to end the process.
    Lost(&'a Error),
}

/// How much of some work is done.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What is being done. Works of different names may overlap.
    pub name: &'a str,
    /// What is counted.
    pub unit: Unit,
    /// So many are done.
    pub done: u64,
    /// Of so many, where that is known.
    pub total: Option<u64>,
    /// It is mostly done before anybody wonders: worth a word only after some seconds.
    pub brief: bool,
}

/// What [`Progress`] counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Of a file.
    Bytes,
    /// Images, files, parts of a report.
    Items,
}

/// An optimiser step, and how the run stands after it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// What the trainer says of it.
    pub report: &'a StepReport,
    /// Of the whole run.
    pub steps: u64,
    /// The epoch that it belongs to, counted from 1.
    pub epoch: u64,
    /// Since this process began to train, without evaluations and checkpoints.
    pub images_per_second: f64,
    /// Until the last step, at the pace until now.
    pub seconds_left: f64,
    /// The newest k-NN accuracy, a fraction of 1.
    pub knn_top1: Option<f64>,
}

/// What an evaluation between epochs found.
#[derive(Debug, Clone, Copy)]
pub struct Evaluated {
    /// Epochs so far; 3.5 in the middle of the fourth.
    pub epoch: f64,
    /// A fraction of 1; none where there are no labels to test with.
    pub knn_top1: Option<f64>,
    /// Mean standard deviation of the normalised features, times √dim: 0 collapsed, 1 spread.
    pub feature_std: f64,
    /// Effective rank of the features (RankMe, Garrido et al., 2023).
    pub effective_rank: f64,
}

/// An observer that several parts of the work share.
#[derive(Clone)]
pub struct Voice(Arc<dyn Observer>);

impl Voice {
    /// Of that observer.
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self(observer)
    }

    /// Nobody listens.
    #[cfg(test)]
    pub fn silent() -> Self {
        Self::new(Arc::new(|_: &Event<'_>| ()))
    }

    /// Tells of anything.
    pub fn tell(&self, event: &Event<'_>) {
        self.0.observe(event);
    }

    /// Tells a line.
    pub fn note(&self, line: impl Display) {
        self.tell(&Event::Note(&line.to_string()));
    }

    /// Tells a warning.
    pub fn warn(&self, line: impl Display) {
        self.tell(&Event::Warning(&line.to_string()));
    }

    /// Counts some work.
    pub fn tally(&self, unit: Unit) -> Tally {
        Tally { voice: self.clone(), unit, brief: false, name: None }
    }

    /// Of work that mostly takes less than some seconds.
    pub fn brief_tally(&self, unit: Unit) -> Tally {
        Tally { voice: self.clone(), unit, brief: true, name: None }
    }
}

/// Counts some work, one thing after another.
pub struct Tally {
    voice: Voice,
    unit: Unit,
    brief: bool,
    /// Of the thing that is under way.
    name: Option<String>,
}

impl Tally {
    /// `done` of `total`, where that is known, of the thing called `name`.
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

//! The events about the steps of a run.

use std::time::Instant;

use selfsame_trainers::StepReport;

use crate::observer::{Evaluated, Event, Step, Voice};

/// Reports every step.
pub struct Progress {
    voice: Voice,
    /// Steps of the whole run.
    steps: u64,
    steps_per_epoch: u64,
    /// Done before this process began.
    first_step: u64,
    /// Seconds of training by then.
    trained_before: f64,
    start: Instant,
    knn_top1: Option<f64>,
}

impl Progress {
    pub fn new(
        voice: Voice,
        first_step: u64,
        steps: u64,
        steps_per_epoch: u64,
        trained_before: f64,
    ) -> Self {
        let start = Instant::now();
        let knn_top1 = None;
        Self { voice, steps, steps_per_epoch, first_step, trained_before, start, knn_top1 }
    }

    /// `trained`: seconds of training of the whole run, without evaluations and checkpoints.
    pub fn step(&self, report: &StepReport, trained: f64) {
        let done = (report.step - self.first_step).max(1) as f64;
        let per_step = self.start.elapsed().as_secs_f64() / done;
        self.voice.tell(&Event::Step(Step {
            report,
            steps: self.steps,
            epoch: report.step.div_ceil(self.steps_per_epoch.max(1)),
            images_per_second: done * report.images as f64
                / (trained - self.trained_before).max(1e-9),
            seconds_left: per_step * self.steps.saturating_sub(report.step) as f64,
            knn_top1: self.knn_top1,
        }));
    }

    pub fn evaluated(&mut self, found: Evaluated) {
        self.knn_top1 = found.knn_top1;
        self.voice.tell(&Event::Evaluated(found));
    }

    pub fn finish(&self) {
        self.voice.tell(&Event::StepsEnded);
    }
}

//! What a person sees of a long run: a bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use selfsame_trainers::StepReport;

/// Lines are no closer together than this where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// Shows steps as they are done. Everything goes to stderr; stdout is for results.
pub struct Progress {
    bar: Option<ProgressBar>,
    steps: u64,
    steps_per_epoch: u64,
    start: Instant,
    first_step: u64,
    last_line: Option<Instant>,
    knn: Option<f64>,
}

impl Progress {
    pub fn new(first_step: u64, steps: u64, steps_per_epoch: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(steps).with_position(first_step);
            let template = "{bar:30.cyan/blue} {pos}/{len} {msg} · {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let start = Instant::now();
        Self { bar, steps, steps_per_epoch, start, first_step, last_line: None, knn: None }
    }

    /// `trained`: seconds of training since the first step, without evaluations and checkpoints.
    pub fn step(&mut self, report: &StepReport, trained: f64) {
        let done = (report.step - self.first_step).max(1);
        let elapsed = self.start.elapsed().as_secs_f64();
        let rate = done as f64 * report.images as f64 / trained.max(1e-9);
        let knn = self.knn.map_or(String::new(), |k| format!(" · k-NN {:.1} %", 100.0 * k));
        let epoch = report.step.div_ceil(self.steps_per_epoch.max(1));
        let text = format!(
            "epoch {epoch} · loss {:.4} · std {:.2}{knn} · {rate:.0} images/s",
            report.loss, report.embedding_std
        );
        if let Some(bar) = &self.bar {
            bar.set_message(text);
            bar.set_position(report.step);
            return;
        }
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if due || report.step == self.steps {
            self.last_line = Some(Instant::now());
            let left = elapsed / done as f64 * (self.steps - report.step) as f64;
            let (step, steps) = (report.step, self.steps);
            eprintln!("step {step}/{steps} · {text} · {left:.0} s left");
        }
    }

    /// A line of its own, above the bar where there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    pub fn evaluated(&mut self, epoch: f64, knn: Option<f64>, std: f64, effective_rank: f64) {
        self.knn = knn;
        let knn = knn.map_or("no accuracy".into(), |k| format!("k-NN {:.2} %", 100.0 * k));
        self.say(&format!(
            "after epoch {}: {knn} · feature std {std:.2} · effective rank {effective_rank:.1}",
            // 3, or 3.58 within the fourth.
            (100.0 * epoch).round() / 100.0
        ));
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows how much of something is done, one thing after another.
pub struct Tally {
    unit: Unit,
    bar: Option<ProgressBar>,
    name: String,
    /// When the thing of that name began.
    since: Instant,
    last_line: Option<Instant>,
    /// A thing that takes less long is not mentioned.
    patience: Duration,
}

/// How much is done, and about how long the rest takes at the same pace.
fn line(name: &str, unit: Unit, done: u64, total: Option<u64>, elapsed: Duration) -> String {
    let count = |n: u64| match unit {
        Unit::Bytes => format!("{:.1} MB", n as f64 / 1e6),
        Unit::Items => n.to_string(),
    };
    let Some(total) = total else { return format!("{name}: {}", count(done)) };
    let left = match elapsed.as_secs_f64() / done as f64 * total.saturating_sub(done) as f64 {
        left if done == 0 || done >= total || left < 0.5 => String::new(),
        left if left < 120.0 => format!(" · {left:.0} s left"),
        left => format!(" · {:.0} min left", left / 60.0),
    };
    format!("{name}: {} of {}{left}", count(done), count(total))
}

/// What a [`Tally`] counts.
#[derive(Clone, Copy)]
pub enum Unit {
    Bytes,
    Items,
}

impl Tally {
    pub fn new(unit: Unit) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::no_length();
            let template = match unit {
                Unit::Bytes => {
                    "{msg} {bar:30.cyan/blue} {bytes}/{total_bytes} · {bytes_per_sec} · {eta} left"
                }
                Unit::Items => "{msg} {bar:30.cyan/blue} {pos}/{len} · {eta} left",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let (name, since, patience) = (String::new(), Instant::now(), Duration::ZERO);
        Self { unit, bar, name, since, last_line: None, patience }
    }

    /// One that has nothing to say of what takes less than some seconds, where there is no terminal.
    pub fn patient(unit: Unit) -> Self {
        Self { patience: Duration::from_secs(3), ..Self::new(unit) }
    }

    /// `done` of `total`, where that is known, of the thing called `name`.
    pub fn show(&mut self, name: &str, done: u64, total: Option<u64>) {
        let changed = name != self.name;
        if changed {
            self.name = name.to_owned();
            self.since = Instant::now();
            self.last_line = None;
        }
        if let Some(bar) = &self.bar {
            if changed {
                bar.reset();
                bar.set_message(name.to_owned());
            }
            if let Some(total) = total {
                bar.set_length(total);
            }
            bar.set_position(done);
            return;
        }
        let due = self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if (due || total == Some(done)) && self.since.elapsed() >= self.patience {
            self.last_line = Some(Instant::now());
            eprintln!("{}", line(name, self.unit, done, total, self.since.elapsed()));
        }
    }

    /// A line of its own, above the bar where there is one.
    pub fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }

    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_long_the_rest_takes() {
        let after = |done, total, seconds| {
            line("images", Unit::Items, done, total, Duration::from_secs(seconds))
        };
        assert_eq!(after(0, Some(40), 0), "images: 0 of 40");
        assert_eq!(after(10, Some(40), 5), "images: 10 of 40 · 15 s left");
        assert_eq!(after(1, Some(40), 20), "images: 1 of 40 · 13 min left");
        assert_eq!(after(40, Some(40), 9), "images: 40 of 40");
        assert_eq!(after(7, None, 9), "images: 7");
    }
}

//! The progress of long work: bars on a terminal, plain lines elsewhere. All of it goes to stderr;
//! stdout is for results.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use selfsame::workshop::Voice;
use selfsame::{EvaluatedEpoch, Event, Observer, Progress, Step, Unit};

/// Without a terminal, at least this much time passes between two lines.
const LINE_EVERY: Duration = Duration::from_secs(15);
/// Brief work is shown only if it takes longer than this.
const PATIENCE: Duration = Duration::from_secs(3);

/// Shows progress and messages. Clones show them in the same place.
#[derive(Clone)]
pub struct Terminal(Arc<Shown>);

struct Shown {
    /// Whether stderr is a terminal, so that bars are shown.
    watched: bool,
    now: Mutex<Now>,
}

/// The bars and lines that are shown at this moment.
#[derive(Default)]
struct Now {
    steps: Option<ProgressBar>,
    last_step: Option<Instant>,
    works: HashMap<String, Work>,
}

/// Work in progress.
struct Work {
    bar: Option<ProgressBar>,
    since: Instant,
    last_line: Option<Instant>,
}

impl Terminal {
    /// A terminal on the stderr of this process.
    pub fn new() -> Self {
        let watched = std::io::stderr().is_terminal();
        Self(Arc::new(Shown { watched, now: Mutex::default() }))
    }

    /// This terminal as an observer.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.0.clone()
    }

    /// This terminal as a voice, for the other packages of this repository.
    pub fn voice(&self) -> Voice {
        Voice::new(self.observer())
    }
}

impl Default for Terminal {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Terminal {
    fn observe(&self, event: &Event<'_>) {
        self.0.observe(event);
    }
}

impl Observer for Shown {
    fn observe(&self, event: &Event<'_>) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Note(line) => now.say(line),
            Event::Warning(line) => now.say(&format!("warning: {line}")),
            Event::Progress(progress) => now.progress(progress, self.watched),
            Event::ProgressEnded(name) => now.ended(name),
            Event::Step(step) => now.step(step, self.watched),
            Event::StepsEnded => {
                now.steps.take().iter().for_each(ProgressBar::finish_and_clear);
            }
            Event::Evaluated(found) => now.say(&evaluated(found)),
            Event::Lost(error) => {
                // End without waiting for anything: the lost rank may hold it.
                drop(now);
                std::process::exit(crate::told(error).into());
            }
            _ => {}
        }
    }
}

impl Now {
    /// Prints a line, above the bar if there is one.
    fn say(&self, line: &str) {
        let mut bars = self.steps.iter().chain(self.works.values().filter_map(|w| w.bar.as_ref()));
        match bars.next() {
            Some(bar) => bar.println(crate::output::named(line)),
            None => eprintln!("{line}"),
        }
    }

    fn step(&mut self, step: &Step<'_>, watched: bool) {
        let (done, steps) = (step.report.step, step.steps);
        let text = step_text(step);
        if watched {
            let bar = self.steps.get_or_insert_with(|| {
                bar(ProgressBar::new(steps), "{bar:30.cyan/blue} {pos}/{len} {msg} · {eta} left")
                    .with_position(done)
            });
            bar.set_message(text);
            bar.set_position(done);
            return;
        }
        let due = self.last_step.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        if due || done == steps {
            self.last_step = Some(Instant::now());
            eprintln!("step {done}/{steps} · {text} · {:.0} s left", step.seconds_left);
        }
    }

    fn progress(&mut self, progress: &Progress<'_>, watched: bool) {
        let Progress { name, unit, done, total, brief } = *progress;
        let work = self.works.entry(name.to_owned()).or_insert_with(|| Work {
            bar: watched.then(|| {
                let template = match unit {
                    Unit::Bytes => {
                        "{msg} {bar:30.cyan/blue} {bytes}/{total_bytes} · {bytes_per_sec} · {eta} left"
                    }
                    Unit::Items => "{msg} {bar:30.cyan/blue} {pos}/{len} · {eta} left",
                };
                bar(ProgressBar::no_length(), template).with_message(name.to_owned())
            }),
            since: Instant::now(),
            last_line: None,
        });
        if let Some(bar) = &work.bar {
            total.into_iter().for_each(|total| bar.set_length(total));
            bar.set_position(done);
            return;
        }
        let due = work.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY);
        let patience = if brief { PATIENCE } else { Duration::ZERO };
        if (due || total == Some(done)) && work.since.elapsed() >= patience {
            work.last_line = Some(Instant::now());
            eprintln!("{}", line(name, unit, done, total, work.since.elapsed()));
        }
    }

    fn ended(&mut self, name: &str) {
        let work = self.works.remove(name);
        work.and_then(|work| work.bar).iter().for_each(ProgressBar::finish_and_clear);
    }
}

fn bar(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn step_text(step: &Step<'_>) -> String {
    let knn = step.knn_top1.map_or(String::new(), |k| format!(" · k-NN {:.1} %", 100.0 * k));
    format!(
        "epoch {} · loss {:.4} · std {:.2}{knn} · {:.0} images/s",
        step.epoch, step.report.loss, step.report.embedding_std, step.images_per_second
    )
}

fn evaluated(found: &EvaluatedEpoch) -> String {
    let knn = found.knn_top1.map_or("no accuracy".into(), |k| format!("k-NN {:.2} %", 100.0 * k));
    format!(
        "after epoch {}: {knn} · feature std {:.2} · effective rank {:.1}",
        // 3 after the third epoch, or 3.58 within the fourth.
        (100.0 * found.epoch).round() / 100.0,
        found.feature_std,
        found.effective_rank
    )
}

/// The progress so far, and the time that the rest takes at the same pace.
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

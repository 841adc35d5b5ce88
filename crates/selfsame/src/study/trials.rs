//! The runs of a study. Each is a process.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::StudyOptions;
use super::measured::Measured;
use super::process;
use crate::error::Interrupted;
use crate::folder::{CONFIG, SUMMARY, is_written, refuse_other_files, replace};
use crate::observer::{Unit, Voice};
use crate::settings::RunConfig;

/// The figures of a study's runs. The first file that a finished study writes.
pub const FIGURES: &str = "study.json";
/// The folder of the runs' settings.
const SETTINGS: &str = "settings";
/// The folder of the runs, and of what each printed.
const RUNS: &str = "runs";
/// The exit status of an interrupted run with saved state.
const INTERRUPTED: i32 = 75;
/// The number of lines shown from a failed run's output.
const LAST_LINES: usize = 4;

/// A planned run of a study.
pub struct Trial {
    /// The name of its folder, unique in the study.
    pub name: String,
    pub config: RunConfig,
}

/// The outcome: its figures, or the end of its output.
pub type Outcome = Result<Measured, String>;

/// The number of runs at a time, each on its share of the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jobs(usize);

impl Jobs {
    /// Parses a number from 1 to the number of cores.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match text.parse() {
            Ok(jobs) if (1..=cores).contains(&jobs) => Ok(Self(jobs)),
            _ => Err(format!("a number from 1 to {cores}, the number of cores")),
        }
    }

    /// Threads of each run; `None` for all.
    fn threads(self) -> Option<usize> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (self.0 > 1).then(|| (cores / self.0).max(1))
    }

    /// A note about the speeds. Empty if a run had the whole machine.
    pub fn note(self) -> Option<String> {
        let threads = self.threads()?;
        Some(format!("{} runs at a time, each on {threads} of the threads.", self.0))
    }
}

/// The folder of a study.
pub struct StudyFolder {
    path: PathBuf,
}

impl StudyFolder {
    /// A new folder, or that of a study to resume.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        if !holds_study(path) {
            // A study that was interrupted before its first run leaves these.
            refuse_other_files(path, &[SETTINGS, RUNS])?;
        }
        for part in [SETTINGS, RUNS] {
            let folder = path.join(part);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the missing runs, `jobs` at a time, and reads all runs.
    pub fn run(
        &self,
        trials: &[Trial],
        study: &StudyOptions,
        voice: &Voice,
    ) -> anyhow::Result<Vec<Outcome>> {
        // A device that is missing would fail every run.
        if let Some(first) = trials.first() {
            crate::device::parse_all(&first.config.device)?;
        }
        let (jobs, all) = (study.jobs, trials.len() as u64);
        let tally = Mutex::new(voice.tally(Unit::Items));
        let show = |done: usize| {
            // If the lock is taken, another worker shows the next number.
            if let Ok(mut tally) = tally.try_lock() {
                tally.show("runs", done as u64, Some(all));
            }
        };
        show(0);
        let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let stop = AtomicBool::new(false);
        let work = || -> anyhow::Result<Vec<(usize, Outcome)>> {
            let mut own = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(trial) = trials.get(i) else { break };
                let before = Instant::now();
                let (outcome, fresh) = self
                    .outcome(trial, study)
                    // Current runs are finished. No new run begins.
                    .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
                let took = fresh.then(|| before.elapsed());
                let number = done.fetch_add(1, Ordering::Relaxed) + 1;
                voice.note(line(number, trials.len(), &trial.name, &outcome, took));
                show(number);
                own.push((i, outcome));
            }
            Ok(own)
        };
        let mut outcomes = std::thread::scope(|scope| {
            let workers: Vec<_> =
                (0..jobs.0.min(trials.len())).map(|_| scope.spawn(work)).collect();
            let results = workers.into_iter().map(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            results.collect::<anyhow::Result<Vec<_>>>()
        })?
        .concat();
        drop(tally);
        outcomes.sort_by_key(|(i, _)| *i);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// The outcome, and whether the run is new.
    fn outcome(&self, trial: &Trial, study: &StudyOptions) -> anyhow::Result<(Outcome, bool)> {
        let Trial { name, config } = trial;
        // Not `with_extension`: a name may hold a dot, such as that of a target decay.
        let settings = self.path.join(SETTINGS).join(format!("{name}.toml"));
        let run = self.path.join(RUNS).join(name);
        let wanted = toml::to_string(config)?;
        if study.interrupt.told() {
            return Err(interrupted(name));
        }
        if settings.exists() {
            if let Some(what) = RunConfig::read(&settings)?.difference(config)? {
                bail!(
                    "{} has this run with other settings ({what}); repeat the first command of the \
                     study, or choose another --out",
                    self.path.display()
                );
            }
            if run.join(SUMMARY).is_file() {
                let measured = Measured::read(&run)?;
                if measured.summary.complete() {
                    return Ok((Ok(measured), false));
                }
            }
        } else {
            replace(&settings, wanted.as_bytes())?;
        }
        let log = self.path.join(RUNS).join(format!("{name}.log"));
        let output =
            File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new(&study.program);
        command.args(["pretrain", config.method.name(), "--json", "--config"]).arg(&settings);
        command.arg("--out").arg(&run).stdout(output.try_clone()?).stderr(output);
        if let Some(threads) = study.jobs.threads() {
            command.args(["--threads", &threads.to_string()]);
        }
        if run.join(CONFIG).exists() {
            command.args(["--resume", "auto"]);
        }
        if is_written(&run) {
            bail!(
                "another process is writing to {}; wait for it, then repeat the command",
                run.display()
            );
        }
        let status = process::finish(command, &study.interrupt)?;
        // An interrupted run has saved its state.
        if status.code() == Some(INTERRUPTED) || study.interrupt.told() && !status.success() {
            return Err(interrupted(name));
        }
        if status.success() {
            return Ok((Ok(Measured::read(&run)?), true));
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let said: Vec<&str> = text.lines().filter(|line| line.starts_with("error")).collect();
        let last = if said.is_empty() { text.lines().collect() } else { said };
        let from = last.len().saturating_sub(LAST_LINES);
        let reason = last[from..].join("\n");
        let reason = reason.strip_prefix("error: ").unwrap_or(&reason);
        if let Some(signal) = process::killed_by(status) {
            let reason = format!(
                "its process was ended by signal {signal}; the system sends signal 9 when memory \
                 runs out; see {}",
                log.display()
            );
            return Ok((Err(reason), true));
        }
        let reason = if reason.is_empty() { status.to_string() } else { reason.to_owned() };
        Ok((Err(reason), true))
    }
}

/// Whether the folder holds a study: its figures, or the settings and the output of a run.
fn holds_study(path: &Path) -> bool {
    let begun = |settings: PathBuf| {
        let name = settings.file_stem().unwrap_or_default().display();
        path.join(RUNS).join(format!("{name}.log")).is_file()
    };
    let settings = std::fs::read_dir(path.join(SETTINGS)).into_iter().flatten().flatten();
    path.join(FIGURES).is_file() || settings.into_iter().any(|entry| begun(entry.path()))
}

fn interrupted(name: &str) -> anyhow::Error {
    Interrupted(format!("interrupted in {name}; the same command resumes the study")).into()
}

fn line(number: usize, of: usize, name: &str, outcome: &Outcome, took: Option<Duration>) -> String {
    let found = match outcome {
        Ok(measured) => {
            let knn = measured.summary.knn_top1;
            let knn = knn.map_or("no accuracy".into(), |v| format!("k-NN {:.2} %", 100.0 * v));
            format!("{knn}, {}", measured.summary.diagnosis.headline)
        }
        Err(reason) => format!("failed: {}", reason.lines().next_back().unwrap_or_default()),
    };
    let took = took.map_or("there already".into(), |t| format!("{:.0} s", t.as_secs_f64()));
    format!("{number:>3} of {of} {name}: {found} ({took})")
}

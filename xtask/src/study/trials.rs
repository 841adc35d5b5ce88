//! The runs of a study, one process after the other.

use std::fs::File;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::measured::Measured;
use crate::config::RunConfig;
use crate::pretrain::Interrupted;
use crate::run_folder::{CONFIG, SUMMARY, replace};

/// Lines of a failed run's output that are shown.
const LAST_LINES: usize = 4;

/// A run that a study wants.
pub struct Trial {
    /// Of its folder; no other trial of the study has it.
    pub name: String,
    pub config: RunConfig,
}

/// What became of it: its figures, or the end of what it said.
pub type Outcome = Result<Measured, String>;

/// The folder of a study.
pub struct StudyFolder {
    path: PathBuf,
}

impl StudyFolder {
    /// A new folder, or one to go on in.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        for part in ["settings", "runs"] {
            let folder = path.join(part);
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        Ok(Self { path: path.to_owned() })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the runs that are not there yet, and reads all of them.
    pub fn run(&self, trials: &[Trial]) -> anyhow::Result<Vec<Outcome>> {
        let bar = Bar::new(trials.len() as u64);
        let mut outcomes = Vec::with_capacity(trials.len());
        for (i, trial) in trials.iter().enumerate() {
            bar.begin(&trial.name);
            let before = Instant::now();
            let (outcome, fresh) = self.outcome(trial)?;
            let took = fresh.then(|| before.elapsed());
            bar.end(&line(i + 1, trials.len(), &trial.name, &outcome, took));
            outcomes.push(outcome);
        }
        bar.finish();
        Ok(outcomes)
    }

    /// The outcome, and whether the run was made just now.
    fn outcome(&self, trial: &Trial) -> anyhow::Result<(Outcome, bool)> {
        let Trial { name, config } = trial;
        let settings = self.path.join("settings").join(name).with_extension("toml");
        let run = self.path.join("runs").join(name);
        let wanted = toml::to_string(config)?;
        if settings.exists() {
            if let Some(what) = RunConfig::read(&settings)?.difference(config)? {
                bail!(
                    "{} has this run with other settings ({what}); give the command that the study \
                     began with, or another --out",
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
        let log = run.with_extension("log");
        let output =
            File::create(&log).with_context(|| format!("cannot make {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["pretrain", config.method.name(), "--json", "--config"]).arg(&settings);
        command.arg("--out").arg(&run).stdout(output.try_clone()?).stderr(output);
        if run.join(CONFIG).exists() {
            command.args(["--resume", "auto"]);
        }
        let status = command.status().context("cannot start a run")?;
        // One that was interrupted has saved its state.
        if status.code() == Some(i32::from(Interrupted::STATUS)) {
            bail!("interrupted in {name}; the same command goes on from there");
        }
        if status.success() {
            return Ok((Ok(Measured::read(&run)?), true));
        }
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let said: Vec<&str> = text.lines().filter(|line| line.starts_with("error")).collect();
        let last = if said.is_empty() { text.lines().collect() } else { said };
        let from = last.len().saturating_sub(LAST_LINES);
        let reason = last[from..].join("\n");
        let reason = if reason.is_empty() { status.to_string() } else { reason };
        Ok((Err(reason), true))
    }
}

fn line(number: usize, of: usize, name: &str, outcome: &Outcome, took: Option<Duration>) -> String {
    let found = match outcome {
        Ok(measured) => {
            let knn = measured.summary.knn_top1;
            let knn = knn.map_or("no labels".into(), |v| format!("k-NN {:.2} %", 100.0 * v));
            format!("{knn}, {}", measured.summary.diagnosis.headline)
        }
        Err(reason) => format!("failed: {}", reason.lines().next_back().unwrap_or_default()),
    };
    let took = took.map_or("there already".into(), |t| format!("{:.0} s", t.as_secs_f64()));
    format!("{number:>3} of {of} {name}: {found} ({took})")
}

/// On a terminal a bar, otherwise the lines alone.
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(runs: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(runs);
            let template = "{bar:30.cyan/blue} {pos}/{len} runs · {elapsed} · {eta} left · {msg}";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_secs(1));
            bar
        });
        Self(bar)
    }

    fn begin(&self, name: &str) {
        if let Some(bar) = &self.0 {
            bar.set_message(name.to_owned());
        }
    }

    fn end(&self, line: &str) {
        match &self.0 {
            Some(bar) => {
                bar.println(line);
                bar.inc(1);
            }
            None => eprintln!("{line}"),
        }
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

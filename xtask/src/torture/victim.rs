//! A small run to disturb, and its expected result.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};
use selfsame_models::weights::{StateDict, read_safetensors};
use serde_json::Value;

use selfsame::workshop::{ENCODER, METRICS, SUMMARY, newest_checkpoint, parse};

/// Settings of a run of some seconds, with a checkpoint every few steps.
const SETTINGS: [&str; 9] = [
    "data.test_limit=100",
    "encoder.base_width=4",
    "train.batch_size=16",
    "train.epochs=6",
    "train.checkpoint_minutes=0.0005",
    "eval.knn_k=5",
    "eval.every=2",
    "doctor.images=64",
    "eval.linear_probe=false",
];
const IMAGES: &str = "320";

/// A victim: a kind of run.
#[derive(Debug, Clone, Copy)]
pub struct Victim {
    pub method: &'static str,
    pub device: &'static str,
    pub accumulation: usize,
}

/// One victim of each kind that could resume differently, on the CPU backends of this build.
pub fn victims() -> Vec<Victim> {
    let mut all = vec![
        Victim { method: "byol", device: "flex", accumulation: 1 },
        Victim { method: "barlow-twins", device: "flex", accumulation: 2 },
        Victim { method: "byol", device: "ndarray", accumulation: 2 },
        Victim { method: "barlow-twins", device: "ndarray", accumulation: 1 },
    ];
    all.retain(|victim| parse(victim.device).is_ok());
    all
}

impl Victim {
    pub fn name(&self) -> String {
        let Self { method, device, accumulation } = self;
        format!("{method} on {device}, a step in {accumulation}")
    }

    /// The command that starts or resumes the run in `folder`.
    pub fn arguments(&self, folder: &Path, threads: usize) -> Vec<String> {
        let mut words: Vec<String> =
            ["pretrain", self.method, "--resume", "auto", "--limit", IMAGES, "--device"]
                .map(str::to_owned)
                .to_vec();
        words.push(self.device.to_owned());
        words.extend(["--threads".to_owned(), threads.to_string()]);
        words.extend(["--out".to_owned(), folder.display().to_string()]);
        let accumulation = format!("train.accumulation={}", self.accumulation);
        for setting in SETTINGS.iter().map(|s| (*s).to_owned()).chain([accumulation]) {
            words.extend(["--set".to_owned(), setting]);
        }
        words
    }

    /// Starts or resumes the run. Its output is added to `FOLDER.log`.
    pub fn start(&self, folder: &Path, threads: usize) -> anyhow::Result<Child> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(self.arguments(folder, threads));
        spawn(&mut command, folder)
    }
}

/// Starts `command`. Its output is added to `FOLDER.log`.
pub fn spawn(command: &mut Command, folder: &Path) -> anyhow::Result<Child> {
    let log = log(folder);
    let output = OpenOptions::new().create(true).append(true).open(&log);
    let output: File = output.with_context(|| log.display().to_string())?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    command.spawn().context("cannot start a run")
}

fn log(folder: &Path) -> PathBuf {
    folder.with_extension("log")
}

/// The last line of the run's output.
pub fn last_words(folder: &Path) -> String {
    let text = std::fs::read_to_string(log(folder)).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default().to_owned()
}

/// The peak memory of a finished run.
pub fn peak_bytes(folder: &Path) -> anyhow::Result<u64> {
    let summary: Value = serde_json::from_slice(&std::fs::read(folder.join(SUMMARY))?)?;
    summary["peak_rss_bytes"].as_u64().context("the system does not tell the memory of a run")
}

/// The results of a finished run, without times.
#[derive(Debug, PartialEq)]
pub struct End {
    encoder: Vec<u8>,
    /// All networks and the optimiser.
    state: StateDict,
    metrics: Vec<String>,
}

impl End {
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let encoder = std::fs::read(folder.join(ENCODER)).context("the encoder")?;
        let Some(newest) = newest_checkpoint(folder) else { bail!("there is no checkpoint") };
        let (state, _) = read_safetensors(&newest)?;
        let metrics = std::fs::read_to_string(folder.join(METRICS)).context("the metrics")?;
        let metrics = metrics.lines().map(without_times).collect::<anyhow::Result<_>>()?;
        Ok(Self { encoder, state, metrics })
    }

    /// The differences from `other`.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.encoder != other.encoder {
            return Some("the encoder's weights");
        }
        if self.state != other.state {
            return Some("the networks or the optimiser");
        }
        (self.metrics != other.metrics).then_some("the metrics")
    }
}

fn without_times(line: &str) -> anyhow::Result<String> {
    let mut line: Value = serde_json::from_str(line).context("a line of the metrics")?;
    if let Some(line) = line.as_object_mut() {
        line.remove("train_seconds");
    }
    Ok(line.to_string())
}

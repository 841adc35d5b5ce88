//! The log of training: `metrics.jsonl`, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use selfsame_report::{EventWriter, code_block};
use serde::Serialize;

use crate::folder::record::{EvaluationLine, StepLine};
use crate::folder::{METRICS, RunFolder};

/// Steps of an epoch in the TensorBoard log. `metrics.jsonl` has all of them.
const EVENTS_PER_EPOCH: u64 = 50;

/// The largest compression ratio of a log. Our logs shrink to a fifth. A higher ratio is an attack.
const MAX_RATIO: u64 = 100;

/// Both logs, opened to append.
pub struct Metrics {
    file: File,
    path: PathBuf,
    /// Bytes of the file.
    length: u64,
    events: EventWriter,
    every: u64,
    history: History,
}

/// All lines so far, as checkpoints keep them: gzip members, one per checkpoint. So each checkpoint
/// compresses only the new lines.
#[derive(Debug, Default)]
struct History {
    compressed: Vec<u8>,
    since: Vec<u8>,
}

/// The lines of a log up to one moment, without later lines.
pub struct SoFar {
    path: PathBuf,
    length: u64,
}

impl SoFar {
    /// As a checkpoint keeps them.
    pub fn packed(&self) -> anyhow::Result<Vec<u8>> {
        let file = File::open(&self.path);
        let file = file.with_context(|| format!("cannot read {}", self.path.display()))?;
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let copied = std::io::copy(&mut file.take(self.length), &mut packed)?;
        ensure!(copied == self.length, "{} has become shorter", self.path.display());
        Ok(packed.finish()?)
    }
}

impl History {
    fn pack(&mut self) -> std::io::Result<Vec<u8>> {
        if !self.since.is_empty() {
            let mut encoder = GzEncoder::new(&mut self.compressed, Compression::fast());
            encoder.write_all(&self.since)?;
            encoder.finish()?;
            self.since.clear();
        }
        Ok(self.compressed.clone())
    }
}

impl Metrics {
    /// Goes on after optimiser step `step` with the lines in its checkpoint. The content of the
    /// file does not matter.
    pub fn open(
        folder: &RunFolder,
        step: u64,
        history: Vec<u8>,
        steps_per_epoch: f64,
    ) -> anyhow::Result<Self> {
        let path = folder.file(METRICS);
        let mut lines = Vec::new();
        // Without any member it is not gzip.
        if !history.is_empty() {
            let most = MAX_RATIO * history.len() as u64;
            let mut packed = MultiGzDecoder::new(&history[..]).take(most);
            packed.read_to_end(&mut lines).context("the metrics in the checkpoint")?;
            ensure!(packed.limit() > 0, "the metrics in the checkpoint are no log");
        }
        folder.write(METRICS, &lines)?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut events = EventWriter::append(folder.path(), if step == 0 { 0 } else { step + 1 })?;
        if step == 0 {
            let settings = std::fs::read_to_string(folder.file(crate::folder::CONFIG))?;
            events.text("settings", 0, &code_block("toml", &settings))?;
        }
        let every = (steps_per_epoch as u64 / EVENTS_PER_EPOCH).max(1);
        let history = History { compressed: history, since: Vec::new() };
        let length = lines.len() as u64;
        Ok(Self { file, path, length, events, every, history })
    }

    /// All lines so far. They are compressed in parts.
    pub fn so_far(&self) -> SoFar {
        SoFar { path: self.path.clone(), length: self.length }
    }

    /// All lines so far, for a checkpoint.
    pub fn history(&mut self) -> anyhow::Result<Vec<u8>> {
        Ok(self.history.pack()?)
    }

    /// Logs an optimiser step.
    pub fn step(&mut self, line: &StepLine) -> anyhow::Result<()> {
        self.line(line)?;
        match line.step.is_multiple_of(self.every) {
            true => self.scalars("training", line.step, line),
            false => Ok(()),
        }
    }

    /// Logs an evaluation.
    pub fn evaluation(&mut self, line: &EvaluationLine) -> anyhow::Result<()> {
        self.line(line)?;
        self.scalars("evaluation", line.step, line)?;
        Ok(self.events.flush()?)
    }

    /// A picture for TensorBoard.
    pub fn picture(&mut self, name: &str, step: u64, png: &[u8]) -> anyhow::Result<()> {
        Ok(self.events.image_png(name, step, png)?)
    }

    fn line(&mut self, line: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        // This comes first. So a checkpoint has the line even if the disk is full.
        self.history.since.extend_from_slice(text.as_bytes());
        // One write per line: a reader never sees half a line.
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        self.length += text.len() as u64;
        Ok(())
    }

    /// Every number of a line, each under its name.
    fn scalars(&mut self, group: &str, step: u64, line: &impl Serialize) -> anyhow::Result<()> {
        let line = serde_json::to_value(line)?;
        for (name, value) in line.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64().filter(|_| name != "step") {
                self.events.scalar(&format!("{group}/{name}"), step, value as f32)?;
            }
        }
        Ok(())
    }
}

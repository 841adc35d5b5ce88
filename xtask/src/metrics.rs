//! What a run logs while it trains: `metrics.jsonl`, and the same for TensorBoard.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use selfsame_report::{EventWriter, code_block};
use serde_json::Value;

use crate::run_folder::{METRICS, RunFolder};

/// Steps of an epoch that TensorBoard is told of; `metrics.jsonl` has all of them.
const EVENTS_PER_EPOCH: u64 = 50;

/// Both logs, opened to append.
pub struct Metrics {
    file: File,
    path: PathBuf,
    events: EventWriter,
    every: u64,
}

impl Metrics {
    /// Goes on after optimiser step `step`; what was logged of later ones is cut off.
    pub fn open(folder: &RunFolder, step: u64, steps_per_epoch: f64) -> anyhow::Result<Self> {
        let path = folder.file(METRICS);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let kept = text.lines().filter(|line| {
            let value: Option<Value> = serde_json::from_str(line).ok();
            value.and_then(|v| v["step"].as_u64()).is_some_and(|s| s <= step)
        });
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        folder.write(METRICS, kept.as_bytes())?;
        let file = OpenOptions::new()
            .append(true)
            .open(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let mut events = EventWriter::append(folder.path(), if step == 0 { 0 } else { step + 1 })?;
        if step == 0 {
            let settings = std::fs::read_to_string(folder.file(crate::run_folder::CONFIG))?;
            events.text("settings", 0, &code_block("toml", &settings))?;
        }
        let every = (steps_per_epoch as u64 / EVENTS_PER_EPOCH).max(1);
        Ok(Self { file, path, events, every })
    }

    /// Logs an optimiser step.
    pub fn step(&mut self, line: &Value) -> anyhow::Result<()> {
        self.line(line)?;
        match line["step"].as_u64() {
            Some(step) if step.is_multiple_of(self.every) => self.scalars("training", step, line),
            _ => Ok(()),
        }
    }

    /// Logs an evaluation.
    pub fn evaluation(&mut self, line: &Value) -> anyhow::Result<()> {
        self.line(line)?;
        let step = line["step"].as_u64().unwrap_or_default();
        self.scalars("evaluation", step, line)?;
        Ok(self.events.flush()?)
    }

    /// A picture for TensorBoard.
    pub fn picture(&mut self, name: &str, step: u64, png: &[u8]) -> anyhow::Result<()> {
        Ok(self.events.image_png(name, step, png)?)
    }

    fn line(&mut self, line: &Value) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        // One write per line: a reader never sees half a line.
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Every number of a line, each under its name.
    fn scalars(&mut self, group: &str, step: u64, line: &Value) -> anyhow::Result<()> {
        for (name, value) in line.as_object().into_iter().flatten() {
            if let Some(value) = value.as_f64().filter(|_| name != "step") {
                self.events.scalar(&format!("{group}/{name}"), step, value as f32)?;
            }
        }
        Ok(())
    }
}

//! A run on disk: complete in itself and readable by other tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use crate::config::RunConfig;

pub const CONFIG: &str = "config.toml";
pub const METRICS: &str = "metrics.jsonl";
pub const SUMMARY: &str = "summary.json";
pub const ENCODER: &str = "encoder.safetensors";
pub const LAST_CHECKPOINT: &str = "checkpoints/last.safetensors";
pub const BEST_CHECKPOINT: &str = "checkpoints/best.safetensors";
pub const REPORT: &str = "report.html";
pub const REPORT_DATA: &str = "report.json";
pub const NEIGHBOURS: &str = "neighbours.png";
pub const SKIPPED: &str = "skipped.jsonl";

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

impl RunFolder {
    /// A new folder: `out`, which must not hold a run yet, or the next free name under `runs/`.
    pub fn create(out: Option<&Path>, config: &RunConfig) -> anyhow::Result<Self> {
        let path = match out {
            Some(out) => {
                if out.join(CONFIG).exists() {
                    bail!(
                        "{} holds a run already; continue it with --resume auto, or choose another --out",
                        out.display()
                    );
                }
                out.to_owned()
            }
            None => default_names(config)
                .find(|path| !path.exists())
                .context("no free name is left under runs/")?,
        };
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints)
            .with_context(|| format!("cannot make {}", checkpoints.display()))?;
        let run = Self { path };
        run.write(CONFIG, config.to_commented_toml()?.as_bytes())?;
        Ok(run)
    }

    /// The folder to go on with, if there is one: `out`, or the latest of the default names.
    pub fn existing(out: Option<&Path>, config: &RunConfig) -> Option<Self> {
        let holds_run = |path: &PathBuf| path.join(CONFIG).is_file();
        let path = match out {
            Some(out) => Some(out.to_owned()).filter(holds_run),
            None => default_names(config).take_while(|path| path.exists()).filter(holds_run).last(),
        };
        path.map(|path| Self { path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Replaces a file as a whole.
    pub fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        replace(&self.file(name), bytes)
    }
}

/// Replaces a file as a whole: it is never half written.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes)
        .and_then(|()| std::fs::rename(&new, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `runs/byol-fashion-mini`, `runs/byol-fashion-mini-2`, …
fn default_names(config: &RunConfig) -> impl Iterator<Item = PathBuf> {
    let stem = format!("{}-{}", config.method.name(), config.data.name());
    let workspace = workspace();
    (1..1_000_000).map(move |n| match n {
        1 => workspace.join("runs").join(&stem),
        n => workspace.join("runs").join(format!("{stem}-{n}")),
    })
}

/// The workspace when Cargo runs us, else where we are.
pub fn workspace() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR")
        .and_then(|dir| Some(Path::new(&dir).parent()?.to_owned()))
        .unwrap_or_default()
}

/// The commit that the program was run from, if git knows.
pub fn git_commit() -> Option<String> {
    let folder = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| ".".into());
    let out = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(folder).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success()).then(|| text.trim().to_owned())
}

/// The most memory this process has held, where the system tells.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

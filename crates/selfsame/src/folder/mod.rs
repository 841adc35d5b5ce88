//! A run on disk: complete in itself and readable by other tools.

pub mod failure;
pub mod judged;
pub mod metrics;
pub mod origin;
pub mod record;
pub mod saved;
pub mod state;
pub mod summary;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use selfsame_trainers::{Checkpoints, remove_unfinished, replace_file};

use crate::error::usage;
use crate::names::folder_beside;
use crate::observer::Voice;
use crate::places;
use crate::settings::Method;
use crate::settings::RunConfig;
use crate::words::pasted;

pub const CONFIG: &str = "config.toml";
/// One JSON object for each step and evaluation.
pub const METRICS: &str = "metrics.jsonl";
/// The final figures.
pub const SUMMARY: &str = "summary.json";
/// The trained weights.
pub const ENCODER: &str = "encoder.safetensors";
/// The folder of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
pub const REPORT: &str = "report.html";
pub const REPORT_DATA: &str = "report.json";
pub const NEIGHBOURS: &str = "neighbours.png";
pub const SKIPPED: &str = "skipped.jsonl";
/// Which images the run was made with.
pub const DATA: &str = "data.json";
/// The finished evaluations of the encoder, for a resumed run.
pub const JUDGED: &str = "judged.toml";
/// How images are prepared for the encoder.
pub const PREPROCESSING: &str = "preprocessing.json";
pub const EVALUATION: &str = "eval.json";
pub const FAILURE: &str = "failure/failure.json";
pub const FAILED_STATE: &str = "failure/state.safetensors";
pub const FAILED_BATCH: &str = "failure/batch.safetensors";
/// The lock file of the process that writes to the run.
const LOCK: &str = ".lock";
const EVENTS: &str = "events.out.tfevents.";
const OWN_FILES: [&str; 15] = [
    DATA,
    JUDGED,
    PREPROCESSING,
    EVALUATION,
    CONFIG,
    METRICS,
    SUMMARY,
    ENCODER,
    REPORT,
    REPORT_DATA,
    NEIGHBOURS,
    SKIPPED,
    FAILURE,
    FAILED_STATE,
    FAILED_BATCH,
];

/// The folder of one run. No other process writes to it while this value exists.
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// The system releases the lock with the file, even if the process is killed.
    _lock: File,
}

impl RunFolder {
    /// A new folder: `out`, or the next free name under `runs/`. If `out` already holds a run,
    /// `force` deletes it; without `force` this is an error.
    pub fn create(
        out: Option<&Path>,
        config: &RunConfig,
        force: bool,
        voice: &Voice,
    ) -> anyhow::Result<Self> {
        let path = match out {
            Some(out) => out.to_owned(),
            None => free_name(config)?,
        };
        let run = Self::open(path, voice)?;
        if holds_run(&run.path) {
            if !force {
                return Err(usage(format!(
                    "{} already holds a run; resume it with --resume auto, replace it with \
                     --force, or choose another --out",
                    run.path.display()
                )));
            }
            run.delete_run()?;
        }
        run.make(CHECKPOINTS)?;
        run.write(CONFIG, config.to_commented_toml()?.as_bytes())?;
        Ok(run)
    }

    /// The folder of the run to resume, if there is one: `out`, or the latest of the default names.
    pub fn existing(
        out: Option<&Path>,
        config: &RunConfig,
        voice: &Voice,
    ) -> anyhow::Result<Option<Self>> {
        let path = find(out, config.method, &config.data.name());
        let Some(path) = path else { return Ok(None) };
        let run = Self::open(path, voice)?;
        run.make(CHECKPOINTS)?;
        remove_unfinished(&run.path).with_context(|| run.path.display().to_string())?;
        Ok(Some(run))
    }

    /// Takes the folder for this process alone.
    fn open(path: PathBuf, voice: &Voice) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        let file = path.join(LOCK);
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
        let lock = lock.with_context(|| format!("cannot write {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another process is writing to {}; wait for it, or choose another --out",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                voice.warn(format_args!(
                    "{} cannot be locked ({error}): make sure that no other process writes to it",
                    path.display()
                ));
                Ok(Self { path, _lock: lock })
            }
        }
    }

    fn make(&self, name: &str) -> anyhow::Result<()> {
        let path = self.file(name);
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))
    }

    /// Deletes the files of a run, and no other file in the folder.
    fn delete_run(&self) -> anyhow::Result<()> {
        let gone = |path: PathBuf| match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot delete {}", path.display()))
            }
            _ => Ok(()),
        };
        for name in OWN_FILES {
            gone(self.file(name))?;
        }
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(EVENTS) {
                gone(entry.path())?;
            }
        }
        if self.file(CHECKPOINTS).is_dir() {
            self.checkpoints(1).delete()?;
        }
        Ok(())
    }

    /// The checkpoints of the run. The newest `keep` are kept.
    pub fn checkpoints(&self, keep: usize) -> Checkpoints {
        Checkpoints::new(self.file(CHECKPOINTS), keep)
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

/// Refuses a folder with other files than `own` and hidden ones: results would lie among them.
pub fn refuse_other_files(path: &Path, own: &[&str]) -> anyhow::Result<()> {
    let entries = match std::fs::read_dir(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            return Err(usage(format!("--out {} is a file; choose a new folder", path.display())));
        }
        entries => entries.with_context(|| format!("cannot read {}", path.display()))?,
    };
    for entry in entries {
        let name = entry.with_context(|| format!("cannot read {}", path.display()))?.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && !own.contains(&&*name) {
            let path = path.display();
            return Err(usage(format!(
                "--out {path} holds other files; choose a new or an empty folder"
            )));
        }
    }
    Ok(())
}

/// The command that resumes the run in `folder`, from anywhere.
pub fn resume_command(method: Method, folder: &Path) -> String {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    format!("selfsame pretrain {} --out {} --resume auto", method.name(), pasted(&folder))
}

/// # Errors
/// No file can be made in `folder`.
pub fn writable(folder: &Path) -> anyhow::Result<()> {
    let file = tempfile::tempfile_in(folder);
    file.map(|_| ()).with_context(|| format!("cannot write to {}", folder.display()))
}

/// # Errors
/// `out` is a file of a run, which would be lost.
pub fn check_not_of_a_run(out: &Path) -> anyhow::Result<()> {
    let folder = out.parent().unwrap_or("".as_ref());
    let own = out.file_name().is_some_and(|name| OWN_FILES.iter().any(|own| name == *own));
    match own && holds_run(folder) {
        true => Err(usage(format!(
            "--out {}: that is a file of the run; choose another name",
            out.display()
        ))),
        false => Ok(()),
    }
}

/// # Errors
/// There is no such folder. The error may name a similar one.
pub fn check_there(folder: &Path) -> anyhow::Result<()> {
    match folder.exists() {
        true => Ok(()),
        false => {
            let near = folder_beside(folder);
            Err(usage(format!("there is no run {}{near}", folder.display())))
        }
    }
}

/// Whether a process writes to the run in `folder`.
pub fn is_written(folder: &Path) -> bool {
    let lock = OpenOptions::new().write(true).open(folder.join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Replaces a file as a whole. It is never half written.
pub fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    replace_file(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// The folder of the run to resume, if there is one: `out`, or the latest of the default names.
pub fn find(out: Option<&Path>, method: Method, data: &str) -> Option<PathBuf> {
    match out {
        Some(out) => Some(out.to_owned()).filter(|path| holds_run(path)),
        None => default_names(method, data)
            .take_while(|path| path.exists())
            .filter(|path| holds_run(path))
            .last(),
    }
}

/// Whether a run may be started or resumed in `out`.
///
/// # Errors
/// It holds no run, but other files.
pub fn check_out(out: &Path) -> anyhow::Result<()> {
    match holds_run(out) {
        true => Ok(()),
        // An interrupted start of a run leaves this folder.
        false => refuse_other_files(out, &[CHECKPOINTS]),
    }
}

/// Whether the folder holds a run, even one without its settings.
fn holds_run(path: &Path) -> bool {
    path.join(CONFIG).is_file() || newest_checkpoint(path).is_some()
}

/// The newest checkpoint of the run in `folder`.
pub fn newest_checkpoint(folder: &Path) -> Option<PathBuf> {
    Checkpoints::new(folder.join(CHECKPOINTS), 1).newest_file()
}

/// Makes the next free folder under `runs/`. Several processes at once get different folders.
fn free_name(config: &RunConfig) -> anyhow::Result<PathBuf> {
    for path in default_names(config.method, &config.data.name()) {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        match std::fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot make {}", path.display()));
            }
        }
    }
    bail!("no free name is left under runs/")
}

/// `runs/byol-fashion-mini`, `runs/byol-fashion-mini-2`, …
fn default_names(method: Method, data: &str) -> impl Iterator<Item = PathBuf> + use<> {
    let stem = format!("{}-{data}", method.name());
    (1..1_000_000).map(move |n| match n {
        1 => places::runs().join(&stem),
        n => places::runs().join(format!("{stem}-{n}")),
    })
}

/// The commit of the checkout that the program runs in, if there is one and git knows it.
pub fn git_commit() -> Option<String> {
    let folder = places::checkout()?;
    let out = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(folder).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    (out.status.success()).then(|| text.trim().to_owned())
}

/// Peak memory of this process, if the system tells.
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The name of a run: that of its folder.
pub fn run_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

//! The checkpoints of a run, and which of them are kept.

pub(crate) mod checkpoint;
mod seal;
pub(crate) mod snapshot;

use std::path::{Path, PathBuf};

use selfsame_models::weights::read_bytes;

use crate::checkpoints::checkpoint::remove_unfinished;
use crate::{Checkpoint, Method, RunRecord, Snapshot, TrainError};

const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";
const BEST: &str = "best.safetensors";
/// The old name of the newest checkpoint, from when there was only one.
const FORMER: &str = "last.safetensors";
/// Added to the name of a file that is set aside.
const DAMAGED: &str = ".damaged";

/// The checkpoints of one run in a folder: the newest few and the best (`best.safetensors`). A
/// newest one is named by the step after which it was written (`step-0000000780.safetensors`).
///
/// A new checkpoint never replaces an older one. If the newest is damaged, the run resumes from the
/// one before, or else from the best.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    folder: PathBuf,
    keep: usize,
}

/// A damaged checkpoint.
#[derive(Debug)]
pub struct SetAside {
    /// Its current name.
    pub path: PathBuf,
    /// The problem.
    pub error: TrainError,
}

impl Checkpoints {
    /// The checkpoints in `folder`. The newest `keep` (at least 1) are kept.
    pub fn new(folder: PathBuf, keep: usize) -> Self {
        Self { folder, keep: keep.max(1) }
    }

    /// The path of the best checkpoint. It may not exist.
    pub fn best(&self) -> PathBuf {
        self.folder.join(BEST)
    }

    /// Writes `state` as the newest checkpoint, then deletes the surplus.
    ///
    /// # Errors
    /// An error of the file system. All old checkpoints are then still there.
    pub fn save<M: Method>(&self, state: &Snapshot<M>, run: &RunRecord) -> Result<(), TrainError> {
        let name = format!("{PREFIX}{:010}{SUFFIX}", state.step());
        Checkpoint::save(state, run, &self.folder.join(name))?;
        for old in self.newest_first()?.into_iter().skip(self.keep) {
            // A surplus checkpoint does no harm.
            let _ = std::fs::remove_file(old);
        }
        Ok(())
    }

    /// Writes `state` as the best.
    ///
    /// # Errors
    /// An error of the file system. The old best checkpoint is then still there.
    pub fn save_best<M: Method>(
        &self,
        state: &Snapshot<M>,
        run: &RunRecord,
    ) -> Result<(), TrainError> {
        Checkpoint::save(state, run, &self.best())
    }

    /// The newest file, unchecked.
    pub fn newest_file(&self) -> Option<PathBuf> {
        self.newest_first().ok()?.into_iter().next()
    }

    /// The newest intact checkpoint, if there is one, and the damaged ones. The damaged ones are
    /// renamed to `….damaged`, for the user to see. Also deletes incomplete files of a killed
    /// process.
    ///
    /// Only the process that writes there may call this.
    ///
    /// # Errors
    /// An error of the file system, or an intact checkpoint of another format.
    pub fn recover(&self) -> Result<(Option<Checkpoint>, Vec<SetAside>), TrainError> {
        remove_unfinished(&self.folder).map_err(|e| self.failed(&e))?;
        let mut damaged = Vec::new();
        let best = self.best();
        let best = if best.exists() { self.read(&best, &mut damaged)? } else { None };
        for path in self.newest_first()? {
            if let Some(checkpoint) = self.read(&path, &mut damaged)? {
                return Ok((Some(checkpoint), damaged));
            }
        }
        if let Some(best) = best {
            return Ok((Some(best), damaged));
        }
        let former = self.folder.join(FORMER);
        if former.exists() {
            // An unknown format is an error. Otherwise the run would seem to have no checkpoint.
            self.read(&former, &mut damaged)?;
        }
        Ok((None, damaged))
    }

    fn read(
        &self,
        path: &Path,
        damaged: &mut Vec<SetAside>,
    ) -> Result<Option<Checkpoint>, TrainError> {
        let found = match read_bytes(path) {
            Ok(bytes) => Checkpoint::parse(bytes, path),
            // A file that the system cannot read, or a folder in its place, is damaged too.
            Err(error) => {
                Err(TrainError::Damaged { path: path.to_owned(), reason: error.to_string() })
            }
        };
        match found {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(error @ TrainError::Damaged { .. }) => {
                let mut name = path.as_os_str().to_owned();
                name.push(DAMAGED);
                let aside = PathBuf::from(name);
                let moved = std::fs::rename(path, &aside).is_ok();
                let path = if moved { aside } else { path.to_owned() };
                damaged.push(SetAside { path, error });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes all of them, damaged ones too.
    ///
    /// # Errors
    /// The file system's.
    pub fn delete(&self) -> Result<(), TrainError> {
        let all = || -> std::io::Result<()> {
            for entry in std::fs::read_dir(&self.folder)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                if (name.starts_with(PREFIX) || name.starts_with(BEST)) && name.contains(SUFFIX) {
                    std::fs::remove_file(entry.path())?;
                }
            }
            Ok(())
        };
        all().map_err(|e| self.failed(&e))
    }

    /// The files, sorted by the step in their names.
    fn newest_first(&self) -> Result<Vec<PathBuf>, TrainError> {
        let entries = std::fs::read_dir(&self.folder).map_err(|e| self.failed(&e))?;
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name().into_string().ok()?;
                let step = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok()?;
                Some((step, entry.path()))
            })
            .collect();
        found.sort_by(|a, b| b.cmp(a));
        Ok(found.into_iter().map(|(_, path)| path).collect())
    }

    fn failed(&self, error: &std::io::Error) -> TrainError {
        TrainError::Checkpoint { path: self.folder.clone(), reason: error.to_string() }
    }
}

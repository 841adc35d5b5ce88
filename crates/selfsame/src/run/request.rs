//! How to start a run from Rust.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Interrupt;
use crate::error::{Result, usage};
use crate::folder::summary::Summary;
use crate::folder::{ENCODER, REPORT};
use crate::observer::{Event, Observer, Voice};
use crate::settings::{Method, Overrides};

/// A request for a run.
///
/// ```no_run
/// let run = selfsame::Run::byol().images("my-photos").out("runs/photos").start()?;
/// println!("{:?}: {}", run.summary().knn_top1, run.summary().diagnosis.headline);
/// # Ok::<(), selfsame::Error>(())
/// ```
///
/// Without images it trains on the data set `fashion-mini`, which comes with the crate. Other
/// settings have the defaults of `selfsame config METHOD`.
#[derive(Clone)]
pub struct Run {
    pub(super) method: Method,
    pub(super) overrides: Overrides,
    pub(super) out: Option<PathBuf>,
    pub(super) resume: bool,
    pub(super) force: bool,
    pub(super) threads: Option<usize>,
    pub(super) command: Option<String>,
    pub(super) interrupt: Interrupt,
    observer: Arc<dyn Observer>,
}

/// What to do if the folder already holds a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Start {
    /// Refuse.
    #[default]
    New,
    /// Resume it, to the same weights bit for bit. Without one, start a new run.
    Resume,
    /// Delete it, and start a new run.
    Replace,
}

impl Run {
    /// A run of BYOL (Grill et al., 2020).
    pub fn byol() -> Self {
        Self::of(Method::Byol)
    }

    /// A run of Barlow Twins (Zbontar et al., 2021).
    pub fn barlow_twins() -> Self {
        Self::of(Method::BarlowTwins)
    }

    /// A run of any method.
    pub fn of(method: Method) -> Self {
        Self {
            method,
            overrides: Overrides::default(),
            out: None,
            resume: false,
            force: false,
            threads: None,
            command: None,
            interrupt: Interrupt::new(),
            observer: Arc::new(|_: &Event<'_>| ()),
        }
    }

    /// Trains on the images in a folder: with a sub-folder for each class, or without any.
    pub fn images(mut self, folder: impl Into<PathBuf>) -> Self {
        self.overrides.images = Some(folder.into());
        self
    }

    /// Trains on a data set by its name, as `selfsame dataset list` shows it.
    pub fn dataset(mut self, name: impl Into<String>) -> Self {
        self.overrides.dataset = Some(name.into());
        self
    }

    /// Where to compute: `flex` (the default, a CPU); `cuda[:N]`, `wgpu` or `ndarray` with the
    /// feature of that name.
    pub fn device(mut self, name: impl Into<String>) -> Self {
        self.overrides.device = Some(name.into());
        self
    }

    /// Fixes initial weights, shuffling and augmentation.
    pub fn seed(mut self, seed: u64) -> Self {
        self.overrides.seed = Some(seed);
        self
    }

    /// Any setting by its name, as in a settings file: `.set("train.epochs", 20)`.
    pub fn set(mut self, key: &str, value: impl Display) -> Self {
        self.overrides.set.push(format!("{key}={value}"));
        self
    }

    /// All settings at once. Replaces what was set before.
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// The run's folder: a new or an empty one, or that of the run to resume or to replace. Without
    /// one it is the next free `runs/METHOD-DATASET`.
    pub fn out(mut self, folder: impl Into<PathBuf>) -> Self {
        self.out = Some(folder.into());
        self
    }

    /// What to do if the folder already holds a run.
    pub fn existing(mut self, start: Start) -> Self {
        (self.resume, self.force) = (start == Start::Resume, start == Start::Replace);
        self
    }

    /// Threads that decode images and make views. The default is the number of threads of Rayon.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The command of the run, for its report.
    pub fn command(mut self, command: impl Into<String>) -> Self {
        self.command = Some(command.into());
        self
    }

    /// The observer of the run. Without it, nothing is reported.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// A handle to end the run early.
    pub fn interrupt(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// Trains, evaluates the encoder, and writes the run's folder. Returns at the end of the run.
    ///
    /// # Errors
    /// Settings or images cannot be used ([`Request`](crate::ErrorKind::Request)); the run was
    /// asked to end and has saved its state ([`Interrupted`](crate::ErrorKind::Interrupted));
    /// training fails, or the disk is full.
    pub fn start(&self) -> Result<Finished> {
        let other = || usage("this process is not the first rank of its job; use `start_rank`");
        Ok(self.start_rank()?.ok_or_else(other)?)
    }

    /// [`start`](Self::start) for one of several processes of `mpirun` or `srun` (feature `mpi`).
    /// Only the first rank returns a run, the others `None`.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_rank(&self) -> Result<Option<Finished>> {
        Ok(super::start(self, &Voice::new(self.observer.clone()))?)
    }
}

/// A run that has ended.
#[derive(Debug)]
pub struct Finished {
    summary: Summary,
    folder: PathBuf,
}

impl Finished {
    pub(super) fn new(summary: Summary, folder: PathBuf) -> Self {
        Self { summary, folder }
    }

    /// The final figures, as `summary.json` has them.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The main figures, as text.
    pub fn table(&self) -> String {
        self.summary.table(&self.folder)
    }

    /// The folder of the run.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The trained weights, in torchvision's parameter names.
    pub fn encoder(&self) -> PathBuf {
        self.folder.join(ENCODER)
    }

    /// The page that shows the run.
    pub fn report(&self) -> PathBuf {
        self.folder.join(REPORT)
    }
}

//! Signals that ask a run to end.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

/// A run that was asked to end and has saved everything. Its own exit status, so that a job script can tell it from a
/// finished run and from a failed one.
#[derive(Debug)]
pub struct Interrupted(pub String);

impl Interrupted {
    /// `EX_TEMPFAIL` of `sysexits.h`: not done, ask again.
    pub const STATUS: u8 = 75;
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

/// What a signal finds a run doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing is trained yet: it ends at once.
    Starting = 0,
    /// It ends after the step, and saves.
    Training,
    /// Everything is saved: it ends at once.
    Trained,
}

/// Ctrl-C, SIGTERM, SLURM's SIGUSR1, or SIGHUP when a terminal is closed.
///
/// In training, a second one ends the process at once, with the status that shells give; but for SIGHUP, which a terminal
/// that is closed may send several times.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    told: Arc<AtomicBool>,
    stage: Arc<AtomicU8>,
    /// The command that goes on with a run whose training is saved.
    go_on: Arc<OnceLock<String>>,
}

impl Interrupt {
    /// Waits for signals from now on.
    ///
    /// # Errors
    /// Signals that cannot be waited for.
    pub fn watch() -> anyhow::Result<Self> {
        let interrupt = Self::default();
        let mut signals = vec![SIGINT, SIGTERM, SIGUSR1];
        // `nohup` starts us with SIGHUP ignored, so that the run goes on.
        if !is_ignored(SIGHUP) {
            signals.push(SIGHUP);
        }
        let mut signals = Signals::new(signals)?;
        let watching = interrupt.clone();
        std::thread::spawn(move || signals.forever().for_each(|signal| watching.heard(signal)));
        Ok(interrupt)
    }

    /// Whether the run was asked to end.
    pub fn told(&self) -> bool {
        self.told.load(Ordering::Relaxed)
    }

    /// From here on there is something to save.
    pub fn training_begins(&self) {
        self.stage.store(Stage::Training as u8, Ordering::Relaxed);
    }

    /// From here on everything is saved.
    pub fn training_is_saved(&self, go_on: String) {
        self.go_on.get_or_init(|| go_on);
        self.stage.store(Stage::Trained as u8, Ordering::Relaxed);
    }

    fn heard(&self, signal: i32) {
        let stage = self.stage.load(Ordering::Relaxed);
        let said = if stage == Stage::Starting as u8 {
            "interrupted before training began; nothing is lost, start it again with --resume auto"
                .to_owned()
        } else if stage == Stage::Trained as u8 {
            let go_on = self.go_on.get().map_or("--resume auto", String::as_str);
            format!("interrupted after training; the weights are saved, go on with\n  {go_on}")
        } else {
            let again = self.told.swap(true, Ordering::Relaxed);
            if again && signal != SIGHUP {
                exit(128 + signal);
            }
            return;
        };
        eprintln!("{said}");
        exit(Interrupted::STATUS.into());
    }
}

/// Whether this process was started to ignore a signal, where the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

//! `SIGKILL`, which a process neither sees coming nor can put off.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use selfsame_trainers::UNFINISHED;

use selfsame::workshop::CHECKPOINTS;

/// When to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At any time from the start of the process on.
    AtRandom,
    /// When the next checkpoint, or one of those after it, is being written.
    InWrite,
}

/// What became of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    Killed,
    /// It had ended before.
    TooLate,
}

/// Kills `child` within about `span`.
pub fn kill(
    child: &mut Child,
    folder: &Path,
    when: When,
    span: Duration,
    rng: &mut impl Rng,
) -> anyhow::Result<Kill> {
    match when {
        When::AtRandom => std::thread::sleep(span.mul_f64(rng.random())),
        When::InWrite => wait_for_write(child, folder, rng.random_range(0..6))?,
    }
    child.kill()?;
    // An exit status of its own means that it had ended before the signal came.
    Ok(if child.wait()?.code().is_some() { Kill::TooLate } else { Kill::Killed })
}

/// Until a file is half written, for the time after `skip` of them; or until the process ends.
fn wait_for_write(child: &mut Child, folder: &Path, skip: usize) -> anyhow::Result<()> {
    let checkpoints = folder.join(CHECKPOINTS);
    let limit = Instant::now() + Duration::from_secs(60);
    let (mut seen, mut writing) = (0, false);
    while Instant::now() < limit {
        if writes(&checkpoints) {
            if !writing && seen == skip {
                return Ok(());
            }
            seen += usize::from(!writing);
            writing = true;
        } else {
            writing = false;
            if child.try_wait()?.is_some() {
                return Ok(());
            }
        }
        std::thread::yield_now();
    }
    Ok(())
}

/// Whether a file in `folder` is half written.
pub fn writes(folder: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
}

//! `SIGKILL`: a process cannot foresee or delay it.

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt};
use selfsame_trainers::UNFINISHED;

use selfsame::workshop::CHECKPOINTS;

/// When to kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At any time after the start of the process.
    AtRandom,
    /// While the next checkpoint, or a later one, is written.
    InWrite,
}

/// The result of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kill {
    Killed,
    /// The process had already ended.
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
    // An exit status means that the process ended before the signal.
    Ok(if child.wait()?.code().is_some() { Kill::TooLate } else { Kill::Killed })
}

/// Waits until a file is half written, after skipping `skip` such files, or until the process ends.
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

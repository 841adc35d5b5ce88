//! Signals that ask a run to end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

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

/// Set by Ctrl-C, SIGTERM, SLURM's SIGUSR1, or SIGHUP when a terminal is closed. A second one ends the process at once,
/// with the status that shells give; but for SIGHUP, which a terminal that is closed may send several times.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // In this order: the first signal finds the flag unset and only sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    // `nohup` starts us with SIGHUP ignored, so that the run goes on.
    if !is_ignored(SIGHUP) {
        signal_hook::flag::register(SIGHUP, flag.clone())?;
    }
    Ok(flag)
}

/// Whether this process was started to ignore a signal, where the system tells.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

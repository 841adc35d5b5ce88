//! Signals that ask a run to end.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};

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

/// Set by Ctrl-C, SIGTERM or SLURM's SIGUSR1; a second one ends the process at once, with the status that shells give.
pub fn flag() -> anyhow::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGUSR1] {
        // In this order: the first signal finds the flag unset and only sets it.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

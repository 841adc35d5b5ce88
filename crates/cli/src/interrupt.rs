//! The signals that ask a run to end.

use selfsame::{Asked, Interrupt};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;
use signal_hook::low_level::exit;

/// The status of an interrupted run that has saved everything. A job script can tell it from a
/// finished run and from a failed one. It is `EX_TEMPFAIL` of `sysexits.h`: not done, ask again.
pub const INTERRUPTED: u8 = 75;

/// Makes signals ask a run to end: Ctrl-C, SIGTERM, SIGUSR1 from SLURM, and SIGHUP from a closed
/// terminal.
///
/// In training, a second signal ends the process at once, with the status that shells give. SIGHUP
/// does not: a closed terminal may send it several times.
///
/// # Errors
/// The system refuses the signal handlers.
pub fn watch() -> anyhow::Result<Interrupt> {
    let interrupt = Interrupt::new();
    let mut signals = vec![SIGINT, SIGTERM, SIGUSR1];
    // `nohup` starts us with SIGHUP ignored. Then the run goes on.
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    let mut signals = Signals::new(signals)?;
    let watched = interrupt.clone();
    std::thread::spawn(move || signals.forever().for_each(|signal| heard(&watched, signal)));
    Ok(interrupt)
}

fn heard(interrupt: &Interrupt, signal: i32) {
    if signal == SIGTERM {
        interrupt.hurry();
    }
    match interrupt.ask() {
        Asked::NothingToLose(line) => {
            eprintln!("{line}");
            exit(INTERRUPTED.into());
        }
        Asked::AfterTheStep { again: true } if signal != SIGHUP => exit(128 + signal),
        Asked::AfterTheStep { .. } => {}
    }
}

/// Whether this process was started to ignore a signal. False if the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

//! The process of one run. It ends early when the study is asked to end.

use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use anyhow::Context;

use crate::run::Interrupt;

/// The variable that tells a run the process of its study.
const STUDY: &str = "SELFSAME_STUDY";

/// Lets this process end when its study does, even if somebody kills that. Does nothing in a process
/// that no study has started, and where the system cannot.
pub fn end_with_study() {
    #[cfg(target_os = "linux")]
    if std::env::var(STUDY).is_ok() {
        use rustix::process::{Signal, set_parent_process_death_signal};
        // Without it, the run goes on alone.
        let _ = set_parent_process_death_signal(Some(Signal::TERM));
    }
}

/// How often to look at a process. A run takes seconds at least.
const LOOK: Duration = Duration::from_millis(50);

/// Starts `command`, and waits for its end. When `interrupt` is told, so is the process, once: it
/// saves its run, and ends with the status of an interrupted run.
///
/// # Errors
/// The process cannot be started.
pub fn finish(mut command: Command, interrupt: &Interrupt) -> anyhow::Result<ExitStatus> {
    apart(&mut command);
    command.env(STUDY, std::process::id().to_string());
    let program = command.get_program().to_owned();
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start a run with the program {}", program.display()))?;
    let mut told = false;
    loop {
        if let Some(status) = child.try_wait().context("cannot wait for a run")? {
            return Ok(status);
        }
        if interrupt.told() && !told {
            told = true;
            tell(&child);
        }
        std::thread::sleep(LOOK);
    }
}

/// The number of the signal that ended a process.
pub fn killed_by(status: ExitStatus) -> Option<i32> {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt;
        status.signal()
    }
    #[cfg(not(unix))]
    {
        let _ = status;
        None
    }
}

/// A process group of its own. A terminal sends Ctrl-C to a whole group, and a second signal would
/// end the run before it has saved.
#[cfg(unix)]
fn apart(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
}

#[cfg(not(unix))]
fn apart(_command: &mut Command) {}

#[cfg(unix)]
fn tell(child: &Child) {
    use rustix::process::{Pid, Signal, kill_process};
    // Not SIGINT, which a shell may have switched off for what runs in the background. A process
    // that has just ended cannot be told, and need not be.
    let _ = kill_process(Pid::from_child(child), Signal::TERM);
}

/// A console sends Ctrl-C to the run too.
#[cfg(not(unix))]
fn tell(_child: &Child) {}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_told_study_ends_its_process() {
        let interrupt = Interrupt::new();
        interrupt.training_begins();
        let mut command = Command::new("sh");
        // The shell ends with 75, as a run does.
        command.args(["-c", "trap 'exit 75' TERM; while true; do sleep 0.05; done"]);
        let asked = interrupt.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            asked.ask();
        });
        let begun = Instant::now();
        assert_eq!(finish(command, &interrupt).unwrap().code(), Some(75));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = finish(Command::new("/no/such/program"), &Interrupt::new()).unwrap_err();
        assert!(format!("{error:#}").contains("/no/such/program"), "{error:#}");
    }
}

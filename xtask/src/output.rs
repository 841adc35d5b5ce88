//! What the program says.
//!
//! Whoever reads it may stop at any time: `| head -1`, a terminal that is closed. That is no error of ours, and a run
//! of some days must not end by it. The standard library's `println!` and `eprintln!` panic then; all of `xtask` uses
//! those of this file, which have the same names. What nobody reads is not written, and the command goes on.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

/// Why results could not be written though somebody wants them: they go to a file, and its disk is full.
static LOST: OnceLock<String> = OnceLock::new();

macro_rules! print {
    ($($what:tt)*) => { $crate::output::result(format_args!($($what)*)) };
}

macro_rules! println {
    () => { $crate::output::result(format_args!("\n")) };
    ($($what:tt)*) => { $crate::output::result(format_args!("{}\n", format_args!($($what)*))) };
}

macro_rules! eprintln {
    ($($what:tt)*) => { $crate::output::aside(format_args!("{}\n", format_args!($($what)*))) };
}

/// On stdout.
pub fn result(text: Arguments<'_>) {
    note(stdout().lock().write_fmt(text));
}

/// On stderr. Nothing can be done where that fails, and nothing has to be.
pub fn aside(text: Arguments<'_>) {
    let _ = stderr().lock().write_fmt(text);
}

/// At the end of a command.
///
/// # Errors
/// Results that were wanted and are lost.
pub fn finish() -> anyhow::Result<()> {
    note(stdout().lock().flush());
    match LOST.get() {
        None => Ok(()),
        Some(why) => anyhow::bail!("the results could not be written to stdout: {why}"),
    }
}

fn note(written: std::io::Result<()>) {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    if let Err(error) = written
        && matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
    {
        LOST.get_or_init(|| error.to_string());
    }
}

//! The output of the program.
//!
//! The reader may go away at any time: `| head -1`, or a closed terminal. This is no error, and
//! must not end a run of several days. The standard library's `println!` and `eprintln!` panic in
//! this case. So both programs use the macros of this file, with the same names. They drop the
//! text, and the command goes on.

use std::borrow::Cow;
use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::sync::OnceLock;

/// Why results are lost: they go to a file, and its disk is full.
static LOST: OnceLock<String> = OnceLock::new();
/// The name that a person types to call this program.
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// The name of the program in the library's texts.
const OWN_NAME: &str = "selfsame";
/// The commands in the library's texts.
const COMMANDS: [&str; 13] = [
    "<command>",
    "ablate",
    "augment",
    "compare",
    "config",
    "dataset",
    "embed",
    "eval",
    "pretrain",
    "recipes",
    "replay",
    "report",
    "search",
];

/// Like the standard library's `print!`, but never panics.
#[macro_export]
macro_rules! print {
    ($($what:tt)*) => { $crate::result(format_args!($($what)*)) };
}

/// Like the standard library's `println!`, but never panics.
#[macro_export]
macro_rules! println {
    () => { $crate::result(format_args!("\n")) };
    ($($what:tt)*) => { $crate::result(format_args!("{}\n", format_args!($($what)*))) };
}

/// Like the standard library's `eprintln!`, but never panics.
#[macro_export]
macro_rules! eprintln {
    ($($what:tt)*) => { $crate::aside(format_args!("{}\n", format_args!($($what)*))) };
}

/// Sets the name of this program for texts that show a command.
pub(crate) fn call(program: &'static str) {
    PROGRAM.get_or_init(|| program);
}

/// `text`, with this program's name in its commands.
pub(crate) fn named(text: &str) -> Cow<'_, str> {
    match PROGRAM.get() {
        Some(program) if *program != OWN_NAME => Cow::Owned(with_name(text, program)),
        _ => Cow::Borrowed(text),
    }
}

fn with_name(text: &str, program: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OWN_NAME) {
        let (before, found) = rest.split_at(at);
        let after = &found[OWN_NAME.len()..];
        let begins = before.chars().next_back().is_none_or(|c| c.is_whitespace() || c == '`');
        let command = after.strip_prefix(' ').unwrap_or_default();
        let word = command.split(|c: char| c.is_whitespace() || c == '`').next();
        let is_command = begins && word.is_some_and(|word| COMMANDS.contains(&word));
        out += before;
        out += if is_command { program } else { OWN_NAME };
        rest = after;
    }
    out + rest
}

/// Writes to stdout.
pub fn result(text: Arguments<'_>) {
    note(stdout().lock().write_all(named(&text.to_string()).as_bytes()));
}

/// Writes to stderr. A failure is ignored.
pub fn aside(text: Arguments<'_>) {
    let _ = stderr().lock().write_all(named(&text.to_string()).as_bytes());
}

/// Flushes stdout at the end of a command.
///
/// # Errors
/// Results are lost because a disk is full.
pub(crate) fn finish() -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_shown_as_they_are_typed_and_nothing_else_is_changed() {
        let of = |text| with_name(text, "cargo xtask");
        assert_eq!(
            of("go on with\n  selfsame pretrain byol"),
            "go on with\n  cargo xtask pretrain byol"
        );
        assert_eq!(of("see `selfsame config`"), "see `cargo xtask config`");
        for text in ["runs/selfsame pretrain", "selfsame runs", "selfsame", "my-selfsame eval"] {
            assert_eq!(of(text), text);
        }
    }
}

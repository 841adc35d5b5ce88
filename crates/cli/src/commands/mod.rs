//! One module for each command: its arguments and its work.

pub mod ablate;
pub mod augment;
pub mod compare;
pub mod completions;
pub mod config;
pub mod dataset;
pub mod embed;
pub mod eval;
pub mod pretrain;
pub mod recipes;
pub mod replay;
pub mod report;
pub mod search;
pub mod settings;

/// The command that is running, as a person types it for the program `selfsame`.
fn command_line() -> String {
    let words = std::env::args_os().skip(1).map(|word| {
        // A name that is not Unicode cannot be shown as it is.
        let word = word.to_string_lossy().into_owned();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,/:+@%".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', "'\\''"))
        }
    });
    std::iter::once("selfsame".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

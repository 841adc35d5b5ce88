//! Wrong command lines, and suggestions for them.

use std::ffi::OsString;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};
use selfsame::workshop::known;

use crate::output::named;

/// Flags of other programs, and our flags that do the same.
const ELSEWHERE: [(&str, &str, &str); 22] = [
    ("workers", "threads", "--threads N"),
    ("num-workers", "threads", "--threads N"),
    ("output", "out", "--out DIR"),
    ("output-dir", "out", "--out DIR"),
    ("out-dir", "out", "--out DIR"),
    ("save-dir", "out", "--out DIR"),
    ("log-dir", "out", "--out DIR"),
    ("name", "out", "--out DIR"),
    ("data", "images", "--images DIR, or --dataset NAME"),
    ("data-dir", "images", "--images DIR, or --dataset NAME"),
    ("data-path", "images", "--images DIR, or --dataset NAME"),
    ("input", "images", "--images DIR, or --dataset NAME"),
    ("folder", "images", "--images DIR"),
    ("image", "query", "--query FILE"),
    ("gpu", "device", "--device cuda"),
    ("gpus", "device", "--device cuda, or --device cuda:0,cuda:1"),
    ("cuda", "device", "--device cuda"),
    ("cpu", "device", "--device flex"),
    ("bf16", "precision", "--precision bf16"),
    ("amp", "precision", "--precision bf16"),
    ("checkpoint", "weights", "--weights FILE"),
    ("overwrite", "force", "--force"),
];

/// The messages of the number parsers, and ours.
const PLAIN: [(&str, &str); 5] = [
    ("invalid digit found in string", "a whole number is wanted"),
    ("cannot parse integer from empty string", "a whole number is wanted"),
    ("number too large to fit in target type", "the number is too large"),
    ("invalid float literal", "a number is wanted"),
    ("cannot parse float from empty string", "a number is wanted"),
];

/// The command line of this process. Ends the process on a request for help and on an error.
pub fn parse<P: CommandFactory + FromArgMatches>() -> P {
    let words: Vec<OsString> = std::env::args_os().collect();
    let program = in_own_words(P::command());
    let parsed = program.clone().try_get_matches_from(&words).and_then(|found| {
        P::from_arg_matches(&found).map_err(|error| error.format(&mut program.clone()))
    });
    parsed.unwrap_or_else(|error| {
        if let Some(text) = explained(&error, &program, &words) {
            eprintln!("error: {text}");
            std::process::exit(error.exit_code());
        }
        error.exit()
    })
}

/// Puts this program's name into the commands of the help texts.
fn in_own_words(command: Command) -> Command {
    let own = |text: Option<&StyledStr>| text.map(|t| named(&t.to_string()).into_owned());
    let (about, long) = (own(command.get_about()), own(command.get_long_about()));
    let after = own(command.get_after_help());
    let mut command = command;
    command = about.into_iter().fold(command, Command::about);
    command = long.into_iter().fold(command, Command::long_about);
    command = after.into_iter().fold(command, Command::after_help);
    let argument = |mut arg: Arg| {
        let (help, long) = (own(arg.get_help()), own(arg.get_long_help()));
        arg = help.into_iter().fold(arg, Arg::help);
        long.into_iter().fold(arg, Arg::long_help)
    };
    command.mut_args(argument).mut_subcommands(in_own_words)
}

/// Our message for an error, if it is better than clap's.
fn explained(error: &clap::Error, program: &Command, words: &[OsString]) -> Option<String> {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            instead(flag, program, words)
        }
        ErrorKind::ValueValidation => {
            let text = error.render().to_string();
            let (theirs, ours) = PLAIN.iter().find(|(theirs, _)| text.contains(theirs))?;
            Some(text.replace(theirs, ours).trim_start_matches("error: ").trim_end().to_owned())
        }
        _ => None,
    }
}

/// A replacement for `flag`, which the command does not have.
fn instead(flag: &str, program: &Command, words: &[OsString]) -> Option<String> {
    let name = flag.strip_prefix("--")?;
    let command = words.iter().skip(1).find_map(|word| program.find_subcommand(word))?;
    let has = |id: &str| command.get_arguments().any(|own| own.get_id() == id);
    let elsewhere = ELSEWHERE.iter().find(|(other, own, _)| *other == name && has(own));
    if let Some((.., ours)) = elsewhere {
        return Some(format!("there is no {flag}; use {ours}"));
    }
    let key = known::named(&name.replace('-', "_")).filter(|_| has("set"))?;
    let value = value(flag, words);
    Some(format!("there is no {flag}; it is a setting: --set {key}={value}"))
}

/// The value after `flag`.
fn value(flag: &str, words: &[OsString]) -> String {
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    let with = format!("{flag}=");
    let joined = words.iter().find_map(|word| word.strip_prefix(&with));
    let next = words.iter().skip_while(|word| **word != flag).nth(1);
    let next = next.map(|word| &**word).filter(|word| !word.starts_with("--"));
    joined.or(next).unwrap_or("VALUE").to_owned()
}

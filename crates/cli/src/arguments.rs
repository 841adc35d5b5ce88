//! Wrong command lines, and suggestions for them.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, CommandFactory, FromArgMatches};
use selfsame::settings::Method;
use selfsame::workshop::known;
use selfsame::workshop::words::pasted;

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
    ("invalid digit found in string", "a whole number is wanted, 0 or more"),
    ("cannot parse integer from empty string", "a whole number is wanted, 0 or more"),
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
        // Else `--seed -1` would be an unknown flag `-1`.
        let negative = arg.get_long().is_some() && arg.get_action().takes_values();
        long.into_iter().fold(arg.allow_negative_numbers(negative), Arg::long_help)
    };
    command.mut_args(argument).mut_subcommands(in_own_words)
}

/// Our message for an error, if it is better than clap's.
fn explained(error: &clap::Error, program: &Command, words: &[OsString]) -> Option<String> {
    let wrong = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    let (command, name) = called(program, words);
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let word = wrong(ContextKind::InvalidArg)?;
            let ours = instead(word, command, words);
            if ours.is_some() || error.get(ContextKind::SuggestedArg).is_some() {
                return ours;
            }
            Some(format!("`{name}` does not take {word}; `{name} --help` says what it takes"))
        }
        ErrorKind::InvalidSubcommand => {
            let word = wrong(ContextKind::InvalidSubcommand)?;
            let meant = meant(word, command, &name);
            let meant = meant.map_or(String::new(), |meant| format!("did you mean `{meant}`? "));
            Some(format!("there is no command {word}; {meant}`{name} --help` lists the commands"))
        }
        ErrorKind::MissingRequiredArgument => {
            let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            let (missing, example) = (missing.join(" and "), example(command)?);
            Some(format!("missing: {missing}; an example: `{example}`; `{name} --help` has more"))
        }
        ErrorKind::ValueValidation => {
            let text = error.render().to_string();
            let (theirs, ours) = PLAIN.iter().find(|(theirs, _)| text.contains(theirs))?;
            Some(text.replace(theirs, ours).trim_start_matches("error: ").trim_end().to_owned())
        }
        _ => None,
    }
}

/// The command that `words` call, and how a person calls it.
fn called<'a>(program: &'a Command, words: &[OsString]) -> (&'a Command, String) {
    let first = (program, program.get_name().to_owned());
    words.iter().skip(1).fold(first, |(command, name), word| match command.find_subcommand(word) {
        Some(below) => (below, format!("{name} {}", below.get_name())),
        None => (command, name),
    })
}

/// The command that was probably meant by `word`, which `command` does not have.
fn meant(word: &str, command: &Command, name: &str) -> Option<String> {
    if let Ok(method) = Method::parse(word) {
        return Some(format!("{name} pretrain {}", method.name()));
    }
    let above = |above: &&Command| above.find_subcommand(word).is_some();
    if let Some(above) = command.get_subcommands().find(above) {
        return Some(format!("{name} {} {word}", above.get_name()));
    }
    // Clap's suggestions, which `help` lacks. The last one is the nearest.
    let error = command.clone().try_get_matches_from(["", word]).err()?;
    let Some(ContextValue::Strings(near)) = error.get(ContextKind::SuggestedSubcommand) else {
        return None;
    };
    near.last().map(|near| format!("{name} {near}"))
}

/// The first example in the help of `command`.
fn example(command: &Command) -> Option<String> {
    let help = command.get_after_help()?.to_string();
    let line = help.lines().find_map(|line| line.strip_prefix("  "))?;
    Some(line.split("  #").next().unwrap_or(line).trim().to_owned())
}

/// A replacement for `word`, which `command` does not take.
fn instead(word: &str, command: &Command, words: &[OsString]) -> Option<String> {
    let has = |id: &str| command.get_arguments().any(|own| own.get_id() == id);
    if let Some(name) = word.strip_prefix("--") {
        let elsewhere = ELSEWHERE.iter().find(|(other, own, _)| *other == name && has(own));
        if let Some((.., ours)) = elsewhere {
            return Some(format!("there is no {word}; use {ours}"));
        }
        let key = known::named(&name.replace('-', "_")).filter(|_| has("set"))?;
        let value = value(word, words);
        return Some(format!("there is no {word}; it is a setting: --set {key}={value}"));
    }
    if word.starts_with('-') {
        return None;
    }
    let quoted = pasted(Path::new(word));
    // `--set KEY VALUE`
    let before = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>();
    let at = before.iter().position(|other| *other == word)?;
    if let Some([set, key]) = at.checked_sub(2).and_then(|from| before.get(from..at))
        && *set == "--set"
        && !key.contains('=')
    {
        return Some(format!("a setting is given as --set {key}={quoted}"));
    }
    let ours = if word.contains('=') && has("set") {
        format!("a setting is given as --set {quoted}")
    } else if has("query") {
        format!("an image is given as --query {quoted}")
    } else if has("method") && Method::parse(word).is_ok() {
        "one method at a time; `selfsame compare` takes several".to_owned()
    } else if has("images") {
        format!(
            "a folder of images is given as --images {quoted}, a data set as --dataset {quoted}"
        )
    } else {
        return None;
    };
    Some(format!("{word}: {ours}"))
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

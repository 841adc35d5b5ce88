//! The command line of Selfsame. Every command is one module of `commands`.
//!
//! The programs are thin: `selfsame` is [`main`] with [`Command`]. `cargo xtask` adds the commands
//! for work on Selfsame itself.

// This module is first, because its macros replace the standard library's in all later modules.
#[macro_use]
mod output;

mod arguments;
mod commands;
mod interrupt;
mod terminal;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use selfsame::ErrorKind;
use selfsame::workshop::words::causes;

pub use commands::settings::SettingsArgs;
pub use interrupt::INTERRUPTED;
pub use output::{aside, result};
pub use terminal::Terminal;

/// The commands for users of Selfsame.
#[derive(Subcommand)]
#[expect(missing_docs, reason = "clap would print it in place of the help of the arguments")]
pub enum Command {
    Pretrain(commands::pretrain::PretrainArgs),
    Eval(commands::eval::EvalArgs),
    Compare(commands::compare::CompareArgs),
    Ablate(commands::ablate::AblateArgs),
    Embed(commands::embed::EmbedArgs),
    Search(commands::search::SearchArgs),
    Report(commands::report::ReportArgs),
    Replay(commands::replay::ReplayArgs),
    Dataset(commands::dataset::DatasetArgs),
    Augment(commands::augment::AugmentArgs),
    Config(commands::config::ConfigArgs),
    Recipes(commands::recipes::RecipesArgs),
    Completions(commands::completions::CompletionsArgs),
}

impl Command {
    /// Runs the command.
    ///
    /// # Errors
    /// The command failed.
    pub fn run(&self) -> anyhow::Result<()> {
        let threads = match self {
            Self::Pretrain(args) => args.threads,
            _ => None,
        };
        let terminal = Terminal::new();
        selfsame::workshop::threads::start(threads, &terminal.voice())?;
        #[cfg(any(feature = "cuda", feature = "wgpu"))]
        selfsame::workshop::gpu::tell(terminal.voice());
        match self {
            Self::Pretrain(args) => commands::pretrain::run(args, terminal),
            Self::Eval(args) => commands::eval::run(args, terminal),
            Self::Compare(args) => commands::compare::run(args, terminal),
            Self::Ablate(args) => commands::ablate::run(args, terminal),
            Self::Embed(args) => commands::embed::run(args, terminal),
            Self::Search(args) => commands::search::run(args, terminal),
            Self::Report(args) => commands::report::run(args),
            Self::Replay(args) => commands::replay::run(args),
            Self::Dataset(args) => commands::dataset::run(args),
            Self::Augment(args) => commands::augment::run(args),
            Self::Config(args) => commands::config::run(args),
            Self::Recipes(args) => commands::recipes::run(args),
            Self::Completions(args) => commands::completions::run(args),
        }
    }
}

/// Self-supervised visual representation learning: pretrain an image encoder without labels,
/// evaluate it, and use it.
///
/// Start with `selfsame pretrain byol`. It needs no download and no GPU, trains for a few minutes,
/// and writes weights and a report under runs/.
#[derive(Parser)]
#[command(name = "selfsame", version, max_term_width = 100)]
pub struct Selfsame {
    #[command(subcommand)]
    /// What to do.
    pub command: Command,
}

/// The program `selfsame` as clap knows it, for completions and man pages.
pub fn program() -> clap::Command {
    Selfsame::command()
}

/// A whole program: reads the command line, runs the command, and reports errors.
///
/// `program` is the name that a person types. Texts with commands show it. The status is 0 on
/// success, 2 for a request that cannot work, 75 for an interrupted run with everything saved, and
/// 1 for any other error.
pub fn main<P: CommandFactory + FromArgMatches>(
    program: &'static str,
    run: impl FnOnce(P) -> anyhow::Result<()>,
) -> ExitCode {
    // A panic is our defect. The user gets one line about it, not a backtrace.
    std::panic::set_hook(Box::new(|info| eprintln!("internal error: {info}")));
    output::call(program);
    match run(arguments::parse()).and_then(|()| output::finish()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(told(&selfsame::Error::from(error))),
    }
}

/// Prints the error. Returns the exit status.
fn told(error: &selfsame::Error) -> u8 {
    let (words, kind) = (causes(error), error.kind());
    match kind {
        ErrorKind::Interrupted => eprintln!("{words}"),
        _ => eprintln!("error: {words}"),
    }
    match kind {
        ErrorKind::Request => 2,
        ErrorKind::Interrupted => INTERRUPTED,
        _ => 1,
    }
}

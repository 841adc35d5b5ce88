//! `selfsame completions`

use clap::{Args, CommandFactory, Parser};
use clap_complete::{Shell, generate};

use crate::Command;

/// Print a script that completes commands and flags in a shell.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame completions bash > ~/.local/share/bash-completion/completions/selfsame
  selfsame completions zsh > ~/.zfunc/_selfsame
  selfsame completions fish > ~/.config/fish/completions/selfsame.fish")]
pub struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// What the scripts complete: the program `selfsame`, however this one is called.
#[derive(Parser)]
#[command(name = "selfsame")]
struct Whole {
    #[command(subcommand)]
    _command: Command,
}

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut Whole::command(), "selfsame", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(())
}

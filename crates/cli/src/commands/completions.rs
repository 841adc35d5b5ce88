//! `selfsame completions`

use clap::Args;
use clap_complete::{Shell, generate};

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

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut crate::program(), "selfsame", &mut script);
    print!("{}", String::from_utf8(script)?);
    Ok(())
}

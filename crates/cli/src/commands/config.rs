//! `selfsame config`

use clap::Args;
use selfsame::settings::Method;

use super::settings::SettingsArgs;

/// Print the settings of a run, with the meaning of each.
///
/// The output is a settings file for `pretrain --config`. A file may also have only some of the
/// settings.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame config byol
  selfsame config byol --recipe cifar10-1000ep
  selfsame config byol --set train.epochs=20 > my.toml     # for pretrain --config my.toml")]
pub struct ConfigArgs {
    /// The method.
    #[arg(value_parser = Method::parse)]
    method: Method,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Prints the effective settings as TOML with comments.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = args.settings.overrides().resolve(args.method)?;
    print!("{}", config.to_commented_toml()?);
    Ok(())
}

//! `selfsame config`

use clap::Args;
use selfsame::settings::Method;

use super::settings::SettingsArgs;

/// Print the settings of a run, with the meaning of each.
#[derive(Args)]
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

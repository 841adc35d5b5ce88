//! `selfsame replay`

use std::path::PathBuf;

use clap::Args;
use selfsame::replay;

/// Repeat the step at which a run's loss or gradient became NaN or infinite.
///
/// Such a run stops and saves its batch and its state under failure/ in its folder. This command
/// repeats the step and says whether it fails in the same way. It shows the input: the pixels of
/// the views and the largest weights. Use --device to find out whether the device is the cause. The
/// exit status is 1 if the step does not fail in the same way.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame replay runs/photos
  selfsame replay runs/photos --device flex      # does a GPU's step fail on the CPU, too?")]
pub struct ReplayArgs {
    /// The run's folder.
    run: PathBuf,
    /// Where to compute [default: the device of the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Repeats the step and prints its input.
///
/// # Errors
/// Among others: the step does not fail in the same way.
pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let again = replay(&args.run, args.device.as_deref())?;
    println!("the run said: {}", again.then.message);
    for view in &again.views {
        println!("  {view}");
    }
    println!("  the largest parameters before the step, by absolute value:");
    for (size, name) in &again.largest_parameters {
        println!("    {size:<12.4e} {name}");
    }
    match &again.now {
        _ if again.reproduced() => println!("reproduced: the step fails in the same way"),
        Some(failure) => anyhow::bail!("not reproduced: now {}", failure.message),
        None => anyhow::bail!("not reproduced: the step succeeds now"),
    }
    Ok(())
}

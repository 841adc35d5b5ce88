//! `selfsame replay`

use std::path::PathBuf;

use clap::Args;
use selfsame::replay;

/// Repeat the step at which a run's loss or gradient became NaN or infinite.
///
/// Such a run stops and leaves its batch and its state under failure/ in its folder. This repeats
/// that step, says whether the same happens again, and shows what went into it: the pixels of the
/// views and the largest weights. With --device it tells whether the device has a part in it.
#[derive(Args)]
pub struct ReplayArgs {
    /// The run's folder.
    run: PathBuf,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Repeats the step, and prints what went into it.
///
/// # Errors
/// Also a step that does not fail as it did.
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
        _ if again.reproduced() => println!("reproduced: the same happens again"),
        Some(failure) => anyhow::bail!("not reproduced: now {}", failure.message),
        None => anyhow::bail!("not reproduced: the step succeeds now"),
    }
    Ok(())
}

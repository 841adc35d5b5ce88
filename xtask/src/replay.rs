use std::path::PathBuf;

use burn::tensor::Device;
use clap::Args;
use selfsame_models::weights::state_dict;
use selfsame_trainers::{Method, Trainer};

use crate::config::RunConfig;
use crate::eval::run_config;
use crate::failure::{Failure, Saved, read};
use crate::methods::{MethodTask, with_method};
use crate::pretrain::trainer_config;

/// Repeat the step at which a run's loss or gradient became NaN or infinite.
///
/// Such a run stops and leaves its batch and its state under failure/ in its folder. This repeats that step,
/// says whether the same happens again, and shows what went into it: the pixels of the views and the largest
/// weights. With --device it tells whether the device has a part in it.
#[derive(Args)]
pub struct ReplayArgs {
    /// The run's folder.
    run: PathBuf,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

pub fn run(args: &ReplayArgs) -> anyhow::Result<()> {
    let mut config = run_config(&args.run)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let saved = read(&args.run)?;
    let device = crate::device::parse(&config.device)?.autodiff();
    println!("the run said: {}", saved.failure.message);
    for (micro, views) in saved.batch.iter().enumerate() {
        for (view, pixels) in views.clone().into_host().0.iter().enumerate() {
            let part =
                if saved.batch.len() > 1 { format!("part {micro}, ") } else { String::new() };
            println!("  {part}view {}: {}", view + 1, describe(pixels));
        }
    }
    let expected = saved.failure.clone();
    let again = with_method(&config, &device, Replay { config: &config, device: &device, saved })?;
    match again {
        Some(failure) if failure == expected => {
            println!("reproduced: the same happens again");
            Ok(())
        }
        Some(failure) => anyhow::bail!("not reproduced: now {}", failure.message),
        None => anyhow::bail!("not reproduced: the step succeeds now"),
    }
}

struct Replay<'a> {
    config: &'a RunConfig,
    device: &'a Device,
    saved: Saved,
}

impl MethodTask for Replay<'_> {
    type Output = Option<Failure>;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Option<Failure>> {
        let Saved { state, batch, .. } = self.saved;
        let settings = trainer_config(self.config, state.header.steps);
        let mut trainer = Trainer::new(method, settings, self.device)?;
        state.restore(&mut trainer)?;
        largest_weights(trainer.method())?;
        let result =
            selfsame_kernels::autocast(self.config.precision.into(), || trainer.step(batch));
        match result {
            Ok(_) => Ok(None),
            Err(error) => Failure::of(&error).map(Some).ok_or_else(|| error.into()),
        }
    }
}

/// Smallest, mean and largest value, and how many are not finite.
fn describe(values: &[f32]) -> String {
    let finite = values.iter().copied().filter(|v| v.is_finite());
    let low = finite.clone().fold(f32::INFINITY, f32::min);
    let high = finite.clone().fold(f32::NEG_INFINITY, f32::max);
    let count = finite.clone().count();
    let mean = finite.map(f64::from).sum::<f64>() / count.max(1) as f64;
    let broken = match values.len() - count {
        0 => String::new(),
        n => format!(", {n} of {} values NaN or infinite", values.len()),
    };
    format!("from {low:.3} to {high:.3}, mean {mean:.3}{broken}")
}

fn largest_weights<M: Method>(method: &M) -> anyhow::Result<()> {
    let mut sizes: Vec<(f32, String)> = state_dict(method)?
        .into_iter()
        // They have seen the batch already.
        .filter(|(name, _)| !name.contains("running_"))
        .map(|(name, array)| {
            let largest = array.values.iter().map(|v| v.abs()).fold(0.0, |a: f32, b| {
                // `max` would drop a NaN.
                if b.is_nan() || b > a { b } else { a }
            });
            (largest, name)
        })
        .collect();
    sizes.sort_by(|a, b| b.0.total_cmp(&a.0));
    println!("  the largest parameters before the step, by absolute value:");
    for (size, name) in sizes.iter().take(8) {
        println!("    {size:<12.4e} {name}");
    }
    Ok(())
}

//! Repeats the step at which a number of a run became NaN or infinite.

use std::path::Path;

use burn::tensor::Device;
use selfsame_models::weights::state_dict;
use selfsame_trainers::{Method, Trainer};

use crate::error::Result;
use crate::evaluation::run_config;
use crate::folder::failure::{Failure, Saved, read};
use crate::methods::{MethodTask, with_method};
use crate::settings::RunConfig;

/// How many of the largest parameters are named.
const LARGEST: usize = 8;

/// The result of repeating a failed step.
#[derive(Debug)]
pub struct Replayed {
    /// The error when the run stopped.
    pub then: Failure,
    /// The error now; `None` if the step succeeds.
    pub now: Option<Failure>,
    /// The views of the step, one description for each.
    pub views: Vec<String>,
    /// The parameters with the largest absolute values before the step, with these values.
    pub largest_parameters: Vec<(f32, String)>,
}

impl Replayed {
    /// Whether the step fails in the same way.
    pub fn reproduced(&self) -> bool {
        self.now.as_ref() == Some(&self.then)
    }
}

/// Repeats the step at which the loss or a gradient of the run in `folder` became NaN or infinite.
/// `device`: another device than the run's, to find out whether the device is the cause.
///
/// # Errors
/// The folder holds no run, or a run without such a failure; files are damaged; the device is
/// missing.
pub fn replay(folder: &Path, device: Option<&str>) -> Result<Replayed> {
    Ok(again(folder, device)?)
}

fn again(folder: &Path, device: Option<&str>) -> anyhow::Result<Replayed> {
    let mut config = run_config(folder)?;
    if let Some(device) = device {
        config.device = device.to_owned();
    }
    let saved = read(folder)?;
    let device = crate::device::parse(&config.device)?.autodiff();
    let then = saved.failure.clone();
    let mut views = Vec::new();
    for (micro, both) in saved.batch.iter().enumerate() {
        for (view, pixels) in both.clone().into_host().iter().enumerate() {
            let part =
                if saved.batch.len() > 1 { format!("part {micro}, ") } else { String::new() };
            views.push(format!("{part}view {}: {}", view + 1, describe(&pixels.pixels)));
        }
    }
    let (encoder, seed) = (config.encoder.resnet(), config.seed);
    let task = Replay { config: &config, device: &device, saved };
    let (largest_parameters, now) = with_method(&config.settings, &encoder, seed, &device, task)?;
    Ok(Replayed { then, now, views, largest_parameters })
}

struct Replay<'a> {
    config: &'a RunConfig,
    device: &'a Device,
    saved: Saved,
}

impl MethodTask for Replay<'_> {
    /// The largest parameters before the step, and how it failed.
    type Output = (Vec<(f32, String)>, Option<Failure>);

    fn run<M: Method>(self, method: M) -> anyhow::Result<Self::Output> {
        let Saved { state, batch, .. } = self.saved;
        let settings = self.config.trainer(state.header.steps);
        let mut trainer = Trainer::new(method, settings, self.device)?;
        state.restore(&mut trainer)?;
        let largest = largest_parameters(trainer.method())?;
        let result =
            selfsame_kernels::autocast(self.config.precision.into(), || trainer.step(batch));
        let Err(error) = result else { return Ok((largest, None)) };
        match Failure::of(&error) {
            None => Err(error.into()),
            failure => Ok((largest, failure)),
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

fn largest_parameters<M: Method>(method: &M) -> anyhow::Result<Vec<(f32, String)>> {
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
    sizes.truncate(LARGEST);
    Ok(sizes)
}

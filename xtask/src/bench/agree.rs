//! `cargo xtask bench agree`: whether a device computes what the CPU does.

use anyhow::bail;
use clap::Args;
use selfsame_data::Splits;
use selfsame_trainers::{Flow, Hooks, Method, StepReport, Trainer};
use serde::Serialize;

use crate::config::{Overrides, RunConfig};
use crate::device;
use crate::methods::{Method as Name, MethodTask, with_method};
use crate::precision::Precision;
use crate::pretrain::{Place, Training};
use crate::usage::usage;

/// Train the same few steps on a device and on the CPU, with every method, and show how far their losses are apart.
///
/// From the same weights on the same views, at a learning rate so small that rounding errors are not blown up. What is
/// wrong in a device, its driver or its compiler shows within a few steps; over many, losses part in any case.
#[derive(Args)]
pub struct AgreeArgs {
    /// What to check: cuda, cuda:N, wgpu or ndarray.
    #[arg(long, value_name = "DEVICE")]
    device: String,
    /// What the device multiplies; the CPU keeps to f32.
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    precision: Precision,
    /// Optimiser steps.
    #[arg(long, default_value_t = 3, value_name = "N")]
    steps: u64,
    /// Fail where losses are further apart than this, as a share of those above 1 [default: 0.001, or 0.05 in bf16].
    #[arg(long, value_name = "DIFFERENCE")]
    tolerance: Option<f64>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    method: &'static str,
    cpu: Vec<f32>,
    device: Vec<f32>,
    /// The largest difference of a step, as a share of the CPU's loss where that is above 1: some losses are near 0.
    apart: f64,
}

pub fn run(args: &AgreeArgs) -> anyhow::Result<()> {
    if args.steps == 0 {
        return Err(usage("--steps: at least 1"));
    }
    let tolerance = args.tolerance.unwrap_or(match args.precision {
        Precision::F32 => 1e-3,
        Precision::Bf16 => 0.05,
    });
    let mut rows = Vec::new();
    for method in Name::ALL {
        let cpu = losses(method, "flex", Precision::F32, args.steps)?;
        let device = losses(method, &args.device, args.precision, args.steps)?;
        let apart =
            cpu.iter().zip(&device).map(|(a, b)| f64::from((a - b).abs() / a.abs().max(1.0)));
        // NaN is as far apart as can be.
        let apart = apart.map(|apart| if apart.is_nan() { f64::INFINITY } else { apart });
        let apart = apart.fold(0.0, f64::max);
        rows.push(Row { method: method.name(), cpu, device, apart });
    }
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
    } else {
        println!("{:<13} {:>12} {:>12}  apart", "first loss", "CPU", args.device);
        for Row { method, cpu, device, apart } in &rows {
            println!("{method:<13} {:>12.5} {:>12.5}  {apart:.1e}", cpu[0], device[0]);
        }
    }
    let far: Vec<&str> =
        rows.iter().filter(|row| row.apart > tolerance).map(|row| row.method).collect();
    if !far.is_empty() {
        bail!("further apart than {tolerance}: {}", far.join(", "));
    }
    Ok(())
}

/// Of the first steps of a small run on the data set that comes with the repository.
fn losses(
    method: Name,
    device: &str,
    precision: Precision,
    steps: u64,
) -> anyhow::Result<Vec<f32>> {
    let set = [
        "data.limit=512",
        "train.batch_size=64",
        "train.warmup_epochs=0",
        "optimizer.learning_rate=1e-4",
    ];
    let overrides = Overrides {
        device: Some(device.to_owned()),
        precision: Some(precision),
        set: set.map(str::to_owned).to_vec(),
        ..Overrides::default()
    };
    let mut config = overrides.resolve(method)?;
    let data = crate::data::open(&mut config)?;
    let place = Place { device: device::parse(device)?, together: None, threads: None };
    let autodiff = place.device.clone().autodiff();
    with_method(&config, &autodiff, FirstSteps { config: &config, data: &data, place, steps })
}

struct FirstSteps<'a> {
    config: &'a RunConfig,
    data: &'a Splits,
    place: Place,
    steps: u64,
}

impl MethodTask for FirstSteps<'_> {
    type Output = Vec<f32>;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Vec<f32>> {
        let mut training = Training::new(method, self.config, self.data, &self.place)?;
        training.last_step = self.steps.min(training.steps);
        let mut losses = Losses(Vec::new());
        training.fit(&mut losses)?;
        Ok(losses.0)
    }
}

struct Losses(Vec<f32>);

impl<M: Method> Hooks<M> for Losses {
    fn after_step(
        &mut self,
        _: &Trainer<M>,
        report: &StepReport,
    ) -> Result<Flow, Box<dyn std::error::Error + Send + Sync>> {
        self.0.push(report.loss);
        Ok(Flow::Continue)
    }
}

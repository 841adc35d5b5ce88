//! `cargo xtask bench agree`: whether a device computes what the CPU does.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use clap::Args;
use selfsame_data::Splits;
use selfsame_kernels::autocast;
use selfsame_models::named::{NamedVisitor, visit_named};
use selfsame_trainers::{Flow, Hooks, Method, Position, StepReport, Trainer, ViewSource};
use serde::Serialize;

use crate::bridge::LoaderSource;
use crate::config::{Overrides, RunConfig};
use crate::device;
use crate::methods::{Method as Name, MethodTask, with_method};
use crate::precision::Precision;
use crate::pretrain::{Place, Training};
use crate::usage::usage;

/// Train the same few steps on a device and on the CPU, with every method, and show how far their losses are apart, and the
/// gradients of the first.
///
/// From the same weights on the same views, at a learning rate so small that rounding errors are not blown up. What is
/// wrong in a device, its driver or its compiler shows within a few steps; over many, losses part in any case. Gradients of a
/// parameter may differ by some per cent of their length: an activation that a rounding error puts on the other side of a ReLU
/// is enough. More than 10 % (50 % in bf16) is an error.
#[derive(Args)]
pub struct AgreeArgs {
    /// Which methods [default: all].
    #[arg(value_parser = Name::parse, value_name = "METHOD")]
    methods: Vec<Name>,
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
    /// How far apart each parameter's gradients are in the first step, as a share of the CPU's length, or of a thousandth of the
    /// longest gradient where that is more: some are nothing but rounding errors.
    gradients: BTreeMap<String, f64>,
}

impl Row {
    /// The gradients that are furthest apart.
    fn furthest(&self) -> (&str, f64) {
        let most = self.gradients.iter().max_by(|a, b| a.1.total_cmp(b.1));
        most.map_or(("", 0.0), |(name, apart)| (name.as_str(), *apart))
    }
}

fn compare(cpu: &Gradients, device: &Gradients) -> BTreeMap<String, f64> {
    let length = |values: &mut dyn Iterator<Item = f32>| {
        values.map(|value| f64::from(value).powi(2)).sum::<f64>().sqrt()
    };
    let lengths: Vec<f64> = cpu.values().map(|g| length(&mut g.iter().copied())).collect();
    let least = 1e-3 * lengths.iter().copied().fold(0.0, f64::max);
    let shares = cpu.iter().zip(lengths).map(|((name, ours), own)| {
        let theirs = device.get(name).filter(|theirs| theirs.len() == ours.len());
        let apart = theirs.map_or(f64::INFINITY, |theirs| {
            length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / own.max(least)
        });
        (name.clone(), finite(apart))
    });
    shares.collect()
}

/// NaN is as far apart as can be.
fn finite(apart: f64) -> f64 {
    if apart.is_nan() { f64::INFINITY } else { apart }
}

pub fn run(args: &AgreeArgs) -> anyhow::Result<()> {
    if args.steps == 0 {
        return Err(usage("--steps: at least 1"));
    }
    let tolerance = args.tolerance.unwrap_or(match args.precision {
        Precision::F32 => 1e-3,
        Precision::Bf16 => 0.05,
    });
    let of_gradients = match args.precision {
        Precision::F32 => 0.1,
        Precision::Bf16 => 0.5,
    };
    let methods = if args.methods.is_empty() { Name::ALL.to_vec() } else { args.methods.clone() };
    if !args.json {
        println!(
            "{:<13} {:>12} {:>12}  apart    gradients apart",
            "first loss", "CPU", args.device
        );
    }
    let mut rows = Vec::new();
    for method in methods {
        let (cpu, cpu_gradients) = first_steps(method, "flex", Precision::F32, args.steps)?;
        let (device, gradients) = first_steps(method, &args.device, args.precision, args.steps)?;
        let apart =
            cpu.iter().zip(&device).map(|(a, b)| f64::from((a - b).abs() / a.abs().max(1.0)));
        let apart = apart.map(finite).fold(0.0, f64::max);
        let gradients = compare(&cpu_gradients, &gradients);
        let row = Row { method: method.name(), cpu, device, apart, gradients };
        if !args.json {
            let (method, cpu, device) = (row.method, row.cpu[0], row.device[0]);
            let (parameter, most) = row.furthest();
            println!(
                "{method:<13} {cpu:>12.5} {device:>12.5}  {apart:.1e}  {most:.1e} ({parameter})"
            );
        }
        rows.push(row);
    }
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
    }
    let far: Vec<&str> = rows
        .iter()
        .filter(|row| row.apart > tolerance || row.furthest().1 > of_gradients)
        .map(|row| row.method)
        .collect();
    if !far.is_empty() {
        bail!("further apart than {tolerance} (gradients: {of_gradients}): {}", far.join(", "));
    }
    Ok(())
}

/// By the path of the parameter.
type Gradients = BTreeMap<String, Vec<f32>>;

/// Losses of the first steps of a small run on the data set that comes with the repository, and the gradients of the first.
fn first_steps(
    method: Name,
    device: &str,
    precision: Precision,
    steps: u64,
) -> anyhow::Result<(Vec<f32>, Gradients)> {
    let set = [
        "data.limit=512",
        "train.batch_size=64",
        "train.warmup_epochs=0",
        "optimizer.learning_rate=1e-5",
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
    type Output = (Vec<f32>, Gradients);

    fn run<M: Method>(self, method: M) -> anyhow::Result<Self::Output> {
        let mut training = Training::new(method, self.config, self.data, &self.place)?;
        training.last_step = self.steps.min(training.steps);
        let mut first = LoaderSource(training.loader.stream(0, 1));
        let views = first.next_views().context("the loader has no batch")?;
        let views = views.map_err(anyhow::Error::from_boxed)?;
        let method = training.trainer.method();
        let at = Position { step: 0, steps: training.steps };
        let gradients = autocast(self.config.precision.into(), || {
            let views = views.on_device(&self.place.device.clone().autodiff());
            GradientsParams::from_grads(method.loss(views, at).loss.backward(), method)
        });
        let mut collect = Collect { gradients, values: Gradients::new() };
        visit_named(method, &mut collect);
        let mut losses = Losses(Vec::new());
        training.fit(&mut losses)?;
        Ok((losses.0, collect.values))
    }
}

struct Collect {
    gradients: GradientsParams,
    values: Gradients,
}

impl NamedVisitor for Collect {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.remove::<D>(param.id) {
            self.values.insert(name.to_owned(), gradient.into_data().iter::<f32>().collect());
        }
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

//! `cargo xtask bench agree`: checks that a device computes the same as the CPU.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use burn::module::Param;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use clap::Args;
use selfsame_data::{Shard, Splits};
use selfsame_kernels::{autocast, sharing_weights};
use selfsame_models::named::{NamedVisitor, visit_named};
use selfsame_trainers::{
    Flow, Hooks, Method, Position, Step, StepReport, Trainer, ViewSource, Views,
};
use serde::Serialize;

use selfsame::Interrupt;
use selfsame::LoaderSource;
use selfsame::settings::Method as Name;
use selfsame::settings::Precision;
use selfsame::settings::{Overrides, RunConfig};
use selfsame::workshop;
use selfsame::workshop::usage;
use selfsame::workshop::{MethodTask, with_method};
use selfsame::workshop::{Place, Training, loader, open};
use selfsame_cli::Terminal;

/// Train a few steps on a device and on the CPU, with every method, and compare their losses and
/// the gradients of the first step.
///
/// Both start from the same weights and see the same views. The learning rate is so small that
/// rounding errors do not grow. An error in a device, its driver or its compiler shows within a few
/// steps. Over many steps, losses differ in any case.
///
/// Gradients of a parameter may differ by some per cent of their length. A rounding error can move
/// an activation to the other side of a ReLU, and this is enough. "By rounding" is the difference
/// on the CPU alone if pixels change by a millionth. More than 10 % (50 % in bf16) is an error.
#[derive(Args)]
pub struct AgreeArgs {
    /// The methods to check [default: all].
    #[arg(value_parser = Name::parse, value_name = "METHOD")]
    methods: Vec<Name>,
    /// The device to check: cuda, cuda:N, wgpu or ndarray.
    #[arg(long, value_name = "DEVICE")]
    device: String,
    /// What the device multiplies: f32 or bf16. The CPU uses f32.
    #[arg(long, value_name = "f32|bf16", default_value = "f32")]
    precision: Precision,
    /// Number of optimiser steps.
    #[arg(long, default_value_t = 3, value_name = "N")]
    steps: u64,
    /// Fail if losses differ by more than this, as a share of a loss above 1 [default: 0.001, or
    /// 0.05 in bf16].
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
    /// The largest difference of a step. It is a share of the CPU's loss if that is above 1,
    /// because some losses are near 0.
    apart: f64,
    /// The difference of each parameter's gradients in the first step. It is a share of the CPU's
    /// length, or of a thousandth of the longest gradient if that is more, because some gradients
    /// are only rounding errors.
    gradients: BTreeMap<String, f64>,
    /// The same on the CPU alone, with pixels that differ by a millionth of their values.
    rounding: BTreeMap<String, f64>,
}

/// The gradients with the largest difference.
fn furthest(apart: &BTreeMap<String, f64>) -> (&str, f64) {
    let most = apart.iter().max_by(|a, b| a.1.total_cmp(b.1));
    most.map_or(("", 0.0), |(name, apart)| (name.as_str(), *apart))
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

/// NaN counts as the largest difference.
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
        let (cpu, device) = ("CPU", &args.device);
        println!(
            "{:<13} {cpu:>12} {device:>12}  apart    by rounding  gradients apart",
            "first loss"
        );
    }
    let mut rows = Vec::new();
    for method in methods {
        let cpu = Run::new(method, "flex", Precision::F32)?;
        let device = Run::new(method, &args.device, args.precision)?;
        let gradients = cpu.gradients(0.0)?;
        let rounding = compare(&gradients, &cpu.gradients(1e-6)?);
        let gradients = compare(&gradients, &device.gradients(0.0)?);
        let (cpu, device) = (cpu.losses(args.steps)?, device.losses(args.steps)?);
        let apart =
            cpu.iter().zip(&device).map(|(a, b)| f64::from((a - b).abs() / a.abs().max(1.0)));
        let apart = apart.map(finite).fold(0.0, f64::max);
        if !args.json {
            let ((_, rounding), (parameter, most)) = (furthest(&rounding), furthest(&gradients));
            println!(
                "{:<13} {:>12.5} {:>12.5}  {apart:.1e}  {rounding:.1e}      {most:.1e} ({parameter})",
                method.name(),
                cpu[0],
                device[0]
            );
        }
        rows.push(Row { method: method.name(), cpu, device, apart, gradients, rounding });
    }
    if args.json {
        println!("{}", serde_json::to_string(&rows)?);
    }
    let far: Vec<&str> = rows
        .iter()
        .filter(|row| row.apart > tolerance || furthest(&row.gradients).1 > of_gradients)
        .map(|row| row.method)
        .collect();
    if !far.is_empty() {
        bail!(
            "the difference is above {tolerance} (gradients: {of_gradients}): {}",
            far.join(", ")
        );
    }
    Ok(())
}

/// Gradients by the path of the parameter.
type Gradients = BTreeMap<String, Vec<f32>>;

/// A small run on the data set that comes with the repository.
struct Run {
    config: RunConfig,
    data: Splits,
    place: Place,
}

impl Run {
    fn new(method: Name, device: &str, precision: Precision) -> anyhow::Result<Self> {
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
        let voice = Terminal::new().voice();
        let data = open(&mut config, &voice)?;
        let place = Place {
            device: workshop::parse(device)?,
            together: None,
            threads: None,
            rescue: None,
            interrupt: Interrupt::default(),
            voice,
        };
        Ok(Self { config, data, place })
    }

    fn with_method<T: MethodTask>(&self, task: T) -> anyhow::Result<T::Output> {
        let RunConfig { settings, encoder, seed, .. } = &self.config;
        with_method(settings, &encoder.resnet(), *seed, &self.autodiff(), task)
    }

    /// Losses of the first steps.
    fn losses(&self, steps: u64) -> anyhow::Result<Vec<f32>> {
        self.with_method(FirstSteps { run: self, steps })
    }

    /// Gradients of the first step. Every other pixel is larger by `share` of its value, the rest
    /// smaller.
    fn gradients(&self, share: f32) -> anyhow::Result<Gradients> {
        self.with_method(FirstGradients { run: self, share })
    }

    fn autodiff(&self) -> Device {
        self.place.device.clone().autodiff()
    }
}

struct FirstSteps<'a> {
    run: &'a Run,
    steps: u64,
}

impl MethodTask for FirstSteps<'_> {
    type Output = Vec<f32>;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Vec<f32>> {
        let Run { config, data, place } = self.run;
        let mut training = Training::new(method, config, data, place)?;
        training.last_step = self.steps.min(training.steps);
        let mut losses = Losses(Vec::new());
        training.fit(&mut losses)?;
        Ok(losses.0)
    }
}

struct FirstGradients<'a> {
    run: &'a Run,
    share: f32,
}

impl MethodTask for FirstGradients<'_> {
    type Output = Gradients;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Gradients> {
        let Run { config, data, .. } = self.run;
        let mut first = LoaderSource(loader(config, data, Shard::default())?.stream(0, 1));
        let views = first.next_views().context("the loader has no batch")?;
        let mut views = views.map_err(anyhow::Error::from_boxed)?.into_host();
        for pair in views.iter_mut().flat_map(|view| view.pixels.chunks_exact_mut(2)) {
            pair[0] *= 1.0 + self.share;
            pair[1] *= 1.0 - self.share;
        }
        let batch = Views::OnHost(views).on_device(&self.run.autodiff());
        let step = Step::at(Position { step: 0, steps: 1 });
        let gradients = autocast(config.precision.into(), || {
            let loss = sharing_weights(|| method.loss(&batch, &step)).loss.tensor();
            GradientsParams::from_grads(loss.backward(), &method)
        });
        let mut collect = Collect { gradients, values: Gradients::new() };
        visit_named(&method, &mut collect);
        Ok(collect.values)
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

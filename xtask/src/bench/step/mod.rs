//! `cargo xtask bench step`: whole training steps, compared to a peer.

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod count;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod counted;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod launches;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
mod least;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod method;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
mod traffic;

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, bail};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Tensor};
use clap::Args;
use selfsame_models::init::WeightInit;
use selfsame_models::layers::Linear;
use selfsame_models::{Architecture, Encoder, ResNet, ResNetConfig, Stem};
use selfsame_trainers::{Optimizer, OptimizerConfig, Rule, Sgd};
use serde::Serialize;

#[cfg(any(feature = "cuda", feature = "wgpu"))]
use self::counted::count_launches;
use selfsame::settings::Method as Name;
use selfsame::settings::Precision;
use selfsame::workshop;
use selfsame::workshop::usage;

/// Measure training steps of a ResNet: forward, backward and SGD on one batch.
///
/// A linear layer follows the ResNet. The loss is the mean square of its 256 outputs. No data is
/// read and nothing is learnt.
///
/// --count and --profile show what a GPU does in such a step, or in a step of a method: how often
/// each kernel is launched, how long it takes, and how many bytes Burn's operations read and write.
#[derive(Args)]
pub struct StepArgs {
    /// resnet18, resnet34 or resnet50. Up to 64 pixels it has the stem for CIFAR, above that the
    /// stem for ImageNet.
    #[arg(long, default_value = "resnet18", value_name = "NAME", value_parser = architecture)]
    architecture: Architecture,
    /// Channels of the first stage: 64 in the paper.
    #[arg(long, default_value_t = 16, value_name = "N")]
    width: usize,
    /// Images in a batch.
    #[arg(long, default_value_t = 64, value_name = "N")]
    batch: usize,
    /// Height and width of the images, in pixels.
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    size: usize,
    /// Measured steps of a round, after two steps of warm-up.
    #[arg(long, default_value_t = 20, value_name = "N")]
    steps: usize,
    /// Number of rounds. With --peer, each round runs the steps of this program, then the peer's.
    #[arg(long, default_value_t = 1, value_name = "N")]
    rounds: usize,
    /// Where to compute: flex, ndarray, or cuda (cuda:1 is the second GPU) and wgpu, if the build
    /// has them.
    #[arg(long, default_value = "flex", value_name = "DEVICE")]
    device: String,
    /// What convolutions and linear layers multiply: f32, or bf16 with sums and weights in f32.
    #[arg(long, value_name = "f32|bf16", default_value = "f32")]
    precision: Precision,
    /// A command to compare with. Its arguments are WIDTH BATCH STEPS MODE. ARCHITECTURE and SIZE
    /// follow if they are not the defaults. It prints `median N images/s`.
    #[arg(long, value_name = "COMMAND")]
    peer: Option<String>,
    /// MODE for the peer. Several modes run one after the other, and the best counts.
    #[arg(long, value_delimiter = ',', default_value = "f32,f32-cl", value_name = "MODES")]
    peer_modes: Vec<String>,
    /// On a GPU: count the launches of each kernel in one step, and the bytes that operations read
    /// and write.
    #[arg(long, conflicts_with_all = ["peer", "rounds"])]
    count: bool,
    /// On a GPU: the same, with the time of each kernel.
    #[arg(long, conflicts_with_all = ["peer", "rounds"])]
    profile: bool,
    /// With --count or --profile: measure a whole step of this method, not the bare network.
    #[arg(long, value_parser = Name::parse, value_name = "METHOD")]
    method: Option<Name>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

fn architecture(name: &str) -> Result<Architecture, String> {
    serde_json::from_value(name.into()).map_err(|_| "resnet18, resnet34 or resnet50".to_owned())
}

/// A network with one output layer.
#[derive(Module, Debug)]
struct Network {
    encoder: ResNet,
    head: Linear,
}

/// Images per second: of the steps, or of a program that prints only its median.
#[derive(Serialize)]
struct Rates {
    name: String,
    /// The medians of the rounds.
    rounds: Vec<f64>,
    median: f64,
}

#[derive(Serialize)]
struct Results {
    architecture: Architecture,
    width: usize,
    batch: usize,
    size: usize,
    device: String,
    precision: Precision,
    threads: usize,
    /// GFLOP of the convolutions in one step of a CIFAR ResNet-18, forward and backward.
    gflop_per_step: Option<f64>,
    /// Seconds from the first use of the device to the end of the first step.
    first_step_seconds: f64,
    /// Kernels compiled by this process on a GPU, without those from the cache.
    kernels_compiled: Option<u64>,
    /// The median over rounds of Selfsame's medians.
    images_per_second: f64,
    selfsame: Rates,
    peers: Vec<Rates>,
    /// Median over the best peer's median.
    ratio: Option<f64>,
}

pub fn run(args: &StepArgs) -> anyhow::Result<()> {
    if args.batch == 0 || args.steps == 0 || args.rounds == 0 || args.size < 8 {
        return Err(usage(
            "--batch, --steps and --rounds must be at least 1, and --size at least 8",
        ));
    }
    if args.count || args.profile {
        return count_launches(args);
    }
    if args.method.is_some() {
        return Err(usage("--method: add --count or --profile"));
    }
    let start = Instant::now();
    let device = workshop::parse(&args.device)?.autodiff();
    let mut first_step_seconds = None;
    let mut ours = Vec::new();
    let mut peers = vec![Vec::new(); if args.peer.is_some() { args.peer_modes.len() } else { 0 }];
    for _ in 0..args.rounds {
        let rates = selfsame_kernels::autocast(args.precision.into(), || {
            let mut training = Training::new(args, &device)?;
            let mut rates = Vec::new();
            for _ in 0..args.steps + 2 {
                let start_of_step = Instant::now();
                training = training.step(&device)?;
                rates.push(args.batch as f64 / start_of_step.elapsed().as_secs_f64());
                first_step_seconds.get_or_insert_with(|| start.elapsed().as_secs_f64());
            }
            anyhow::Ok(rates.split_off(2))
        })?;
        ours.push(median(rates));
        for (rates, mode) in peers.iter_mut().zip(&args.peer_modes) {
            rates.push(peer(args, mode)?);
        }
    }
    let rates = |name: &str, rounds: Vec<f64>| Rates {
        name: name.to_owned(),
        median: median(rounds.clone()),
        rounds,
    };
    let selfsame = rates("Selfsame", ours);
    let peers: Vec<Rates> =
        peers.into_iter().zip(&args.peer_modes).map(|(all, mode)| rates(mode, all)).collect();
    let best = peers
        .iter()
        .map(|peer| peer.median)
        .fold(None, |best: Option<f64>, rate| Some(best.map_or(rate, |best| best.max(rate))));
    let results = Results {
        architecture: args.architecture,
        width: args.width,
        batch: args.batch,
        size: args.size,
        device: args.device.clone(),
        precision: args.precision,
        threads: rayon::current_num_threads(),
        gflop_per_step: gflop(args),
        first_step_seconds: first_step_seconds.unwrap_or_default(),
        kernels_compiled: kernels_compiled(&args.device),
        images_per_second: selfsame.median,
        ratio: best.map(|best| selfsame.median / best),
        selfsame,
        peers,
    };
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        print(&results);
    }
    Ok(())
}

/// The network and its input.
struct Training {
    network: Network,
    optimizer: Optimizer,
    images: Tensor<4>,
}

impl Training {
    fn new(args: &StepArgs, device: &Device) -> anyhow::Result<Self> {
        let mut init = WeightInit::new(0, 0, device);
        let encoder = ResNetConfig {
            architecture: args.architecture,
            stem: stem(args),
            base_width: args.width,
            zero_init_residual: false,
        }
        .init(&mut init)?;
        let head = Linear::new([encoder.feature_dim(), 256], true, &mut init);
        let optimizer = Optimizer::new(OptimizerConfig {
            rule: Rule::Sgd(Sgd { momentum: 0.0, nesterov: false }),
            weight_decay: 0.0,
            exclude_bias_and_norm: false,
        })?;
        let shape = [args.batch, 3, args.size, args.size];
        let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), device);
        Ok(Self { network: Network { encoder, head }, optimizer, images })
    }

    /// By value: parameters that nothing else holds are updated in place.
    fn step(mut self, device: &Device) -> anyhow::Result<Self> {
        let loss;
        (self, loss) = selfsame_kernels::on_workers(device, || {
            let y = self.network.head.forward(self.network.encoder.forward(self.images.clone()));
            let loss = y.square().mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
            self.network = self.optimizer.step(self.network, gradients, 0.01);
            // Devices that run behind the program have finished when the loss can be read.
            (self, loss.into_scalar::<f32>())
        });
        if !loss.is_finite() {
            bail!("the loss became {loss}");
        }
        Ok(self)
    }
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn count_launches(_: &StepArgs) -> anyhow::Result<()> {
    Err(usage("--count and --profile need a GPU (--device cuda or wgpu), and this build has none"))
}

fn stem(args: &StepArgs) -> Stem {
    if args.size <= 64 { Stem::Cifar } else { Stem::ImageNet }
}

/// Runs the peer and reads its median.
fn peer(args: &StepArgs, mode: &str) -> anyhow::Result<f64> {
    let command = args.peer.as_deref().context("no peer")?;
    let mut words = command.split_whitespace();
    let program = words.next().ok_or_else(|| usage("--peer is empty"))?;
    let [width, batch, steps] = [args.width, args.batch, args.steps].map(|n| n.to_string());
    let name = serde_json::to_value(args.architecture)?;
    let more = match (args.architecture, args.size) {
        (Architecture::ResNet18, 32) => Vec::new(),
        (_, size) => vec![name.as_str().unwrap_or_default().to_owned(), size.to_string()],
    };
    let output = Command::new(program)
        .args(words)
        .args([width.as_str(), &batch, &steps, mode])
        .args(more)
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let median = text.split("median ").nth(1).and_then(|rest| rest.split_whitespace().next());
    median.and_then(|median| median.parse().ok()).with_context(|| {
        let error = String::from_utf8_lossy(&output.stderr);
        format!("{command} printed no `median N images/s`:\n{text}{error}")
    })
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Multiplications and additions of the convolutions of a CIFAR ResNet-18: three products each. The
/// first layer needs no gradient of the images, so it has two.
fn gflop(args: &StepArgs) -> Option<f64> {
    if args.architecture != Architecture::ResNet18 || stem(args) != Stem::Cifar {
        return None;
    }
    let product = |from: usize, to: usize, kernel: usize, side: usize| {
        2.0 * (from * to * kernel * kernel * side * side) as f64
    };
    let mut channels = args.width;
    let mut total = 2.0 * product(3, channels, 3, args.size);
    for stage in 0..4 {
        let (to, side) = (args.width << stage, args.size.div_ceil(1 << stage));
        total += 3.0 * (product(channels, to, 3, side) + 3.0 * product(to, to, 3, side));
        if to != channels {
            total += 3.0 * product(channels, to, 1, side);
        }
        channels = to;
    }
    Some(total * args.batch as f64 / 1e9)
}

fn kernels_compiled(device: &str) -> Option<u64> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if workshop::is_gpu(device) {
        return Some(selfsame::workshop::gpu::compiled());
    }
    #[cfg(not(any(feature = "cuda", feature = "wgpu")))]
    let _ = device;
    None
}

fn print(results: &Results) {
    let work =
        results.gflop_per_step.map_or(String::new(), |g| format!("; {g:.1} GFLOP in a step"));
    println!(
        "{:?}, width {}, {} px, batch {}, {} {:?} with {} threads{work}",
        results.architecture,
        results.width,
        results.size,
        results.batch,
        results.device,
        results.precision,
        results.threads,
    );
    let compiled = results.kernels_compiled.filter(|&kernels| kernels > 0);
    let compiled = compiled.map_or(String::new(), |n| format!(", {n} kernels compiled"));
    println!("first step after {:.1} s{compiled}", results.first_step_seconds);
    println!("{:<10} {:>10}  {:>10}  rounds", "", "images/s", "GFLOP/s");
    for rates in std::iter::once(&results.selfsame).chain(&results.peers) {
        let rounds: Vec<String> = rates.rounds.iter().map(|rate| format!("{rate:.0}")).collect();
        let work = results.gflop_per_step;
        let gflops = work.map_or("–".into(), |work| {
            format!("{:.0}", rates.median * work / results.batch as f64)
        });
        println!("{:<10} {:>10.1}  {gflops:>10}  {}", rates.name, rates.median, rounds.join(" "));
    }
    if let Some(ratio) = results.ratio {
        println!("{ratio:.2} times the best peer");
    }
}

//! `cargo xtask bench kernels`: each kernel of a training step, compared to the machine's limits.

use std::time::{Duration, Instant};

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use clap::Args;
use selfsame_kernels::{
    BatchNormOptions, Running, SgdStep, autocast, batch_norm, conv2d, for_each_tensor,
    global_avg_pool, linear, max_pool2d, moving_average, on_workers, peak_bandwidth, peak_flops,
    sgd_step, update_norms,
};
use serde::Serialize;

use selfsame::settings::Precision;
use selfsame::workshop::usage;

/// Batch norm in train mode, as in a layer of an encoder.
fn norm(
    x: &Tensor<4>,
    [gamma, beta]: [&Tensor<1>; 2],
    residual: Option<&Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let running = Running::new(gamma.dims()[0], &x.device());
    let options = BatchNormOptions { relu, ..BatchNormOptions::default() };
    batch_norm(x.clone(), gamma.clone(), beta.clone(), residual.cloned(), running, &options).output
}

/// Measure each kernel of a training step of a CIFAR ResNet-18, beside the limits of this machine
/// (a roofline): the fastest multiply-adds and the fastest copy through memory.
#[derive(Args)]
pub struct KernelArgs {
    /// Channels of the first stage: 64 in the paper.
    #[arg(long, default_value_t = 16, value_name = "N")]
    width: usize,
    /// Images in a batch.
    #[arg(long, default_value_t = 64, value_name = "N")]
    batch: usize,
    /// Height and width of the images, in pixels.
    #[arg(long, default_value_t = 32, value_name = "PIXELS")]
    size: usize,
    /// What convolutions and linear layers multiply: f32 or bf16.
    #[arg(long, value_name = "f32|bf16", default_value = "f32")]
    precision: Precision,
    /// Runs of each kernel. The median counts.
    #[arg(long, default_value_t = 15, value_name = "N")]
    runs: usize,
    /// Print one JSON object instead of a Markdown table.
    #[arg(long)]
    json: bool,
}

/// One kernel.
#[derive(Serialize)]
struct Row {
    kernel: String,
    /// How often a training step runs it.
    times: usize,
    /// Median seconds of one run.
    milliseconds: f64,
    /// Multiplications and additions of the textbook formula.
    gflop: f64,
    /// Bytes of inputs and outputs, each read or written as often as the formula must.
    megabytes: f64,
    /// The least time that the machine's limits allow, over the time taken.
    share_of_limit: f64,
    /// Whether that limit is arithmetic or memory.
    bound: &'static str,
}

#[derive(Serialize)]
struct Results {
    precision: Precision,
    threads: usize,
    /// Limits of this machine.
    peak_gflops: f64,
    peak_gigabytes_per_second: f64,
    kernels: Vec<Row>,
    /// Seconds of all kernels in a step.
    milliseconds: f64,
}

struct Bench<'a> {
    args: &'a KernelArgs,
    device: Device,
    flops: f64,
    bandwidth: f64,
    rows: Vec<Row>,
}

/// A convolution and the batch norm behind it.
struct Layer {
    from: usize,
    to: usize,
    /// Of the input.
    side: usize,
    kernel: usize,
    stride: usize,
    times: usize,
}

pub fn run(args: &KernelArgs) -> anyhow::Result<()> {
    if args.batch == 0 || args.runs == 0 || args.width == 0 || args.size < 8 {
        return Err(usage("--width, --batch and --runs must be at least 1, and --size at least 8"));
    }
    let mut bench = Bench {
        args,
        device: Device::flex().autodiff(),
        flops: peak_flops(args.precision.into()),
        bandwidth: peak_bandwidth(),
        rows: Vec::new(),
    };
    for layer in layers(args) {
        bench.convolution(&layer);
    }
    for stage in 0..4 {
        bench.norms(stage);
    }
    bench.linear([args.width * 8, 256], 1);
    // The heads of BYOL and the projector of Barlow Twins, as they were published.
    for sizes in [[512, 4096], [4096, 256], [8192, 8192]] {
        bench.linear(sizes, 0);
    }
    bench.rest();
    let milliseconds = bench.rows.iter().map(|row| row.milliseconds * row.times as f64).sum();
    let results = Results {
        precision: args.precision,
        threads: rayon::current_num_threads(),
        peak_gflops: bench.flops / 1e9,
        peak_gigabytes_per_second: bench.bandwidth / 1e9,
        kernels: bench.rows,
        milliseconds,
    };
    if args.json {
        println!("{}", serde_json::to_string(&results)?);
    } else {
        print(args, &results);
    }
    Ok(())
}

/// The convolutions of a CIFAR ResNet-18, each size once.
fn layers(args: &KernelArgs) -> Vec<Layer> {
    let (width, size) = (args.width, args.size);
    let first = Layer { from: 3, to: width, side: size, kernel: 3, stride: 1, times: 1 };
    let mut all = vec![first];
    for stage in 0..4 {
        let (to, side) = (width << stage, size.div_ceil(1 << stage));
        if stage > 0 {
            let (from, side) = (to / 2, size.div_ceil(1 << (stage - 1)));
            all.push(Layer { from, to, side, kernel: 3, stride: 2, times: 1 });
            all.push(Layer { from, to, side, kernel: 1, stride: 2, times: 1 });
        }
        let times = if stage == 0 { 4 } else { 3 };
        all.push(Layer { from: to, to, side, kernel: 3, stride: 1, times });
    }
    all
}

impl Bench<'_> {
    fn random<const D: usize>(&self, shape: [usize; D]) -> Tensor<D> {
        Tensor::random(shape, Distribution::Normal(0.0, 1.0), &self.device)
    }

    fn row(&mut self, kernel: String, times: usize, flop: f64, bytes: f64, seconds: f64) {
        let (compute, memory) = (flop / self.flops, bytes / self.bandwidth);
        self.rows.push(Row {
            kernel,
            times,
            milliseconds: seconds * 1e3,
            gflop: flop / 1e9,
            megabytes: bytes / 1e6,
            share_of_limit: compute.max(memory) / seconds,
            bound: if compute > memory { "arithmetic" } else { "memory" },
        });
    }

    /// Median seconds of `work` on what `prepare` makes.
    fn time<T: Send, R: Send>(
        &self,
        prepare: impl Fn() -> T + Send + Sync,
        work: impl Fn(T) -> R + Send + Sync,
    ) -> f64 {
        let precision = self.args.precision.into();
        let once = || {
            on_workers(&self.device, || {
                let input = autocast(precision, &prepare);
                let start = Instant::now();
                let output = autocast(precision, || work(input));
                let elapsed = start.elapsed();
                drop(output);
                elapsed
            })
        };
        once();
        let mut all: Vec<Duration> = (0..self.args.runs).map(|_| once()).collect();
        all.sort();
        all[all.len() / 2].as_secs_f64()
    }

    /// Median seconds of the backward pass of `forward`, without the time to make a gradient of
    /// `shape`.
    fn time_backward<const D: usize>(
        &self,
        shape: [usize; D],
        forward: impl Fn() -> Tensor<D> + Send + Sync,
    ) -> f64 {
        let dy = self.random(shape);
        let leaf = self.random(shape).require_grad();
        let bare = self.time(|| (leaf.clone() * dy.clone()).sum(), |loss| loss.backward());
        let whole = self.time(|| (forward() * dy.clone()).sum(), |loss| loss.backward());
        (whole - bare).max(1e-9)
    }

    fn convolution(&mut self, layer: &Layer) {
        let Layer { from, to, side, kernel, stride, times } = *layer;
        let options = || ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
        let x = self.random([self.args.batch, side, side, from]);
        let w = self.random([to, from, kernel, kernel]);
        let y = conv2d(x.clone(), w.clone(), options());
        let flop = 2.0 * (y.shape().num_elements() * from * kernel * kernel) as f64;
        let elements =
            [&x, &w, &y].into_iter().map(|tensor| tensor.shape().num_elements()).sum::<usize>();
        let bytes = 4.0 * elements as f64;
        let name = format!("conv {kernel}×{kernel}/{stride} {from}→{to} {side} px");

        let seconds = self.time(|| (), |()| conv2d(x.clone(), w.clone(), options()));
        self.row(format!("{name}, forward"), times, flop, bytes, seconds);
        // The gradient of the images is not needed.
        if from != 3 {
            let tracked = x.clone().require_grad();
            let seconds =
                self.time_backward(y.dims(), || conv2d(tracked.clone(), w.clone(), options()));
            self.row(format!("{name}, input's gradient"), times, flop, bytes, seconds);
        }
        let tracked = w.require_grad();
        let seconds =
            self.time_backward(y.dims(), || conv2d(x.clone(), tracked.clone(), options()));
        self.row(format!("{name}, weight's gradient"), times, flop, bytes, seconds);
    }

    fn norms(&mut self, stage: usize) {
        let channels = self.args.width << stage;
        let side = self.args.size.div_ceil(1 << stage);
        let shape = [self.args.batch, side, side, channels];
        let (x, residual) = (self.random(shape), self.random(shape));
        let (gamma, beta) = (self.random([channels]), self.random([channels]));
        let bytes = 4.0 * x.shape().num_elements() as f64;
        // The statistics need all of x before the first output, and the sums of the backward pass
        // all of it before the first gradient: both read everything twice.
        let relu =
            |x: &Tensor<4>, residual: Option<&Tensor<4>>| norm(x, [&gamma, &beta], residual, true);
        // Tracked tensors are freed later. So the forward pass would get new memory.
        let (tracked, tracked_residual) =
            (x.clone().require_grad(), residual.clone().require_grad());
        let name = format!("norm + ReLU {channels} channels {side} px");
        let times = if stage == 0 { 3 } else { 2 };
        let seconds = self.time(|| (), |()| relu(&x, None));
        self.row(format!("{name}, forward"), times, 0.0, 3.0 * bytes, seconds);
        let seconds = self.time_backward(shape, || relu(&tracked, None));
        self.row(format!("{name}, backward"), times, 0.0, 5.0 * bytes, seconds);

        let name = format!("norm + residual + ReLU {channels} channels {side} px");
        let seconds = self.time(|| (), |()| relu(&x, Some(&residual)));
        self.row(format!("{name}, forward"), 2, 0.0, 4.0 * bytes, seconds);
        let seconds = self.time_backward(shape, || relu(&tracked, Some(&tracked_residual)));
        self.row(format!("{name}, backward"), 2, 0.0, 8.0 * bytes, seconds);

        if stage > 0 {
            let name = format!("norm {channels} channels {side} px");
            let plain = |x: &Tensor<4>| norm(x, [&gamma, &beta], None, false);
            let seconds = self.time(|| (), |()| plain(&x));
            self.row(format!("{name}, forward"), 1, 0.0, 3.0 * bytes, seconds);
            let seconds = self.time_backward(shape, || plain(&tracked));
            self.row(format!("{name}, backward"), 1, 0.0, 5.0 * bytes, seconds);
        }
    }

    fn linear(&mut self, [from, to]: [usize; 2], times: usize) {
        let (x, w) = (self.random([self.args.batch, from]), self.random([to, from]));
        let flop = 2.0 * (self.args.batch * from * to) as f64;
        let bytes = 4.0 * (self.args.batch * (from + to) + from * to) as f64;
        let name = format!("linear {from}→{to}");
        let forward = |x: &Tensor<2>, w: &Tensor<2>| linear(x.clone(), w.clone(), None);
        let shape = [self.args.batch, to];
        let seconds = self.time(|| (), |()| forward(&x, &w));
        self.row(format!("{name}, forward"), times, flop, bytes, seconds);
        let tracked = x.clone().require_grad();
        let seconds = self.time_backward(shape, || forward(&tracked, &w));
        self.row(format!("{name}, input's gradient"), times, flop, bytes, seconds);
        let tracked = w.clone().require_grad();
        let seconds = self.time_backward(shape, || forward(&x, &tracked));
        self.row(format!("{name}, weight's gradient"), times, flop, bytes, seconds);
    }

    /// Pooling, and the updates of the parameters.
    fn rest(&mut self) {
        let (channels, side) = (self.args.width * 8, self.args.size.div_ceil(8));
        let x = self.random([self.args.batch, side, side, channels]).require_grad();
        let bytes = 4.0 * x.shape().num_elements() as f64;
        let seconds = self.time(|| (), |()| global_avg_pool(x.clone()));
        self.row("average pooling, forward".to_owned(), 1, 0.0, bytes, seconds);
        let seconds =
            self.time_backward([self.args.batch, channels], || global_avg_pool(x.clone()));
        self.row("average pooling, backward".to_owned(), 1, 0.0, bytes, seconds);

        // Of the ImageNet stem, at the sizes of the first stage here.
        let shape = [self.args.batch, self.args.size, self.args.size, self.args.width];
        let x = self.random(shape).require_grad();
        let pool = || max_pool2d(x.clone(), 3, 2, 1);
        let (read, written) = (x.shape().num_elements(), pool().shape().num_elements());
        let plain = x.clone().detach();
        let seconds = self.time(|| (), |()| max_pool2d(plain.clone(), 3, 2, 1));
        let bytes = 4.0 * (read + written) as f64;
        self.row("max pooling 3×3/2, forward".to_owned(), 0, 0.0, bytes, seconds);
        let seconds = self.time_backward(pool().dims(), pool);
        let bytes = 4.0 * (2 * read + written) as f64;
        self.row("max pooling 3×3/2, backward".to_owned(), 0, 0.0, bytes, seconds);

        self.updates();
    }

    /// The update of the weights of all convolutions at once.
    fn updates(&mut self) {
        let device = self.device.clone().inner();
        let sizes: Vec<usize> = layers(self.args)
            .iter()
            .flat_map(|l| vec![l.from * l.to * l.kernel * l.kernel; l.times])
            .collect();
        let bytes = 4.0 * sizes.iter().sum::<usize>() as f64;
        let random =
            |size: &usize| Tensor::<1>::random([*size], Distribution::Normal(0.0, 1.0), &device);
        let weights: Vec<[Tensor<1>; 3]> = sizes.iter().map(|n| [n; 3].map(random)).collect();
        let plain =
            SgdStep { momentum: 0.0, nesterov: false, weight_decay: 1e-4, learning_rate: 0.1 };
        let step = SgdStep { momentum: 0.9, ..plain };
        let all = || weights.clone();

        let seconds = self.time(all, |all| {
            for_each_tensor(&device, all, |[w, g, _]| sgd_step(w, g, None, None, plain))
        });
        self.row("SGD".to_owned(), 1, 0.0, 3.0 * bytes, seconds);
        let seconds = self.time(all, |all| {
            for_each_tensor(&device, all, |[w, g, v]| sgd_step(w, g, Some(v), None, step))
        });
        self.row("SGD with momentum".to_owned(), 0, 0.0, 5.0 * bytes, seconds);
        let seconds = self.time(all, |all| {
            for_each_tensor(&device, all, |[w, g, v]| {
                let [norm, ..] = update_norms(&w, &g, 1e-4);
                sgd_step(w, g, Some(v), Some(norm), step)
            })
        });
        self.row("LARS with momentum".to_owned(), 0, 0.0, 7.0 * bytes, seconds);
        let seconds = self
            .time(all, |all| for_each_tensor(&device, all, |[w, g, _]| moving_average(w, g, 0.99)));
        self.row("moving average".to_owned(), 0, 0.0, 3.0 * bytes, seconds);
    }
}

fn print(args: &KernelArgs, results: &Results) {
    println!(
        "ResNet-18, width {}, {} px, batch {}, {:?}, {} threads: at most {:.0} GFLOP/s and {:.1} GB/s",
        args.width,
        args.size,
        args.batch,
        args.precision,
        results.threads,
        results.peak_gflops,
        results.peak_gigabytes_per_second,
    );
    println!();
    println!("| kernel | per step | ms | GFLOP | MB | GFLOP/s | GB/s | limit | share of it |");
    println!("| --- | --: | --: | --: | --: | --: | --: | --- | --: |");
    for row in &results.kernels {
        let seconds = row.milliseconds / 1e3;
        println!(
            "| {} | {} | {:.3} | {:.3} | {:.1} | {:.0} | {:.1} | {} | {:.0} % |",
            row.kernel,
            row.times,
            row.milliseconds,
            row.gflop,
            row.megabytes,
            row.gflop / seconds,
            row.megabytes / 1e3 / seconds,
            row.bound,
            row.share_of_limit * 100.0,
        );
    }
    println!();
    println!("{:.1} ms for all kernels of a training step", results.milliseconds);
}

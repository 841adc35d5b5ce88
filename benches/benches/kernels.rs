//! The kernels at the sizes of a CIFAR ResNet-18 of width 64, batch 64: each convolution's forward
//! pass and its two gradients in f32 and bf16, linear layers, batch norm with ReLU and residual,
//! and what plain Burn takes for the same where it is quick enough to wait for.

use std::hint::black_box;

use burn::tensor::activation::relu;
use burn::tensor::module::batch_norm_train;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use selfsame_kernels::{
    BatchNormOptions, Precision, Running, autocast, batch_norm, conv2d, linear,
};

// As the program that trains: freed memory is used again instead of being given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const BATCH: usize = 64;

/// Channels in and out, height and width, kernel, stride.
const CONVOLUTIONS: [[usize; 5]; 14] = [
    [3, 64, 32, 3, 1],
    [8, 8, 32, 3, 1],
    [16, 16, 32, 3, 1],
    [32, 32, 16, 3, 1],
    [64, 64, 8, 3, 1],
    [128, 128, 4, 3, 1],
    [64, 64, 32, 3, 1],
    [64, 128, 32, 3, 2],
    [64, 128, 32, 1, 2],
    [128, 128, 16, 3, 1],
    [256, 256, 8, 3, 1],
    [256, 512, 8, 3, 2],
    [256, 512, 8, 1, 2],
    [512, 512, 4, 3, 1],
];

fn random(shape: [usize; 4], device: &Device) -> Tensor<4> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), device)
}

fn convolutions(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    for [from, to, side, kernel, stride] in CONVOLUTIONS {
        let options = || ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
        let x = random([BATCH, side, side, from], &device);
        let w = random([to, from, kernel, kernel], &device);
        let [_, rows, columns, _] = conv2d(x.clone(), w.clone(), options()).dims();
        let dy = random([BATCH, rows, columns, to], &device);
        let multiplications = BATCH * rows * columns * to * from * kernel * kernel;

        let name = format!("conv2d {from}-{to} {kernel}x{kernel}/{stride} {side}px");
        let mut group = c.benchmark_group(name);
        group.sample_size(10).throughput(Throughput::Elements(2 * multiplications as u64));
        for precision in [Precision::F32, Precision::Bf16] {
            let forward = |x: &Tensor<4>, w: &Tensor<4>| {
                autocast(precision, || conv2d(x.clone(), w.clone(), options()))
            };
            group.bench_function(BenchmarkId::new("forward", format!("{precision:?}")), |b| {
                b.iter(|| black_box(forward(&x, &w)));
            });
            // The gradient of Σ y · dy for y is dy: no more than a copy besides the kernel.
            for (name, x, w) in
                [("input", x.clone().require_grad(), w.clone()), ("weight", x.clone(), w.clone())]
            {
                let w = if name == "weight" { w.require_grad() } else { w };
                group.bench_function(BenchmarkId::new(name, format!("{precision:?}")), |b| {
                    b.iter_batched(
                        || (forward(&x, &w) * dy.clone()).sum(),
                        |loss| black_box(loss.backward()),
                        criterion::BatchSize::PerIteration,
                    );
                });
            }
        }
        group.finish();
    }
}

/// Features in and out: of the heads of BYOL and of Barlow Twins, and of a small network.
const LINEAR: [[usize; 2]; 4] = [[128, 256], [512, 4096], [4096, 256], [8192, 8192]];

fn linears(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    let random =
        |shape: [usize; 2]| Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    for [from, to] in LINEAR {
        let (x, w, dy) = (random([BATCH, from]), random([to, from]), random([BATCH, to]));
        let mut group = c.benchmark_group(format!("linear {from}-{to}"));
        group.sample_size(10).throughput(Throughput::Elements((2 * BATCH * from * to) as u64));
        type Forward = fn(Tensor<2>, Tensor<2>) -> Tensor<2>;
        let kernels: [(&str, Precision, Forward); 3] = [
            ("F32", Precision::F32, |x, w| linear(x, w, None)),
            ("Bf16", Precision::Bf16, |x, w| linear(x, w, None)),
            ("plain", Precision::F32, |x, w| x.matmul(w.transpose())),
        ];
        for (name, precision, forward) in kernels {
            let forward = |x: &Tensor<2>, w: &Tensor<2>| {
                autocast(precision, || forward(x.clone(), w.clone()))
            };
            group.bench_function(BenchmarkId::new("forward", name), |b| {
                b.iter(|| black_box(forward(&x, &w)));
            });
            for (side, x, w) in [
                ("input", x.clone().require_grad(), w.clone()),
                ("weight", x.clone(), w.clone().require_grad()),
            ] {
                group.bench_function(BenchmarkId::new(side, name), |b| {
                    b.iter_batched(
                        || (forward(&x, &w) * dy.clone()).sum(),
                        |loss| black_box(loss.backward()),
                        criterion::BatchSize::PerIteration,
                    );
                });
            }
        }
        group.finish();
    }
}

fn norms(c: &mut Criterion) {
    let device = Device::flex().autodiff();
    for (channels, side) in [(16, 32), (64, 32), (128, 16), (256, 8), (512, 4)] {
        let shape = [BATCH, side, side, channels];
        let [x, residual] = [(); 2].map(|()| random(shape, &device).require_grad());
        let (gamma, beta) = (Tensor::ones([channels], &device), Tensor::zeros([channels], &device));
        let bytes = 4 * x.shape().num_elements() as u64;
        let options = BatchNormOptions { relu: true, ..BatchNormOptions::default() };

        let mut group = c.benchmark_group(format!("batch norm {channels} {side}px"));
        group.sample_size(10).throughput(Throughput::Bytes(bytes));
        for (name, residual) in [("relu", None), ("residual relu", Some(residual))] {
            let run = || {
                let (gamma, beta) = (gamma.clone(), beta.clone());
                let running = Running::new(channels, &device);
                let residual = residual.clone();
                batch_norm(x.clone(), gamma, beta, residual, running, &options).output
            };
            group
                .bench_function(BenchmarkId::new(name, "forward"), |b| b.iter(|| black_box(run())));
            group.bench_function(BenchmarkId::new(name, "backward"), |b| {
                b.iter_batched(
                    || run().sum(),
                    |loss| black_box(loss.backward()),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
        group.bench_function("plain relu/forward", |b| {
            let x = x.clone().permute([0, 3, 1, 2]);
            b.iter(|| {
                let out = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), 1e-5);
                black_box(relu(out.output))
            });
        });
        group.finish();
    }
}

criterion_group!(benches, convolutions, linears, norms);
criterion_main!(benches);

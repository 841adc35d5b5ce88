//! The kernels and Burn's plain operations against the formulas in f64, forward and backward, over
//! random shapes, on every backend that has kernels.

mod between;
mod reference;

use std::f64::consts::TAU;
use std::sync::Arc;

use between::Between;
use burn::tensor::Gradients;
use burn::tensor::activation::relu;
use burn::tensor::module::{
    batch_norm_train, conv2d as plain_conv2d, max_pool2d as plain_max_pool2d,
};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use proptest::prelude::*;
use reference::Sum;
use selfsame_kernels::{
    BatchNormOptions, BatchNormOutput, Precision, Running, SgdStep, Together, autocast, batch_norm,
    conv2d, global_avg_pool, linear, max_pool2d, moving_average, not_finite, sgd_step,
    sharing_weights, thread_ranks, together, update_norms,
};

fn devices() -> Vec<Device> {
    vec![
        Device::flex().autodiff(),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "supported until Burn removes it")]
        Device::ndarray().autodiff(),
        // A software Vulkan does, such as Mesa's llvmpipe.
        #[cfg(feature = "wgpu")]
        Device::wgpu(burn::tensor::DeviceKind::DefaultDevice).autodiff(),
        #[cfg(feature = "cuda")]
        Device::cuda(0).autodiff(),
    ]
}

/// Burn's own operations, to be compared with as well, take an hour of compiling on a software GPU.
fn has_plain(device: &Device) -> bool {
    !cfg!(any(feature = "cuda", feature = "wgpu")) || is_cpu(device)
}

fn is_cpu(device: &Device) -> bool {
    [Device::flex()].contains(&device.clone().inner()) || {
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "supported until Burn removes it")]
        let ndarray = device.clone().inner() == Device::ndarray();
        #[cfg(not(feature = "ndarray"))]
        let ndarray = false;
        ndarray
    }
}

/// Whether products in bf16 can be seen there: a GPU without them multiplies in f32.
fn has(precision: Precision, device: &Device) -> bool {
    precision == Precision::F32 || is_cpu(device) || device.supports_dtype(DType::BF16)
}

/// Normal values of mean 0.3, the same for the same seed whatever else runs beside this test.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let box_muller = |u: f64, v: f64| (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
    (0..count).map(|_| (0.3 + box_muller(uniform(), uniform())) as f32).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.cast(FloatDType::F32).into_data().try_into_vec().unwrap()
}

/// Every value within `tolerance` of the reference, measured by what its sum is made of: a sum
/// whose terms cancel can be no more exact than its terms.
fn check<const D: usize>(what: &str, got: Tensor<D>, expected: &[Sum], tolerance: f64) {
    let got = values(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected.value).abs();
        assert!(
            error <= tolerance * expected.magnitude + 1e-30,
            "{what}[{i}]: {got} against {expected:?}"
        );
    }
}

/// `[batch, channels, height, width]` to the order of the kernels.
fn last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// And back.
fn first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn options(stride: usize, padding: usize, groups: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups)
}

/// Batch norm, residual and ReLU.
fn norm_relu(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
) -> BatchNormOutput {
    let running = Running::new(weight.dims()[0], &x.device());
    let options = BatchNormOptions { relu: true, ..BatchNormOptions::default() };
    batch_norm(x, weight, bias, residual, running, &options)
}

/// The gradients of `sum(y · dy)`.
fn backward<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Gradients {
    (y * dy).sum().backward()
}

/// Random cases of each property.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

fn convolutions() -> impl Strategy<Value = reference::Conv> {
    let sizes = (1usize..6, 1usize..20, 1usize..20);
    // From a few channels to several blocks of them, whole and not.
    let channels = (1usize..80, 1usize..80, prop_oneof![Just(1usize), Just(1), Just(2), Just(3)]);
    let kernel =
        (prop_oneof![Just(1usize), Just(3), Just(3), Just(3), Just(7)], 1usize..4, 0usize..4);
    (sizes, channels, kernel).prop_map(|((batch, height, width), (from, to, groups), (k, s, p))| {
        let padding = p.min(k - 1);
        // Small images for many channels, so that the reference stays quick.
        let shrink = |side: usize| if from * to > 400 { side.min(9) } else { side };
        let side = |side: usize| shrink(side).max(k.saturating_sub(2 * padding));
        reference::Conv {
            batch,
            channels_in: from.div_ceil(groups) * groups,
            channels_out: to.div_ceil(groups) * groups,
            height: side(height),
            width: side(width),
            kernel: k,
            stride: s,
            padding,
            groups,
        }
    })
}

/// The nearest bf16, by adding and taking away what pushes the other bits out.
fn bf16(value: f32) -> f32 {
    let pushed = value * (65536.0 + 1.0);
    pushed - (pushed - value)
}

/// Against the formulas, for `[batch, channels, height, width]`.
fn check_norm(seed: u64, shape: [usize; 4], with_residual: bool) {
    let [batch, channels, ..] = shape;
    let count = shape.iter().product();
    let norm = reference::Norm { batch, channels, plane: shape[2] * shape[3], epsilon: 1e-5 };
    let (x, r) = (normal(seed, count), normal(seed ^ 1, count));
    let (w, b) = (normal(seed ^ 2, channels), normal(seed ^ 3, channels));
    let mut dy = normal(seed ^ 4, count);
    let expected = norm.run(&x, &w, &b, with_residual.then_some(&r), &mut dy);
    for device in devices() {
        let (x, r) = (tensor(&x, shape, &device), tensor(&r, shape, &device));
        let (x, r) = (x.require_grad(), r.require_grad());
        let w = tensor(&w, [channels], &device).require_grad();
        let b = tensor(&b, [channels], &device).require_grad();
        let dy = tensor(&dy, shape, &device);
        let residual = with_residual.then(|| last(r.clone()));
        let ours = norm_relu(last(x.clone()), w.clone(), b.clone(), residual);
        let plain = batch_norm_train(x.clone(), w.clone(), b.clone(), 1e-5);
        let sum = if with_residual { plain.output + r.clone() } else { plain.output };
        for (name, output, mean, variance) in [
            ("kernel", first(ours.output), ours.mean, ours.variance),
            ("plain", relu(sum), plain.mean, plain.variance),
        ] {
            if name == "plain" && !has_plain(&device) {
                continue;
            }
            check(&format!("{name} y"), output.clone(), &expected.y, 2e-6);
            check(&format!("{name} mean"), mean, &expected.mean, 1e-6);
            check(&format!("{name} variance"), variance, &expected.variance, 1e-6);
            let gradients = backward(output, dy.clone());
            check(&format!("{name} dx"), x.grad(&gradients).unwrap(), &expected.dx, 2e-6);
            check(&format!("{name} dw"), w.grad(&gradients).unwrap(), &expected.dw, 2e-6);
            check(&format!("{name} db"), b.grad(&gradients).unwrap(), &expected.db, 2e-6);
            if with_residual {
                let dr = r.grad(&gradients).unwrap();
                check(&format!("{name} dr"), dr, &expected.dr, 1e-6);
            }
        }
    }
}

fn check_convolution(
    seed: u64,
    conv: &reference::Conv,
    precision: Precision,
    round: &dyn Fn(f32) -> f32,
    tolerance: f64,
) {
    let (x_shape, w_shape, y_shape) = (conv.x_shape(), conv.w_shape(), conv.y_shape());
    let x = normal(seed, x_shape.iter().product());
    let w = normal(seed ^ 1, w_shape.iter().product());
    let dy = normal(seed ^ 2, y_shape.iter().product());
    let rounded = |values: &[f32]| values.iter().map(|v| round(*v)).collect::<Vec<f32>>();
    let expected = conv.run(&rounded(&x), &rounded(&w), &rounded(&dy));
    for device in devices().into_iter().filter(|device| has(precision, device)) {
        // On a GPU what comes out is bf16 as well.
        let coarse = precision == Precision::Bf16 && !is_cpu(&device);
        let tolerance = if coarse { 4e-3 } else { tolerance };
        let x = tensor(&x, x_shape, &device).require_grad();
        let w = tensor(&w, w_shape, &device).require_grad();
        let dy = tensor(&dy, y_shape, &device);
        let options = || options(conv.stride, conv.padding, conv.groups);
        let ours = autocast(precision, || conv2d(last(x.clone()), w.clone(), options()));
        let mut results = vec![("kernel", first(ours))];
        if precision == Precision::F32 && has_plain(&device) {
            results.push(("plain", plain_conv2d(x.clone(), w.clone(), None, options())));
        }
        for (name, y) in results {
            check(&format!("{name} y of {conv:?}"), y.clone(), &expected.y, tolerance);
            let gradients = backward(y, dy.clone());
            let (dx, dw) = (x.grad(&gradients).unwrap(), w.grad(&gradients).unwrap());
            check(&format!("{name} dx of {conv:?}"), dx, &expected.dx, tolerance);
            check(&format!("{name} dw of {conv:?}"), dw, &expected.dw, tolerance);
        }
    }
}

fn check_linear(
    seed: u64,
    [batch, from, to]: [usize; 3],
    precision: Precision,
    round: &dyn Fn(f32) -> f32,
) {
    let conv = reference::Conv {
        batch,
        channels_in: from,
        channels_out: to,
        height: 1,
        width: 1,
        kernel: 1,
        stride: 1,
        padding: 0,
        groups: 1,
    };
    let (x, w) = (normal(seed, batch * from), normal(seed ^ 1, to * from));
    let (dy, bias) = (normal(seed ^ 2, batch * to), normal(seed ^ 3, to));
    let rounded = |values: &[f32]| values.iter().map(|v| round(*v)).collect::<Vec<f32>>();
    let mut expected = conv.run(&rounded(&x), &rounded(&w), &rounded(&dy));
    for (i, y) in expected.y.iter_mut().enumerate() {
        y.value += f64::from(bias[i % to]);
        y.magnitude += f64::from(bias[i % to].abs());
    }
    for device in devices().into_iter().filter(|device| has(precision, device)) {
        let x = tensor(&x, [batch, from], &device).require_grad();
        let w = tensor(&w, [to, from], &device).require_grad();
        let bias = tensor(&bias, [to], &device).require_grad();
        let y = autocast(precision, || linear(x.clone(), w.clone(), Some(bias.clone())));
        let what = format!("of {batch} x {from} to {to} in {precision:?}");
        check(&format!("y {what}"), y.clone(), &expected.y, 3e-6);
        let gradients = backward(y, tensor(&dy, [batch, to], &device));
        check(&format!("dx {what}"), x.grad(&gradients).unwrap(), &expected.dx, 3e-6);
        check(&format!("dw {what}"), w.grad(&gradients).unwrap(), &expected.dw, 3e-6);
        let sums = Tensor::from_inner(bias.grad(&gradients).unwrap());
        let plain = tensor(&dy, [batch, to], &device).sum_dim(0).squeeze_dim::<1>(0);
        assert_eq!(values(sums), values(plain));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..Default::default() })]

    #[test]
    fn conv2d_and_its_gradients(seed in any::<u64>(), conv in convolutions()) {
        check_convolution(seed, &conv, Precision::F32, &|value| value, 3e-6);
    }

    /// Against the formulas in f64 of rounded numbers: products of bf16 are exact in f32, and it is
    /// only sums that round.
    #[test]
    fn conv2d_and_its_gradients_in_bf16(seed in any::<u64>(), conv in convolutions()) {
        check_convolution(seed, &conv, Precision::Bf16, &bf16, 3e-6);
    }

    /// A linear layer is a 1×1 convolution of images of one pixel.
    #[test]
    fn linear_and_its_gradients(
        seed in any::<u64>(), batch in 1usize..90, channels in (1usize..90, 1usize..90),
        long in prop_oneof![Just(0usize), Just(1), Just(2), Just(3)],
    ) {
        // One of the three sizes beyond what is summed at a time.
        let [batch, from, to] = match long {
            1 => [batch + 300, channels.0, channels.1],
            2 => [batch, channels.0 + 300, channels.1],
            3 => [batch, channels.0, channels.1 + 300],
            _ => [batch, channels.0, channels.1],
        };
        check_linear(seed, [batch, from, to], Precision::F32, &|value| value);
        check_linear(seed, [batch, from, to], Precision::Bf16, &bf16);
    }

    #[test]
    fn batch_norm_residual_and_relu_and_their_gradients(
        seed in any::<u64>(), batch in 1usize..9, channels in 1usize..7,
        side in (2usize..11, 2usize..11), with_residual in any::<bool>(),
    ) {
        check_norm(seed, [batch, channels, side.0, side.1], with_residual);
    }
}

/// Several batches go through the same weights, with and without a residual: the weights get the
/// sum of what they get from each, to the bit.
#[test]
fn gradients_of_shared_weights_add_up() {
    for device in devices() {
        for (seed, [batch, side, from, to, kernel]) in
            [[5, 7, 3, 8, 3], [40, 6, 16, 4, 1], [1, 9, 12, 20, 3]].into_iter().enumerate()
        {
            let random = |i: u64, shape: [usize; 4]| {
                let values = normal(seed as u64 * 10 + i, shape.iter().product());
                tensor(&values, shape, &device)
            };
            let weight = random(0, [to, from, kernel, kernel]).require_grad();
            let gamma = random(1, [to, 1, 1, 1]).reshape([to]).detach().require_grad();
            let beta = random(2, [to, 1, 1, 1]).reshape([to]).detach().require_grad();
            let dy = random(3, [batch, side, side, to]);
            let loss = |i: u64, with_residual: bool| {
                let x = random(4 + i, [batch, side, side, from]);
                let y = conv2d(x, weight.clone(), options(1, kernel / 2, 1));
                let residual = with_residual.then(|| random(7, [batch, side, side, to]));
                (norm_relu(y, gamma.clone(), beta.clone(), residual).output * dy.clone()).sum()
            };
            let [a, b] = [(0, false), (1, true)].map(|(i, residual)| loss(i, residual).backward());
            let both = sharing_weights(|| loss(0, false) + loss(1, true)).backward();
            let sum = |of: &dyn Fn(&Gradients) -> Vec<f32>| {
                let sum: Vec<f32> = of(&a).iter().zip(of(&b)).map(|(a, b)| a + b).collect();
                assert_eq!(of(&both), sum, "{device:?}");
            };
            sum(&|g| values(weight.grad(g).unwrap()));
            sum(&|g| values(gamma.grad(g).unwrap()));
            sum(&|g| values(beta.grad(g).unwrap()));
        }
    }
}

/// Large means and small deviations, where the one-pass variance fails.
#[test]
fn statistics_survive_a_large_mean() {
    let device = Device::flex().autodiff();
    let x: Vec<f32> = normal(0, 400).iter().map(|v| 1000.0 + 0.1 * v).collect();
    let x = tensor(&x, [8, 2, 5, 5], &device);
    let (w, b) = (Tensor::ones([2], &device), Tensor::zeros([2], &device));
    let ours = norm_relu(last(x.clone()), w, b, None);
    let x = values(x);
    for c in 0..2 {
        let channel: Vec<f64> =
            (0..400).filter(|i| i / 25 % 2 == c).map(|i| f64::from(x[i])).collect();
        let mean = channel.iter().sum::<f64>() / 200.0;
        let variance = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200.0;
        let ours = f64::from(values(ours.variance.clone())[c]);
        assert!((ours / variance - 1.0).abs() < 1e-4, "{ours} {variance}");
    }
}

/// What has no kernel takes the plain operations: other float types, plain devices.
#[test]
fn other_types_fall_back() {
    let device = Device::flex();
    let x = tensor(&normal(0, 150), [2, 5, 5, 3], &device);
    let w = tensor(&normal(1, 108), [4, 3, 3, 3], &device);
    let double =
        conv2d(x.clone().cast(FloatDType::F64), w.clone().cast(FloatDType::F64), options(1, 1, 1));
    assert_eq!(double.dtype(), DType::F64);
    let double: Vec<f64> = double.into_data().try_into_vec().unwrap();
    for (single, double) in values(conv2d(x, w, options(1, 1, 1))).into_iter().zip(double) {
        assert!((f64::from(single) - double).abs() < 1e-5, "{single} against {double}");
    }
}

/// A NaN anywhere in a channel must be seen at the end, not turned into 0 by the ReLU.
#[test]
fn nan_comes_through() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::full([2, 4, 4, 3], f32::NAN, &device);
    let (w, b) = (Tensor::ones([3], &device), Tensor::zeros([3], &device));
    let residual = Tensor::<4>::ones([2, 4, 4, 3], &device);
    for residual in [None, Some(residual)] {
        let y = norm_relu(x.clone(), w.clone(), b.clone(), residual).output;
        assert!(values(y).iter().all(|y| y.is_nan()));
    }
    let weight = Tensor::<4>::ones([2, 3, 3, 3], &device);
    assert!(values(conv2d(x, weight, options(1, 1, 1))).iter().all(|y| y.is_nan()));
}

/// The convolutions of a ResNet-18 of width 8 at 28 pixels: more positions and images than the
/// random ones have, so that work is cut into bands, groups and parts.
#[test]
fn the_convolutions_of_an_encoder() {
    let shapes =
        [(1, 3, 8, 28, 3, 1), (2, 8, 8, 28, 3, 1), (3, 8, 16, 28, 3, 2), (4, 8, 16, 28, 1, 2)];
    let deeper =
        [(5, 16, 16, 14, 3, 1), (6, 32, 32, 7, 3, 1), (7, 64, 64, 4, 3, 1), (8, 32, 32, 28, 3, 1)];
    for (seed, channels_in, channels_out, side, kernel, stride) in shapes.into_iter().chain(deeper)
    {
        let conv = reference::Conv {
            batch: if channels_in < 32 { 16 } else { 33 },
            channels_in,
            channels_out,
            height: side,
            width: side,
            kernel,
            stride,
            padding: kernel / 2,
            groups: 1,
        };
        check_convolution(seed, &conv, Precision::F32, &|value| value, 3e-6);
        check_convolution(seed, &conv, Precision::Bf16, &bf16, 3e-6);
    }
}

/// As many values as an encoder's layers have, so that statistics are joined from several chunks.
#[test]
fn the_batch_norms_of_an_encoder() {
    for (seed, shape) in
        [(1, [16, 8, 28, 28]), (2, [16, 16, 14, 14]), (3, [33, 64, 7, 7]), (4, [3, 5, 70, 41])]
    {
        check_norm(seed, shape, true);
        check_norm(seed, shape, false);
    }
}

/// Batch norm without ReLU and the mean over positions, against Burn's own operations. One rank's
/// part of a batch norm: what belongs to its images (output, gradients of input and residual), what
/// it adds to the gradients of γ and β, and the batch's mean and variance.
struct Part {
    images: [Vec<f32>; 3],
    parameters: [Vec<f32>; 2],
    statistics: [Vec<f32>; 2],
    running: [Vec<f32>; 2],
}

/// Images `from..to` of six. In f64 by Burn's operations, for which there are no kernels.
fn norm_of_part(from: usize, to: usize, double: bool) -> Part {
    let device = Device::flex().autodiff();
    let (row, channels) = (3 * 2 * 5, 5);
    let cast = |x: Tensor<4>| match double {
        true => x.cast(FloatDType::F64),
        false => x,
    };
    let images = |seed: u64| -> Tensor<4> {
        let part = &normal(seed, 6 * row)[from * row..to * row];
        cast(tensor(part, [to - from, 3, 2, channels], &device))
    };
    let vector = |seed| -> Tensor<1> {
        cast(tensor(&normal(seed, channels), [1, 1, 1, channels], &device)).flatten(0, 3)
    };
    let (x, residual) = (images(1).require_grad(), images(2).require_grad());
    let (weight, bias) = (vector(3).require_grad(), vector(4).require_grad());
    let x_scaled = x.clone() * 3.0 + 5.0;
    let mut running = Running::new(channels, &device);
    if double {
        running = Running {
            mean: running.mean.cast(FloatDType::F64),
            variance: running.variance.cast(FloatDType::F64),
        };
    }
    let options = BatchNormOptions { relu: true, ..BatchNormOptions::default() };
    let (weights, residuals) = (weight.clone(), Some(residual.clone()));
    let out = batch_norm(x_scaled, weights, bias.clone(), residuals, running, &options);
    let gradients = backward(out.output.clone(), images(5));
    let single = |x: Tensor<4>| values(x.cast(FloatDType::F32));
    let of_vector = |x: Tensor<1>| values(x.cast(FloatDType::F32));
    let grad = |x: &Tensor<4>| {
        let gradient = x.grad(&gradients).unwrap();
        values(gradient.cast(FloatDType::F32))
    };
    let grad_of_vector = |x: &Tensor<1>| {
        let gradient = x.grad(&gradients).unwrap();
        values(gradient.cast(FloatDType::F32))
    };
    Part {
        images: [single(out.output), grad(&x), grad(&residual)],
        parameters: [grad_of_vector(&weight), grad_of_vector(&bias)],
        statistics: [of_vector(out.mean), of_vector(out.variance)],
        running: [of_vector(out.running.mean), of_vector(out.running.variance)],
    }
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 2e-5 * b.abs().max(1.0))
}

#[test]
fn batch_norm_over_ranks_is_that_of_the_whole_batch() {
    let whole = norm_of_part(0, 6, true);
    let through_the_host = [(false, 2, false), (true, 2, false), (true, 3, false)];
    for (double, count, sums) in
        [&through_the_host[..], &[(true, 2, true), (true, 3, true)]].concat()
    {
        let images = 6 / count;
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let ranks = thread_ranks(count).into_iter().map(|ranks| {
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
                    let first = ranks.rank() * images;
                    let ranks = if sums { Arc::new(Between(ranks)) } else { ranks };
                    let all = Together { ranks, batch_norm: true };
                    pool.install(|| {
                        together(Some(all), || norm_of_part(first, first + images, double))
                    })
                })
            });
            let ranks: Vec<_> = ranks.collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        });
        for (i, expected) in whole.images.iter().enumerate() {
            let got: Vec<f32> = parts.iter().flat_map(|part| part.images[i].clone()).collect();
            assert!(near(&got, expected), "{double} {count} {sums} {i}: {got:?} {expected:?}");
        }
        for (i, expected) in whole.parameters.iter().enumerate() {
            let sum = |c| parts.iter().map(|part| part.parameters[i][c]).sum();
            let got: Vec<f32> = (0..expected.len()).map(sum).collect();
            assert!(near(&got, expected), "{double} {count} {sums} {i}: {got:?} {expected:?}");
        }
        for part in &parts {
            let all = part.running.iter().zip(&whole.running);
            all.for_each(|(part, whole)| assert!(near(part, whole), "{part:?} {whole:?}"));
            for (got, expected) in part.statistics.iter().zip(&whole.statistics) {
                assert!(near(got, expected), "{double} {count} {sums}: {got:?} {expected:?}");
            }
            assert_eq!(part.statistics, parts[0].statistics, "all ranks have the same bits");
        }
    }
}

#[test]
fn batch_norm_alone_and_global_average_pooling() {
    for device in devices() {
        let shape = [5, 7, 6, 12];
        let x = tensor(&normal(1, 5 * 7 * 6 * 12), shape, &device).require_grad();
        let gamma = tensor(&normal(2, 12), [12], &device).require_grad();
        let beta = tensor(&normal(3, 12), [12], &device).require_grad();
        let dy = tensor(&normal(4, 60), [5, 12], &device);
        let running = Running::new(12, &device);
        let (weight, bias) = (gamma.clone(), beta.clone());
        let ours = batch_norm(x.clone(), weight, bias, None, running, &BatchNormOptions::default());
        let ours = global_avg_pool(ours.output.clone() * ours.output);
        let plain = batch_norm_train(first(x.clone()), gamma.clone(), beta.clone(), 1e-5);
        let plain = (plain.output.clone() * plain.output).flatten::<3>(2, 3).mean_dim(2);
        let plain = plain.squeeze_dim::<2>(2);
        let near = |a: Vec<f32>, b: Vec<f32>| {
            let size = b.iter().fold(0f32, |size, b| size.max(b.abs()));
            a.iter().zip(&b).for_each(|(a, b)| assert!((a - b).abs() < 1e-5 * size, "{a} {b}"));
        };
        near(values(ours.clone()), values(plain.clone()));
        let (ours, plain) = (backward(ours, dy.clone()), backward(plain, dy));
        near(values(x.grad(&ours).unwrap()), values(x.grad(&plain).unwrap()));
        near(values(gamma.grad(&ours).unwrap()), values(gamma.grad(&plain).unwrap()));
        near(values(beta.grad(&ours).unwrap()), values(beta.grad(&plain).unwrap()));
    }
}

/// Against Burn's own: the values to the bit, and the gradients of overlapping windows.
#[test]
fn max_pooling() {
    for device in devices() {
        for (seed, [kernel, stride, padding]) in
            [[3, 2, 1], [2, 2, 0], [3, 1, 1], [5, 3, 2], [1, 1, 0]].into_iter().enumerate()
        {
            for [height, width, channels] in [[9, 7, 5], [6, 11, 33], [5, 5, 16]] {
                let count = 3 * height * width * channels;
                let shape = [3, height, width, channels];
                let x = tensor(&normal(seed as u64, count), shape, &device).require_grad();
                let options = MaxPoolOptions::new([kernel; 2])
                    .with_stride([stride; 2])
                    .with_padding([padding; 2]);
                let ours = max_pool2d(x.clone(), kernel, stride, padding);
                let plain = last(plain_max_pool2d(first(x.clone()), options));
                assert_eq!(values(ours.clone()), values(plain.clone()));
                let dy = normal(9, ours.shape().num_elements());
                let dy = tensor(&dy, ours.dims(), &device);
                let gradients = [ours, plain].map(|y| backward(y, dy.clone()));
                let [ours, plain] = gradients.map(|gradients| values(x.grad(&gradients).unwrap()));
                for (ours, plain) in ours.into_iter().zip(plain) {
                    assert!((ours - plain).abs() < 1e-5, "{ours} {plain}");
                }
            }
        }
        // NaN is the largest of all, and of equals the first gets the gradient.
        let x = tensor(&[1.0, f32::NAN, 1.0, 1.0], [1, 2, 2, 1], &device).require_grad();
        assert!(values(max_pool2d(x, 2, 2, 0))[0].is_nan());
        let x = tensor(&[0.0, 1.0, 1.0, 1.0], [1, 2, 2, 1], &device).require_grad();
        let gradients = max_pool2d(x.clone(), 2, 2, 0).sum().backward();
        assert_eq!(values(x.grad(&gradients).unwrap()), [0.0, 1.0, 0.0, 0.0]);
    }
}

/// Sums are cut by sizes, not by threads.
#[test]
fn the_number_of_threads_changes_nothing() {
    let results = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::flex().autodiff();
            let mut all = Vec::new();
            for (channels, kernel, stride) in [(48, 3, 1), (24, 3, 2), (5, 7, 2), (33, 1, 1)] {
                let x = tensor(&normal(1, 9 * channels * 121), [9, 11, 11, channels], &device);
                let w = normal(2, 40 * channels * kernel * kernel);
                let w = tensor(&w, [40, channels, kernel, kernel], &device).require_grad();
                for precision in [Precision::F32, Precision::Bf16] {
                    let x = x.clone().require_grad();
                    let options = options(stride, kernel / 2, 1);
                    let y = autocast(precision, || conv2d(x.clone(), w.clone(), options));
                    let (gamma, beta) = (Tensor::ones([40], &device), Tensor::zeros([40], &device));
                    let out = norm_relu(y, gamma, beta, None).output;
                    let gradients = out.clone().square().sum().backward();
                    all.push(values(out));
                    all.push(values(x.grad(&gradients).unwrap()));
                    all.push(values(w.grad(&gradients).unwrap()));
                }
            }
            for precision in [Precision::F32, Precision::Bf16] {
                let x = tensor(&normal(3, 70 * 300), [70, 300], &device).require_grad();
                let w = tensor(&normal(4, 200 * 300), [200, 300], &device).require_grad();
                let y = autocast(precision, || linear(x.clone(), w.clone(), None));
                let gradients = y.clone().square().sum().backward();
                all.push(values(y));
                all.push(values(x.grad(&gradients).unwrap()));
                all.push(values(w.grad(&gradients).unwrap()));
            }
            all
        })
    };
    let one = results(1);
    assert!(one == results(2) && one == results(5));
}

/// The gradient is computed as the forward pass was, wherever `backward` is called.
#[test]
fn autocast_reaches_the_gradient_and_ends_with_its_scope() {
    let device = Device::flex().autodiff();
    let x = tensor(&normal(0, 2 * 36 * 4), [2, 6, 6, 4], &device);
    let w = tensor(&normal(1, 144), [4, 4, 3, 3], &device).require_grad();
    let gradient = |y: Tensor<4>| values(w.grad(&y.square().sum().backward()).unwrap());
    let single = gradient(conv2d(x.clone(), w.clone(), options(1, 1, 1)));
    let half = autocast(Precision::Bf16, || conv2d(x.clone(), w.clone(), options(1, 1, 1)));
    let half = gradient(half);
    assert_ne!(single, half);
    let panicked = std::panic::catch_unwind(|| autocast(Precision::Bf16, || panic!("on purpose")));
    assert!(panicked.is_err());
    assert_eq!(single, gradient(conv2d(x, w.clone(), options(1, 1, 1))));
}

/// Two steps of SGD and a moving average, as the formulas have them in f64.
#[test]
fn updates_of_parameters() {
    let (count, step) = (40_000, |nesterov| SgdStep {
        momentum: 0.9,
        nesterov,
        weight_decay: 0.02,
        learning_rate: 0.3,
    });
    let [w, first, second] = [1, 2, 3].map(|seed| normal(seed, count));
    for device in devices() {
        let tensor = |values: &[f32]| tensor(values, [count], &device.clone().inner());
        for nesterov in [false, true] {
            let (moved, velocity) =
                sgd_step(tensor(&w), tensor(&first), None, None, step(nesterov));
            let (moved, velocity) =
                sgd_step(moved, tensor(&second), velocity, None, step(nesterov));
            let (moved, velocity) = (values(moved), values(velocity.unwrap()));
            for i in 0..count {
                let (mut w, mut v) = (f64::from(w[i]), 0.0);
                for g in [first[i], second[i]] {
                    let g = f64::from(g) + 0.02 * w;
                    v = 0.9 * v + g;
                    w -= 0.3 * if nesterov { g + 0.9 * v } else { v };
                }
                assert!((f64::from(velocity[i]) - v).abs() < 3e-6, "{} {v}", velocity[i]);
                assert!((f64::from(moved[i]) - w).abs() < 3e-6, "{} {w}", moved[i]);
            }
        }
        let norms = update_norms(&tensor(&w), &tensor(&first), 0.02).map(|norm| values(norm)[0]);
        let norm = |f: &dyn Fn(f64, f64) -> f64| {
            let pairs = w.iter().zip(&first);
            pairs.map(|(w, g)| f(f64::from(*w), f64::from(*g)).powi(2)).sum::<f64>().sqrt()
        };
        let expected = [norm(&|w, _| w), norm(&|_, g| g), norm(&|w, g| g + 0.02 * w)];
        for (norm, expected) in norms.into_iter().zip(expected) {
            assert!((f64::from(norm) / expected - 1.0).abs() < 1e-6, "{norm} {expected}");
        }
        let ratio = Tensor::from_floats([0.25], &device.clone().inner());
        let (moved, _) = sgd_step(tensor(&w), tensor(&first), None, Some(ratio), step(false));
        for ((moved, w), g) in values(moved).into_iter().zip(&w).zip(&first) {
            let (w, g) = (f64::from(*w), f64::from(*g));
            let expected = w - 0.3 * 0.25 * (g + 0.02 * w);
            assert!((f64::from(moved) - expected).abs() < 1e-6, "{moved} {expected}");
        }
        let without = SgdStep { momentum: 0.0, ..step(false) };
        let (moved, velocity) = sgd_step(tensor(&w), tensor(&first), None, None, without);
        assert!(velocity.is_none());
        for ((moved, w), g) in values(moved).into_iter().zip(&w).zip(&first) {
            let (w, g) = (f64::from(*w), f64::from(*g));
            let expected = w - 0.3 * (g + 0.02 * w);
            assert!((f64::from(moved) - expected).abs() < 1e-6, "{moved} {expected}");
        }
        let averaged = values(moving_average(tensor(&w), tensor(&first), 0.99));
        for ((averaged, a), b) in averaged.iter().zip(&w).zip(&first) {
            let expected = 0.99 * f64::from(*a) + 0.01 * f64::from(*b);
            assert!((f64::from(*averaged) - expected).abs() < 1e-6, "{averaged} {expected}");
        }
    }
}

#[test]
fn the_first_value_that_is_not_finite_is_found_wherever_it_stands() {
    for device in devices() {
        for length in [1, 15, 16, 17, 100, (1 << 15) + 5] {
            // As large as finite values get: their sum is beyond all bounds, and none of them is.
            let largest = vec![f32::MAX; length];
            let fine = tensor(&largest, [length], &device);
            assert_eq!(not_finite(&device, vec![fine.clone()]), None, "{length}");
            for place in [0, length / 2, length - 1] {
                for odd in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                    let mut values = largest.clone();
                    values[place] = odd;
                    values[length - 1] = if place < length - 1 { f32::NAN } else { odd };
                    let tensors =
                        vec![fine.clone(), tensor(&values, [length], &device), fine.clone()];
                    let (which, found) = not_finite(&device, tensors).unwrap();
                    assert_eq!(which, 1);
                    assert_eq!(found.to_bits(), odd.to_bits(), "{place} of {length}");
                }
            }
        }
    }
}

/// Tensors in all sorts of orders in memory, as models make them: transposed, narrowed, flipped.
#[test]
fn the_order_in_memory_changes_nothing() {
    for device in devices() {
        let x = tensor(&normal(0, 3 * 6 * 10 * 7), [3, 6, 10, 7], &device);
        let w = tensor(&normal(1, 4 * 5 * 9), [4, 5, 3, 3], &device);
        let orders = [
            ("transposed", x.clone().permute([0, 3, 2, 1])),
            ("narrowed", x.clone().narrow(2, 2, 5)),
            ("flipped", x.clone().flip([1, 2])),
        ];
        for (name, x) in orders {
            let narrow = x.dims()[3].min(5);
            let x = x.narrow(3, 0, narrow);
            let plain = w.clone().narrow(1, 0, narrow);
            let copied = tensor(&values(x.clone()), x.dims(), &device);
            let [ours, expected] = [x, copied].map(|x| {
                let x = x.require_grad();
                let w = plain.clone().require_grad();
                let y = conv2d(x.clone(), w.clone(), options(1, 1, 1));
                let gradients = y.clone().square().sum().backward();
                [values(y), values(w.grad(&gradients).unwrap())]
            });
            assert_eq!(ours, expected, "{name}");
        }
    }
}

/// This whole file again with less than this processor can do: other machines run that.
#[test]
fn other_instructions_are_as_exact() {
    let this = std::env::current_exe().unwrap();
    for limit in ["portable", "avx2", "avx512"] {
        let output = std::process::Command::new(&this)
            .env("SELFSAME_MAX_ISA", limit)
            .env("PROPTEST_CASES", "8")
            .args(["--skip", "other_instructions_are_as_exact"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{limit}:\n{text}");
        assert!(text.contains(" passed"), "{limit}:\n{text}");
    }
}

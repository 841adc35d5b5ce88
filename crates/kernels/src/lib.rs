//! The operations of a convolutional encoder in training, forward and backward, on CPUs and,
//! through CubeCL, on GPUs. They need fewer passes over memory than those of Burn's backends.
//!
//! They are ordinary functions on Burn tensors:
//!
//! - layers: [`conv2d`], [`linear`], [`batch_norm`], [`scale_shift`], [`max_pool2d`] and
//!   [`global_avg_pool`],
//! - for the optimiser: [`sgd_step`], [`update_norms`] and [`moving_average`],
//! - for the optimiser, on all parameters at once: [`sgd_all`], [`adamw_all`],
//!   [`update_norms_all`] and [`moving_average_all`].
//!
//! On an f32 tensor of a backend whose feature is on (`flex`, `ndarray`, `cuda`, `wgpu`) they run
//! the kernels of this crate. On any other tensor they run Burn's own operations. So a model can
//! always call them. Gradients flow in both cases.
//!
//! Images are `[batch, height, width, channels]` here ("channels last"), because this order is the
//! fastest for the kernels and for Burn's sums of gradients. `permute([0, 2, 3, 1])` makes it from
//! Burn's usual `[batch, channels, height, width]`.
//!
//! [`autocast`] makes convolutions and linear layers multiply in bf16. On a GPU, images between
//! them are then bf16, too. [`on_workers`] saves small networks most of the waiting for threads.
//! [`together`] takes batch norm's statistics over several processes, devices or threads
//! ([`Ranks`]). [`all_gather`] and [`all_sum`] exchange tensors between them.
//!
//! If two views go through the same weights, [`sharing_weights`] saves GPUs the addition of their
//! gradients.
//!
//! Results do not depend on the number of threads: every sum has a fixed order. On a GPU, the order
//! depends on the kind of GPU.
//!
//! The processor's instructions (AVX-512, its BF16, AVX2, NEON) are found at run time. The build
//! needs no setting. The environment variable `SELFSAME_MAX_ISA` (`portable`, `avx2`, `avx512`:
//! without BF16) limits them to older ones, for tests or to compare machines.
//!
//! ```
//! use burn::tensor::ops::ConvOptions;
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! let device = Device::flex().autodiff();
//! let x = Tensor::<4>::random([2, 8, 8, 3], Distribution::Default, &device);
//! let weight = Tensor::<4>::random([4, 3, 3, 3], Distribution::Default, &device).require_grad();
//! let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
//! let y = selfsame_kernels::conv2d(x, weight.clone(), options);
//! assert_eq!(y.dims(), [2, 8, 8, 4]);
//! assert_eq!(weight.grad(&y.sum().backward()).unwrap().dims(), [4, 3, 3, 3]);
//! ```

mod arithmetic;
mod autodiff;
mod conv;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
mod host;
mod linear;
mod machine;
mod memory;
mod norm;
#[allow(clippy::type_complexity, reason = "Burn's macro for extensions wants tuples written out")]
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "supported until Burn removes it"))]
mod ops;
mod pool;
mod precision;
mod ranks;
mod scratch;
mod shared;
mod simd;
mod transpose;
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "supported until Burn removes it"))]
mod updates;
mod workers;

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::activation::relu;
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{DType, Device, FloatDType, Tensor};

pub use machine::{peak_bandwidth, peak_flops};
pub use precision::{Precision, autocast};
pub use ranks::collective::{DeviceSums, connected};
pub use ranks::exchange::{all_gather, all_sum};
pub use ranks::{Ranks, Together, current_ranks, device_ranks, thread_ranks, together};
pub use shared::sharing_weights;
pub use updates::{
    AdamWJob, AdamWStep, AnyTensor, SgdJob, SgdStep, adamw_all, moving_average, moving_average_all,
    not_finite, not_finite_values, sgd_all, sgd_step, update_norms, update_norms_all,
};
pub use workers::{for_each_tensor, on_workers};

use ops::{Conv, KernelOps, Norm, Pool};

/// A 2-D convolution without bias: `y[n, i, j, o] = Σ_{c, u, v} x[n, s·i + u − p, s·j + v − p, c] ·
/// w[o, c, u, v]`. With groups, `c` runs over the channels in the group of `o`.
///
/// - `x`: `[batch, height, width, channels_in]`,
///   `weight`: `[channels_out, channels_in / groups, k, k]`.
/// - `options`: stride s and padding p as for Burn's own [`conv2d`](burn::tensor::module::conv2d).
///   There are kernels for square windows without dilation, with the same stride and padding in
///   both directions, and with padding below the window's size. Burn computes everything else.
/// - returns `[batch, (height + 2p − k) / s + 1, (width + 2p − k) / s + 1, channels_out]`, bf16 on
///   a GPU under [`autocast`] in bf16.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, options: ConvOptions<2>) -> Tensor<4> {
    let [_, height, width, channels_in] = x.dims();
    let [channels_out, group_in, kernel, kernel_width] = weight.dims();
    let ([stride, stride_x], [(padding, below), (left, right)]) = (options.stride, options.padding);
    let groups = options.groups;
    let square =
        kernel == kernel_width && stride == stride_x && [below, left, right] == [padding; 3];
    let common = options.dilation == [1, 1] && stride > 0 && padding < kernel;
    // Burn reports arguments that do not fit together. GPUs have kernels for one group only.
    let grouped = groups > 1 && !workers::is_cpu(&x.device());
    let sound = groups > 0
        && !grouped
        && group_in * groups == channels_in
        && channels_out % groups == 0
        && [group_in, channels_out, height, width].iter().all(|size| *size > 0)
        && height.min(width) + 2 * padding >= kernel;
    if !(square && common && sound && has_kernels(&x) && has_kernels(&weight)) {
        return elsewhere(x, weight, |x, weight| {
            last(burn::tensor::module::conv2d(first(x), weight, None, options))
        });
    }
    let precision = precision_of(&x);
    Tensor::from_dispatch(<Dispatch as KernelOps>::kernel_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        Conv { stride, padding, groups, precision },
    ))
}

/// A linear layer, `y = x Wᵀ + b`.
///
/// - `x`: `[batch, features_in]`, `weight` W: `[features_out, features_in]` as in PyTorch,
///   `bias` b: `[features_out]`.
/// - returns `[batch, features_out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let ([rows, features_in], [features_out, terms]) = (x.dims(), weight.dims());
    let sound = terms == features_in && rows * features_in * features_out > 0;
    let y = if sound && has_kernels(&x) && has_kernels(&weight) {
        let precision = precision_of(&x);
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        Tensor::from_dispatch(<Dispatch as KernelOps>::kernel_linear(x, weight, precision))
    } else {
        elsewhere(x, weight, |x, weight| x.matmul(weight.transpose()))
    };
    match bias {
        Some(bias) => y + bias.unsqueeze(),
        None => y,
    }
}

/// Running statistics for batch norm in evaluation, without gradient.
#[derive(Debug, Clone)]
pub struct Running {
    /// `[features]`
    pub mean: Tensor<1>,
    /// Unbiased, `[features]`.
    pub variance: Tensor<1>,
}

impl Running {
    /// Initial statistics: mean 0, variance 1.
    pub fn new(features: usize, device: &Device) -> Self {
        Self { mean: Tensor::zeros([features], device), variance: Tensor::ones([features], device) }
    }
}

/// How [`batch_norm`] normalises.
#[derive(Debug, Clone)]
pub struct BatchNormOptions {
    /// ε, added to the variance.
    pub epsilon: f64,
    /// The batch's share in new running statistics.
    pub momentum: f64,
    /// Whether ReLU follows.
    pub relu: bool,
}

impl Default for BatchNormOptions {
    /// PyTorch's: ε = 1e-5, a momentum of 0.1, no ReLU.
    fn default() -> Self {
        Self { epsilon: 1e-5, momentum: 0.1, relu: false }
    }
}

/// What [`batch_norm`] returns.
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// Normalised: `[batch, height, width, features]`.
    pub output: Tensor<4>,
    /// Of the batch, without gradient: `[features]`.
    pub mean: Tensor<1>,
    /// Biased, of the batch, without gradient: `[features]`.
    pub variance: Tensor<1>,
    /// The running statistics, with this batch.
    pub running: Running,
}

/// Batch normalisation in train mode (Ioffe & Szegedy, 2015), then the residual if there is one,
/// then ReLU if wanted: `relu(γ (x − mean) / √(variance + ε) + β + residual)`, with the batch's own
/// mean and **biased** variance.
///
/// It makes one pass over memory for the statistics and one for the result. Backward it makes two
/// passes, too. Intermediate results are never written.
///
/// - `x` and `residual`: `[batch, height, width, features]`; `weight` γ and `bias` β: `[features]`.
/// - The new running statistics are `(1 − momentum) · running + momentum · batch`, with the
///   unbiased variance.
///
/// Under [`together`] the batch may be that of all ranks. Each rank then has the same number of
/// images.
pub fn batch_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    running: Running,
    options: &BatchNormOptions,
) -> BatchNormOutput {
    let BatchNormOptions { epsilon, momentum, relu } = *options;
    let norm = Norm { epsilon, relu, momentum, ranks: ranks::of_batch_norm() };
    // The devices of several ranks exchange Burn's tensors.
    let elsewhere = norm.ranks.is_some() && workers::is_gpu(&x.device());
    let images = [&x].into_iter().chain(&residual).all(has_kernels);
    let vectors = [&weight, &bias, &running.mean, &running.variance].into_iter().all(has_kernels);
    if !images || !vectors || elsewhere || x.shape().num_elements() == 0 {
        return plain_batch_norm(x, weight, bias, residual, running, norm);
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    let (mean, variance) = (running.mean.into_dispatch(), running.variance.into_dispatch());
    let (output, batch_mean, batch_variance, mean, variance) = match residual {
        Some(residual) => {
            let residual = residual.into_dispatch();
            <Dispatch as KernelOps>::kernel_norm_add(
                x, weight, bias, mean, variance, residual, norm,
            )
        }
        None => <Dispatch as KernelOps>::kernel_norm(x, weight, bias, mean, variance, norm),
    };
    let [batch_mean, batch_variance, mean, variance] =
        [batch_mean, batch_variance, mean, variance].map(Tensor::from_dispatch);
    BatchNormOutput {
        output: Tensor::from_dispatch(output),
        mean: batch_mean,
        variance: batch_variance,
        running: Running { mean, variance },
    }
}

/// [`batch_norm`] in Burn's operations.
fn plain_batch_norm(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    residual: Option<Tensor<4>>,
    running: Running,
    norm: Norm,
) -> BatchNormOutput {
    let samples = x.shape().num_elements() / weight.shape().num_elements().max(1);
    let samples = samples * norm.ranks.as_ref().map_or(1, |ranks| ranks.count());
    let dtype = x.dtype();
    let (x, residual) = (summable(x), residual.map(summable));
    let (output, mean, variance) = match &norm.ranks {
        Some(ranks) => normalize_together(x, weight, bias, norm.epsilon, ranks),
        None => {
            let out = burn::tensor::module::batch_norm_train(first(x), weight, bias, norm.epsilon);
            (last(out.output), out.mean, out.variance)
        }
    };
    let sum = match residual {
        Some(residual) => output + residual,
        None => output,
    };
    let output = as_before(if norm.relu { relu(sum) } else { sum }, dtype);
    let (mean, variance) = (mean.detach(), variance.detach());
    let unbiased = variance.clone().mul_scalar(ops::unbias(samples));
    let average = |running, batch| moving_average(running, batch, 1.0 - norm.momentum);
    let running = Running {
        mean: average(running.mean, mean.clone()),
        variance: average(running.variance, unbiased),
    };
    BatchNormOutput { output, mean, variance, running }
}

/// Batch norm over the images of all ranks, in Burn's operations: output, mean and variance.
///
/// Ranks have equally many values. So the mean is the mean of their means. The variance is the mean
/// of their variances plus the mean squared deviation of their means.
fn normalize_together(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    ranks: &Arc<dyn Ranks>,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let (shape, [features]) = (x.shape(), weight.dims());
    let rows = x.flatten::<2>(0, 2);
    let mean = rows.clone().mean_dim(0);
    let variance = (rows.clone() - mean.clone()).square().mean_dim(0);
    let mine = Tensor::cat(vec![mean, variance], 1).flatten(0, 1);
    let everyone = all_gather(mine, ranks);
    let means = everyone.clone().narrow(1, 0, features);
    let variances = everyone.narrow(1, features, features);
    let mean = means.clone().mean_dim(0);
    let variance = (variances + (means - mean.clone()).square()).mean_dim(0);
    let scale = weight.unsqueeze() / variance.clone().add_scalar(epsilon).sqrt();
    let output = (rows - mean.clone()) * scale + bias.unsqueeze();
    (output.reshape(shape), mean.squeeze_dim(0), variance.squeeze_dim(0))
}

/// Batch norm in evaluation, with constant statistics: `scale · x + shift + residual` in one pass,
/// then ReLU if wanted. The kernels have no gradient. Burn handles tracked tensors.
///
/// - `x` and `residual`: `[batch, height, width, features]`; `scale` γ / √(variance + ε) and
///   `shift` β − mean · scale: `[features]`.
pub fn scale_shift(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    with_relu: bool,
) -> Tensor<4> {
    let kernels = [&x].into_iter().chain(&residual).all(has_kernels) && has_kernels(&scale);
    if !kernels || x.device().is_autodiff() || x.shape().num_elements() == 0 {
        let dtype = x.dtype();
        let scaled = summable(x) * scale.unsqueeze() + shift.unsqueeze();
        let sum = match residual {
            Some(residual) => scaled + summable(residual),
            None => scaled,
        };
        return as_before(if with_relu { relu(sum) } else { sum }, dtype);
    }
    let [scale, shift] = [scale, shift].map(|t| t.into_dispatch());
    let x = x.into_dispatch();
    Tensor::from_dispatch(match residual {
        Some(residual) => {
            let residual = residual.into_dispatch();
            <Dispatch as KernelOps>::kernel_scale_shift_add(x, scale, shift, residual, with_relu)
        }
        None => <Dispatch as KernelOps>::kernel_scale_shift(x, scale, shift, with_relu),
    })
}

/// Global average pooling: `[batch, height, width, channels]` → `[batch, channels]`.
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    if !has_kernels(&x) || x.shape().num_elements() == 0 {
        return x.flatten::<3>(1, 2).mean_dim(1).squeeze_dim(1);
    }
    Tensor::from_dispatch(<Dispatch as KernelOps>::kernel_mean_pool(x.into_dispatch()))
}

/// Max pooling over square windows, padded with −∞.
///
/// - `x`: `[batch, height, width, channels]`; `padding` at most half of `kernel`.
/// - returns `[batch, (height + 2 padding − kernel) / stride + 1, (width + …) / stride + 1,
///   channels]`; NaN if there is one in the window. The gradient goes to the first of the largest
///   values.
pub fn max_pool2d(x: Tensor<4>, kernel: usize, stride: usize, padding: usize) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    let sound = stride > 0 && 2 * padding <= kernel && height.min(width) + 2 * padding >= kernel;
    if !has_kernels(&x) || !sound || kernel == 0 || x.shape().num_elements() == 0 {
        let options =
            MaxPoolOptions::new([kernel; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
        return last(burn::tensor::module::max_pool2d(first(x), options));
    }
    let pool = Pool { kernel, stride, padding };
    Tensor::from_dispatch(<Dispatch as KernelOps>::kernel_max_pool(x.into_dispatch(), pool))
}

/// A product by Burn's own operation `f`. Under [`autocast`] a GPU with bf16 multiplies in bf16.
/// Weights stay f32. Results and gradients are f32.
fn elsewhere<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<D>,
    f: impl FnOnce(Tensor<D>, Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let rounded = precision::current() == Precision::Bf16
        && [x.dtype(), weight.dtype()] == [DType::F32; 2]
        && !workers::is_cpu(&x.device())
        && x.device().supports_dtype(DType::BF16);
    if !rounded {
        return f(x, weight);
    }
    f(x.cast(FloatDType::BF16), weight.cast(FloatDType::BF16)).cast(FloatDType::F32)
}

/// Converts bf16 to f32, for sums in Burn's operations.
fn summable(x: Tensor<4>) -> Tensor<4> {
    if x.dtype() == DType::BF16 { x.cast(FloatDType::F32) } else { x }
}

/// Converts back to bf16, if the input was bf16.
fn as_before(x: Tensor<4>, dtype: DType) -> Tensor<4> {
    if dtype == DType::BF16 { x.cast(FloatDType::BF16) } else { x }
}

/// `[batch, height, width, channels]` → `[batch, channels, height, width]`, Burn's order.
fn first(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

/// `[batch, channels, height, width]` → `[batch, height, width, channels]`.
fn last(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

/// Whether this crate has kernels for the tensor's backend and type.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    let device = x.device();
    match x.dtype() {
        DType::F32 => workers::is_cpu(&device) || workers::is_gpu(&device),
        // The type between the layers under `autocast`.
        DType::BF16 => workers::is_gpu(&device),
        _ => false,
    }
}

/// The precision of products with `x`: that of [`autocast`], if the device has it. CPUs emulate a
/// missing precision.
fn precision_of<const D: usize>(x: &Tensor<D>) -> Precision {
    let device = x.device();
    match precision::current() {
        Precision::Bf16 if workers::is_cpu(&device) || device.supports_dtype(DType::BF16) => {
            Precision::Bf16
        }
        _ => Precision::F32,
    }
}

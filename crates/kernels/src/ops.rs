//! The extension of Burn's backends.
#![expect(clippy::too_many_arguments, reason = "gradients of a batch norm need all that it knew")]

use std::sync::Arc;

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use crate::Precision;
use crate::arithmetic::{Bfloat16, Single};
use crate::conv::{self, Geometry};
use crate::host::HostBackend;
use crate::linear::{self, Sizes};
use crate::norm::{self, Mask, Saved};
use crate::pool::{self, Windows};
use crate::ranks::Ranks;
use crate::updates::slices;

/// How to convolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub precision: Precision,
}

/// Square windows of a pooling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

/// How to normalise.
#[derive(Debug, Clone)]
pub struct Norm {
    pub epsilon: f64,
    pub relu: bool,
    /// The batch's share in the running statistics.
    pub momentum: f64,
    /// The ranks of the batch, if there are several.
    pub ranks: Option<Arc<dyn Ranks>>,
}

/// Kernels on f32 tensors; images are `[batch, height, width, channels]`.
///
/// On GPUs, tensors between the layers have the type of the products: bf16 under
/// [`Precision::Bf16`]. Means, variances, gradients of parameters, and vectors are f32 there, too.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
    Autodiff
)]
pub trait KernelOps: Backend {
    /// The same values in row-major order, without gradient. On a GPU they are in the type that
    /// products of this precision read.
    #[fusion(dtype = spec::product(precision), shape = x)]
    fn kernel_operand(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self>;

    /// A convolution's weight in the kernels' order in memory, without gradient.
    #[fusion(dtype = spec::product(precision), shape = weight)]
    fn kernel_filter(weight: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self>;

    #[fusion(dtype = spec::product(&conv.precision), shape = spec::conv(x, weight, conv))]
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `x`. Only the shape of `x` matters.
    #[fusion(dtype = spec::product(&conv.precision), shape = x)]
    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `weight`. Only the shape of `weight` matters.
    #[fusion(dtype = spec::sum(weight), shape = weight)]
    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// [`kernel_conv2d_weight`](Self::kernel_conv2d_weight), added to the sum so far. If several
    /// batches use one weight, there is a gradient from each batch.
    #[fusion(dtype = spec::sum(weight), shape = weight)]
    fn kernel_conv2d_weight_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        so_far: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::kernel_conv2d_weight(x, weight, dy, conv), so_far)
    }

    /// `x wᵀ`
    #[fusion(dtype = spec::sum(x), shape = spec::rows_of(x, weight, 0))]
    fn kernel_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `x`.
    #[fusion(dtype = spec::sum(dy), shape = spec::rows_of(dy, weight, 1))]
    fn kernel_linear_input(
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to the weight.
    #[fusion(dtype = spec::sum(dy), shape = spec::columns_of(dy, x))]
    fn kernel_linear_weight(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// Output, and mean and variance of the batch, and new running mean and (unbiased) variance.
    #[fusion(meta = |x, weight, bias, mean, variance, _norm| {
        (x.clone(), weight.clone(), bias.clone(), mean.clone(), variance.clone())
    })]
    fn kernel_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// [`kernel_norm`](Self::kernel_norm) with a residual.
    #[fusion(meta = |x, weight, bias, mean, variance, _residual, _norm| {
        (x.clone(), weight.clone(), bias.clone(), mean.clone(), variance.clone())
    })]
    fn kernel_norm_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        norm: Norm,
    ) -> (
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
        FloatTensor<Self>,
    );

    /// Gradients with respect to x, weight and bias.
    #[fusion(meta = |_dy, x, weight, bias, _mean, _variance, _norm| (x.clone(), weight.clone(), bias.clone()))]
    fn kernel_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`kernel_norm_backward`](Self::kernel_norm_backward). The gradients of weight and bias are
    /// added to their sums so far.
    #[fusion(meta = |_dy, x, weight, bias, _mean, _variance, _dweight, _dbias, _norm| {
        (x.clone(), weight.clone(), bias.clone())
    })]
    fn kernel_norm_backward_onto(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        dweight: FloatTensor<Self>,
        dbias: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, w, b) = Self::kernel_norm_backward(dy, x, weight, bias, mean, variance, norm);
        (x, Self::float_add(w, dweight), Self::float_add(b, dbias))
    }

    /// Gradients with respect to x, weight, bias and residual. Without ReLU, `y` does not matter.
    #[fusion(meta = |_dy, x, y, weight, mean, _variance, _norm| (x.clone(), weight.clone(), mean.clone(), y.clone()))]
    fn kernel_norm_add_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// [`kernel_norm_add_backward`](Self::kernel_norm_add_backward). The gradients of weight and
    /// bias are added to their sums so far.
    #[fusion(meta = |_dy, x, y, weight, mean, _variance, _dweight, _dbias, _norm| {
        (x.clone(), weight.clone(), mean.clone(), y.clone())
    })]
    fn kernel_norm_add_backward_onto(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        dweight: FloatTensor<Self>,
        dbias: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (x, w, b, residual) =
            Self::kernel_norm_add_backward(dy, x, y, weight, mean, variance, norm);
        (x, Self::float_add(w, dweight), Self::float_add(b, dbias), residual)
    }

    /// `scale · x + shift` per channel, then ReLU if wanted, without gradient.
    #[fusion(dtype = x, shape = x)]
    fn kernel_scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// `scale · x + shift + residual`, then ReLU if wanted, without gradient.
    #[fusion(dtype = x, shape = x)]
    fn kernel_scale_shift_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self>;

    /// The mean over height and width.
    #[fusion(dtype = spec::sum(x), shape = spec::mean_pool(x))]
    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of the mean with respect to `x`. Only the shape of `x` matters.
    #[fusion(dtype = x, shape = x)]
    fn kernel_mean_pool_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The largest value of each window.
    #[fusion(dtype = x, shape = spec::max_pool(x, pool))]
    fn kernel_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self>;

    /// Gradient of the largest values with respect to `x`.
    #[fusion(dtype = x, shape = x)]
    fn kernel_max_pool_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        pool: Pool,
    ) -> FloatTensor<Self>;
}

/// Types and shapes of results. Burn must know them before the results are computed.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod spec {
    use burn::tensor::DType;

    use super::*;

    /// The type of products, and of tensors between the layers.
    pub fn product(precision: &Precision) -> DType {
        match precision {
            Precision::F32 => DType::F32,
            Precision::Bf16 => DType::BF16,
        }
    }

    /// The type of sums.
    pub fn sum(_: DType) -> DType {
        DType::F32
    }

    pub fn conv(x: &Shape, weight: &Shape, conv: &Conv) -> Shape {
        let g = sizes(x, weight, *conv);
        Shape::new([g.batch, g.height_out(), g.width_out(), g.channels_out])
    }

    /// The shape of a product: the rows of `x` and one side of `weight`.
    pub fn rows_of(x: &Shape, weight: &Shape, side: usize) -> Shape {
        Shape::new([x[0], weight[side]])
    }

    pub fn columns_of(a: &Shape, b: &Shape) -> Shape {
        Shape::new([a[1], b[1]])
    }

    pub fn mean_pool(x: &Shape) -> Shape {
        Shape::new([x[0], x[3]])
    }

    pub fn max_pool(x: &Shape, pool: &Pool) -> Shape {
        Shape::new([x[0], pool.outputs(x[1]), pool.outputs(x[2]), x[3]])
    }
}

pub fn geometry<B: Backend>(x: &FloatTensor<B>, weight: &FloatTensor<B>, conv: Conv) -> Geometry {
    sizes(&x.shape(), &weight.shape(), conv)
}

fn sizes(x: &Shape, weight: &Shape, conv: Conv) -> Geometry {
    let [batch, height, width, channels_in] = x.dims();
    let [channels_out, _, kernel, _] = weight.dims();
    let Conv { stride, padding, groups, .. } = conv;
    Geometry { batch, channels_in, channels_out, height, width, kernel, stride, padding, groups }
}

pub fn windows<B: Backend>(x: &FloatTensor<B>, pool: Pool) -> Windows {
    let [batch, height, width, channels] = x.shape().dims();
    Windows { batch, height, width, channels, pool }
}

/// 1 / √(variance + ε) per channel.
fn inverse(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|v| (1.0 / (f64::from(*v) + epsilon).sqrt()) as f32).collect()
}

/// The output of a batch norm, the batch's mean and variance, and the new running ones.
pub type Normalized<B> =
    (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>);

/// The factor that makes a variance over so many samples unbiased.
pub fn unbias(samples: usize) -> f64 {
    samples as f64 / (samples.max(2) - 1) as f64
}

fn norm_forward<B: HostBackend>(
    x: FloatTensor<B>,
    [weight, bias]: [FloatTensor<B>; 2],
    running: [FloatTensor<B>; 2],
    residual: Option<FloatTensor<B>>,
    norm: Norm,
) -> Normalized<B> {
    let Norm { epsilon, relu, momentum, ranks } = norm;
    let device = x.device();
    let dims = x.shape();
    let channels = dims[3];
    let samples = dims.num_elements() / channels * ranks.as_ref().map_or(1, |ranks| ranks.count());
    let (weight, bias) = (B::host(weight, <[f32]>::to_vec), B::host(bias, <[f32]>::to_vec));
    let (y, statistics) = B::host(x, |x| {
        let statistics = norm::statistics(x, channels, ranks.as_deref());
        let inverse = inverse(&statistics.variance, epsilon);
        let (scale, shift) = norm::scale_and_shift(&weight, &bias, &statistics.mean, &inverse);
        let y = match residual {
            Some(residual) => B::host(residual, |residual| {
                norm::scale_shift(x, &scale, &shift, Some(residual), relu)
            }),
            None => norm::scale_shift(x, &scale, &shift, None, relu),
        };
        (y, statistics)
    });
    let unbias = unbias(samples) as f32;
    let unbiased: Vec<f32> = statistics.variance.iter().map(|v| v * unbias).collect();
    let [running_mean, running_variance] = running;
    let averaged = |running, batch: &[f32]| {
        B::host(running, |running| slices::moving_average(running, batch, 1.0 - momentum))
    };
    let running_mean = averaged(running_mean, &statistics.mean);
    let running_variance = averaged(running_variance, &unbiased);
    let vector = |values| B::from_host(values, Shape::new([channels]), &device);
    let (mean, variance) = (vector(statistics.mean), vector(statistics.variance));
    let (running_mean, running_variance) = (vector(running_mean), vector(running_variance));
    (B::from_host(y, dims, &device), mean, variance, running_mean, running_variance)
}

fn saved<B: HostBackend>(
    weight: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    norm: Norm,
) -> Saved {
    Saved {
        weight: B::host(weight, <[f32]>::to_vec),
        mean: B::host(mean, <[f32]>::to_vec),
        inverse: B::host(variance, |v| inverse(v, norm.epsilon)),
        ranks: norm.ranks,
    }
}

/// Gradients with respect to x, weight, bias, and the residual's values.
fn tensors<B: HostBackend>(
    gradients: norm::Gradients,
    dims: Shape,
    device: &Device<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Vec<f32>) {
    let channels = dims[3];
    let vector = |values| B::from_host(values, Shape::new([channels]), device);
    let (weight, bias) = (vector(gradients.weight), vector(gradients.bias));
    (B::from_host(gradients.x, dims, device), weight, bias, gradients.residual)
}

fn scale_shift<B: HostBackend>(
    x: FloatTensor<B>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    relu: bool,
) -> FloatTensor<B> {
    let (dims, device) = (x.shape(), x.device());
    let (scale, shift) = (B::host(scale, <[f32]>::to_vec), B::host(shift, <[f32]>::to_vec));
    let y = B::host(x, |x| match residual {
        Some(residual) => {
            B::host(residual, |residual| norm::scale_shift(x, &scale, &shift, Some(residual), relu))
        }
        None => norm::scale_shift(x, &scale, &shift, None, relu),
    });
    B::from_host(y, dims, &device)
}

macro_rules! host_kernels {
    ($backend:ty) => {
        impl KernelOps for $backend {
            fn kernel_operand(x: FloatTensor<Self>, _: Precision) -> FloatTensor<Self> {
                Self::row_major(x)
            }

            fn kernel_filter(weight: FloatTensor<Self>, _: Precision) -> FloatTensor<Self> {
                weight
            }

            fn kernel_conv2d(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let y = Self::host(x, |x| {
                    Self::host(weight, |w| match conv.precision {
                        Precision::F32 => conv::forward::<Single>(x, w, &g),
                        Precision::Bf16 => conv::forward::<Bfloat16>(x, w, &g),
                    })
                });
                let dims = [g.batch, g.height_out(), g.width_out(), g.channels_out];
                Self::from_host(y, Shape::new(dims), &device)
            }

            fn kernel_conv2d_input(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let dx = Self::host(dy, |dy| {
                    Self::host(weight, |w| match conv.precision {
                        Precision::F32 => conv::input_gradient::<Single>(dy, w, &g),
                        Precision::Bf16 => conv::input_gradient::<Bfloat16>(dy, w, &g),
                    })
                });
                Self::from_host(dx, x.shape(), &device)
            }

            fn kernel_conv2d_weight(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let dw = Self::host(dy, |dy| {
                    Self::host(x, |x| match conv.precision {
                        Precision::F32 => conv::weight_gradient::<Single>(dy, x, &g),
                        Precision::Bf16 => conv::weight_gradient::<Bfloat16>(dy, x, &g),
                    })
                });
                Self::from_host(dw, weight.shape(), &device)
            }

            fn kernel_linear(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                precision: Precision,
            ) -> FloatTensor<Self> {
                let ([rows, features_in], [features_out, _]) =
                    (x.shape().dims(), weight.shape().dims());
                let (sizes, device) = (Sizes { rows, features_in, features_out }, x.device());
                let y = Self::host(x, |x| {
                    Self::host(weight, |w| match precision {
                        Precision::F32 => linear::forward::<Single>(x, w, sizes),
                        Precision::Bf16 => linear::forward::<Bfloat16>(x, w, sizes),
                    })
                });
                Self::from_host(y, Shape::new([rows, features_out]), &device)
            }

            fn kernel_linear_input(
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                precision: Precision,
            ) -> FloatTensor<Self> {
                let ([rows, features_out], [_, features_in]) =
                    (dy.shape().dims(), weight.shape().dims());
                let (sizes, device) = (Sizes { rows, features_in, features_out }, dy.device());
                let dx = Self::host(dy, |dy| {
                    Self::host(weight, |w| match precision {
                        Precision::F32 => linear::input_gradient::<Single>(dy, w, sizes),
                        Precision::Bf16 => linear::input_gradient::<Bfloat16>(dy, w, sizes),
                    })
                });
                Self::from_host(dx, Shape::new([rows, features_in]), &device)
            }

            fn kernel_linear_weight(
                x: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                precision: Precision,
            ) -> FloatTensor<Self> {
                let ([rows, features_in], [_, features_out]) =
                    (x.shape().dims(), dy.shape().dims());
                let (sizes, device) = (Sizes { rows, features_in, features_out }, x.device());
                let dw = Self::host(dy, |dy| {
                    Self::host(x, |x| match precision {
                        Precision::F32 => linear::weight_gradient::<Single>(dy, x, sizes),
                        Precision::Bf16 => linear::weight_gradient::<Bfloat16>(dy, x, sizes),
                    })
                });
                Self::from_host(dw, Shape::new([features_out, features_in]), &device)
            }

            fn kernel_norm(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                norm: Norm,
            ) -> Normalized<Self> {
                norm_forward::<Self>(x, [weight, bias], [mean, variance], None, norm)
            }

            fn kernel_norm_add(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                residual: FloatTensor<Self>,
                norm: Norm,
            ) -> Normalized<Self> {
                norm_forward::<Self>(x, [weight, bias], [mean, variance], Some(residual), norm)
            }

            fn kernel_norm_backward(
                dy: FloatTensor<Self>,
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                norm: Norm,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let relu = norm.relu;
                let saved = saved::<Self>(weight, mean, variance, norm);
                let bias = Self::host(bias, <[f32]>::to_vec);
                let (dims, device) = (x.shape(), x.device());
                let gradients = Self::host(dy, |dy| {
                    Self::host(x, |x| {
                        let mask = if relu { Mask::Bias(&bias) } else { Mask::Everything };
                        norm::backward(dy, x, mask, &saved, false)
                    })
                });
                let (x, weight, bias, _) = tensors::<Self>(gradients, dims, &device);
                (x, weight, bias)
            }

            fn kernel_norm_add_backward(
                dy: FloatTensor<Self>,
                x: FloatTensor<Self>,
                y: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                norm: Norm,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let relu = norm.relu;
                let saved = saved::<Self>(weight, mean, variance, norm);
                let (dims, device) = (x.shape(), x.device());
                let gradients = Self::host(dy, |dy| {
                    Self::host(x, |x| {
                        Self::host(y, |y| {
                            let mask = if relu { Mask::Output(y) } else { Mask::Everything };
                            norm::backward(dy, x, mask, &saved, true)
                        })
                    })
                });
                let (x, weight, bias, residual) = tensors::<Self>(gradients, dims.clone(), &device);
                (x, weight, bias, Self::from_host(residual, dims, &device))
            }

            fn kernel_scale_shift(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                shift: FloatTensor<Self>,
                relu: bool,
            ) -> FloatTensor<Self> {
                scale_shift::<Self>(x, scale, shift, None, relu)
            }

            fn kernel_scale_shift_add(
                x: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                shift: FloatTensor<Self>,
                residual: FloatTensor<Self>,
                relu: bool,
            ) -> FloatTensor<Self> {
                scale_shift::<Self>(x, scale, shift, Some(residual), relu)
            }

            fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
                let device = x.device();
                let [batch, height, width, channels] = x.shape().dims();
                let y = Self::host(x, |x| pool::mean(x, channels, height * width));
                Self::from_host(y, Shape::new([batch, channels]), &device)
            }

            fn kernel_mean_pool_backward(
                x: FloatTensor<Self>,
                dy: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                let device = x.device();
                let [_, height, width, channels] = x.shape().dims();
                let dx = Self::host(dy, |dy| pool::mean_gradient(dy, channels, height * width));
                Self::from_host(dx, x.shape(), &device)
            }

            fn kernel_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
                let device = x.device();
                let w = windows::<Self>(&x, pool);
                let y = Self::host(x, |x| pool::max(x, &w));
                let dims = [w.batch, w.height_out(), w.width_out(), w.channels];
                Self::from_host(y, Shape::new(dims), &device)
            }

            fn kernel_max_pool_backward(
                x: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                pool: Pool,
            ) -> FloatTensor<Self> {
                let (shape, device) = (x.shape(), x.device());
                let w = windows::<Self>(&x, pool);
                let dx = Self::host(x, |x| Self::host(dy, |dy| pool::max_gradient(x, dy, &w)));
                Self::from_host(dx, shape, &device)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_kernels!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_kernels!(burn::backend::NdArray);

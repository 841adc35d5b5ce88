//! The extension of Burn's backends.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use crate::Precision;
use crate::conv::{self, Geometry, Single};
use crate::host::HostBackend;
use crate::norm::{self, Saved};
use crate::pool;

/// How to convolve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    pub stride: usize,
    pub padding: usize,
    pub groups: usize,
    pub precision: Precision,
}

/// How to normalise.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    pub epsilon: f64,
    pub relu: bool,
}

/// Kernels on f32 tensors.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait KernelOps: Backend {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `x`, of which only the shape matters.
    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `weight`, of which only the shape matters.
    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self>;

    /// Output, mean and variance.
    fn kernel_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Output, mean and variance.
    fn kernel_norm_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients with respect to x, weight and bias. Without ReLU `y` does not matter.
    fn kernel_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients with respect to x, weight, bias and residual.
    fn kernel_norm_add_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// The mean over height and width.
    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// Gradient of the mean with respect to `x`, of which only the shape matters.
    fn kernel_mean_pool_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self>;
}

fn geometry<B: Backend>(x: &FloatTensor<B>, weight: &FloatTensor<B>, conv: Conv) -> Geometry {
    let [batch, channels_in, height, width] = x.shape().dims();
    let [channels_out, _, kernel, _] = weight.shape().dims();
    let Conv { stride, padding, groups, .. } = conv;
    Geometry { batch, channels_in, channels_out, height, width, kernel, stride, padding, groups }
}

/// Reads `[batch, channels, height, width]` with the channels of a position next to each other: as
/// the kernels leave their results, so that only what comes from elsewhere is copied.
fn channels_last<B: HostBackend, R>(x: FloatTensor<B>, read: impl FnOnce(&[f32]) -> R) -> R {
    B::host(B::float_permute(x, &[0, 2, 3, 1]), read)
}

/// `[batch, channels, height, width]` of values in which the channels come last.
fn from_channels_last<B: HostBackend>(
    values: Vec<f32>,
    [batch, channels, height, width]: [usize; 4],
    device: &burn::backend::tensor::Device<B>,
) -> FloatTensor<B> {
    let values = B::from_host(values, Shape::new([batch, height, width, channels]), device);
    B::float_permute(values, &[0, 3, 1, 2])
}

/// 1 / √(variance + ε) per channel.
fn inverse(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|v| (1.0 / (f64::from(*v) + epsilon).sqrt()) as f32).collect()
}

fn norm_forward<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    Norm { epsilon, relu }: Norm,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let device = x.device();
    let dims: [usize; 4] = x.shape().dims();
    let channels = dims[1];
    let (weight, bias) = (B::host(weight, <[f32]>::to_vec), B::host(bias, <[f32]>::to_vec));
    let (y, statistics) = channels_last::<B, _>(x, |x| {
        let statistics = norm::statistics(x, channels);
        let inverse = inverse(&statistics.variance, epsilon);
        let scale: Vec<f32> = weight.iter().zip(&inverse).map(|(w, i)| w * i).collect();
        let shift: Vec<f32> = bias
            .iter()
            .zip(statistics.mean.iter().zip(&scale))
            .map(|(b, (m, s))| b - m * s)
            .collect();
        let y = match residual {
            Some(residual) => channels_last::<B, _>(residual, |residual| {
                norm::scale_shift(x, &scale, &shift, Some(residual), relu)
            }),
            None => norm::scale_shift(x, &scale, &shift, None, relu),
        };
        (y, statistics)
    });
    let vector = |values| B::from_host(values, Shape::new([channels]), &device);
    let (mean, variance) = (vector(statistics.mean), vector(statistics.variance));
    (from_channels_last::<B>(y, dims, &device), mean, variance)
}

/// Gradients with respect to x, weight, bias, and the residual (empty unless wanted).
fn norm_backward<B: HostBackend>(
    dy: FloatTensor<B>,
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    [weight, mean, variance]: [FloatTensor<B>; 3],
    Norm { epsilon, relu }: Norm,
    wants_residual: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, Vec<f32>) {
    let device = x.device();
    let dims: [usize; 4] = x.shape().dims();
    let saved = Saved {
        weight: B::host(weight, <[f32]>::to_vec),
        mean: B::host(mean, <[f32]>::to_vec),
        inverse: B::host(variance, |v| inverse(v, epsilon)),
    };
    let gradients = channels_last::<B, _>(dy, |dy| {
        channels_last::<B, _>(x, |x| {
            if !relu {
                return norm::backward(dy, x, None, &saved, wants_residual);
            }
            channels_last::<B, _>(y, |y| norm::backward(dy, x, Some(y), &saved, wants_residual))
        })
    });
    let vector = |values| B::from_host(values, Shape::new([dims[1]]), &device);
    (
        from_channels_last::<B>(gradients.x, dims, &device),
        vector(gradients.weight),
        vector(gradients.bias),
        gradients.residual,
    )
}

macro_rules! host_kernels {
    ($backend:ty) => {
        impl KernelOps for $backend {
            fn kernel_conv2d(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let y = channels_last::<Self, _>(x, |x| {
                    Self::host(weight, |w| match conv.precision {
                        Precision::F32 => conv::forward::<Single>(x, w, &g),
                    })
                });
                let dims = [g.batch, g.channels_out, g.height_out(), g.width_out()];
                from_channels_last::<Self>(y, dims, &device)
            }

            fn kernel_conv2d_input(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let dx = channels_last::<Self, _>(dy, |dy| {
                    Self::host(weight, |w| match conv.precision {
                        Precision::F32 => conv::input_gradient::<Single>(dy, w, &g),
                    })
                });
                from_channels_last::<Self>(dx, x.shape().dims(), &device)
            }

            fn kernel_conv2d_weight(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                conv: Conv,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, conv);
                let device = x.device();
                let dw = channels_last::<Self, _>(dy, |dy| {
                    channels_last::<Self, _>(x, |x| match conv.precision {
                        Precision::F32 => conv::weight_gradient::<Single>(dy, x, &g),
                    })
                });
                Self::from_host(dw, weight.shape(), &device)
            }

            fn kernel_norm(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                norm: Norm,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                norm_forward::<Self>(x, weight, bias, None, norm)
            }

            fn kernel_norm_add(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                residual: FloatTensor<Self>,
                norm: Norm,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                norm_forward::<Self>(x, weight, bias, Some(residual), norm)
            }

            fn kernel_norm_backward(
                dy: FloatTensor<Self>,
                x: FloatTensor<Self>,
                y: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                norm: Norm,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let saved = [weight, mean, variance];
                let (x, weight, bias, _) = norm_backward::<Self>(dy, x, y, saved, norm, false);
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
                let (dims, device) = (x.shape().dims(), x.device());
                let saved = [weight, mean, variance];
                let (x, weight, bias, residual) =
                    norm_backward::<Self>(dy, x, y, saved, norm, true);
                (x, weight, bias, from_channels_last::<Self>(residual, dims, &device))
            }

            fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
                let device = x.device();
                let [batch, channels, height, width] = x.shape().dims();
                let y = channels_last::<Self, _>(x, |x| pool::mean(x, channels, height * width));
                Self::from_host(y, Shape::new([batch, channels]), &device)
            }

            fn kernel_mean_pool_backward(
                x: FloatTensor<Self>,
                dy: FloatTensor<Self>,
            ) -> FloatTensor<Self> {
                let device = x.device();
                let dims: [usize; 4] = x.shape().dims();
                let dx = Self::host(dy, |dy| pool::mean_gradient(dy, dims[1], dims[2] * dims[3]));
                from_channels_last::<Self>(dx, dims, &device)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_kernels!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_kernels!(burn::backend::NdArray);

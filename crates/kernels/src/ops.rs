//! The extension of Burn's backends.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape as Dims;

use crate::conv::{self, Geometry};
use crate::host::HostBackend;
use crate::norm::{self, Saved, Shape};

/// Kernels on f32 tensors.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait KernelOps: Backend {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `x`, of which only the shape matters.
    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    /// Gradient with respect to `weight`, of which only the shape matters.
    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self>;

    /// Output, mean and variance.
    fn kernel_norm_relu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Output, mean and variance.
    fn kernel_norm_add_relu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients with respect to x, weight and bias.
    fn kernel_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    /// Gradients with respect to x, weight, bias and residual.
    fn kernel_norm_add_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

fn geometry<B: Backend>(
    x: &FloatTensor<B>,
    weight: &FloatTensor<B>,
    stride: usize,
    padding: usize,
) -> Geometry {
    let [batch, channels_in, height, width] = x.shape().dims();
    let [channels_out, _, kernel, _] = weight.shape().dims();
    Geometry { batch, channels_in, channels_out, height, width, kernel, stride, padding }
}

/// γ / √(variance + ε) and the rest of the affine map, per channel.
fn inverse(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|v| (1.0 / (f64::from(*v) + epsilon).sqrt()) as f32).collect()
}

fn norm_forward<B: HostBackend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    residual: Option<FloatTensor<B>>,
    epsilon: f64,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let device = x.device();
    let dims = x.shape();
    let [_, channels, height, width] = dims.dims();
    let shape = Shape { channels, plane: height * width };
    let (weight, bias) = (B::host(weight, <[f32]>::to_vec), B::host(bias, <[f32]>::to_vec));
    let (y, statistics) = B::host(x, |x| {
        let statistics = norm::statistics(x, shape);
        let inverse = inverse(&statistics.variance, epsilon);
        let scale: Vec<f32> = weight.iter().zip(&inverse).map(|(w, i)| w * i).collect();
        let shift: Vec<f32> = bias
            .iter()
            .zip(statistics.mean.iter().zip(&scale))
            .map(|(b, (m, s))| b - m * s)
            .collect();
        let y = match residual {
            Some(residual) => B::host(residual, |residual| {
                norm::scale_add_relu(x, &scale, &shift, Some(residual), shape)
            }),
            None => norm::scale_add_relu(x, &scale, &shift, None, shape),
        };
        (y, statistics)
    });
    let vector = |values| B::from_host(values, Dims::new([channels]), &device);
    (B::from_host(y, dims, &device), vector(statistics.mean), vector(statistics.variance))
}

/// Gradients with respect to x, weight, bias, and the residual (empty unless wanted).
fn norm_backward<B: HostBackend>(
    dy: FloatTensor<B>,
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    [weight, mean, variance]: [FloatTensor<B>; 3],
    epsilon: f64,
    wants_residual: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let device = x.device();
    let dims = x.shape();
    let [_, channels, height, width] = dims.dims();
    let shape = Shape { channels, plane: height * width };
    let saved = Saved {
        weight: B::host(weight, <[f32]>::to_vec),
        mean: B::host(mean, <[f32]>::to_vec),
        inverse: B::host(variance, |v| inverse(v, epsilon)),
    };
    let gradients = B::host(dy, |dy| {
        B::host(x, |x| B::host(y, |y| norm::backward(dy, x, y, &saved, wants_residual, shape)))
    });
    let vector = |values| B::from_host(values, Dims::new([channels]), &device);
    let residual_dims = if wants_residual { dims.clone() } else { Dims::new([0]) };
    (
        B::from_host(gradients.x, dims, &device),
        vector(gradients.weight),
        vector(gradients.bias),
        B::from_host(gradients.residual, residual_dims, &device),
    )
}

macro_rules! host_kernels {
    ($backend:ty) => {
        impl KernelOps for $backend {
            fn kernel_conv2d(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, stride, padding);
                let device = x.device();
                let y = Self::host(x, |x| Self::host(weight, |w| conv::forward(x, w, &g)));
                let dims = [g.batch, g.channels_out, g.height_out(), g.width_out()];
                Self::from_host(y, Dims::new(dims), &device)
            }

            fn kernel_conv2d_input(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, stride, padding);
                let device = x.device();
                let dx =
                    Self::host(dy, |dy| Self::host(weight, |w| conv::input_gradient(dy, w, &g)));
                Self::from_host(dx, x.shape(), &device)
            }

            fn kernel_conv2d_weight(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                dy: FloatTensor<Self>,
                stride: usize,
                padding: usize,
            ) -> FloatTensor<Self> {
                let g = geometry::<Self>(&x, &weight, stride, padding);
                let device = x.device();
                let dw = Self::host(dy, |dy| Self::host(x, |x| conv::weight_gradient(dy, x, &g)));
                Self::from_host(dw, weight.shape(), &device)
            }

            fn kernel_norm_relu(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                norm_forward::<Self>(x, weight, bias, None, epsilon)
            }

            fn kernel_norm_add_relu(
                x: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                bias: FloatTensor<Self>,
                residual: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                norm_forward::<Self>(x, weight, bias, Some(residual), epsilon)
            }

            fn kernel_norm_backward(
                dy: FloatTensor<Self>,
                x: FloatTensor<Self>,
                y: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let saved = [weight, mean, variance];
                let (x, weight, bias, _) = norm_backward::<Self>(dy, x, y, saved, epsilon, false);
                (x, weight, bias)
            }

            fn kernel_norm_add_backward(
                dy: FloatTensor<Self>,
                x: FloatTensor<Self>,
                y: FloatTensor<Self>,
                weight: FloatTensor<Self>,
                mean: FloatTensor<Self>,
                variance: FloatTensor<Self>,
                epsilon: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                norm_backward::<Self>(dy, x, y, [weight, mean, variance], epsilon, true)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_kernels!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_kernels!(burn::backend::NdArray);

//! The operations that a convolutional encoder trains with, forward and backward, faster than
//! Burn's CPU backends have them.
//!
//! Ordinary functions on Burn tensors: [`conv2d`] and [`batch_norm_relu`]. On an f32 tensor of a
//! CPU backend whose feature is on (`flex`, `ndarray`) they run the kernels of this crate, and on
//! anything else the plain Burn operations, so a model can call them unconditionally. Gradients
//! flow through either way.
//!
//! Results do not depend on the number of threads: every sum is taken in one fixed order.
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor};
//!
//! let device = Device::flex().autodiff();
//! let x = Tensor::<4>::random([2, 3, 8, 8], Distribution::Default, &device);
//! let weight = Tensor::<4>::random([4, 3, 3, 3], Distribution::Default, &device).require_grad();
//! let y = selfsame_kernels::conv2d(x, weight.clone(), 1, 1);
//! assert_eq!(y.dims(), [2, 4, 8, 8]);
//! assert_eq!(weight.grad(&y.sum().backward()).unwrap().dims(), [4, 3, 3, 3]);
//! ```

mod autodiff;
mod conv;
mod direct;
mod host;
mod norm;
#[cfg_attr(feature = "ndarray", expect(deprecated, reason = "supported until Burn removes it"))]
mod ops;
mod simd;

use burn::backend::{Dispatch, DispatchDevice};
use burn::tensor::activation::relu;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Tensor};

use ops::KernelOps;

/// A 2-D convolution without bias and with a square kernel:
/// `y[n, o, i, j] = Σ_{c, u, v} x[n, c, s·i + u − p, s·j + v − p] · w[o, c, u, v]`.
///
/// - `x`: `[batch, channels_in, height, width]`, `weight`: `[channels_out, channels_in, k, k]`.
/// - `stride` s ≥ 1, `padding` p zeros on all four sides.
/// - returns `[batch, channels_out, (height + 2p − k) / s + 1, (width + 2p − k) / s + 1]`.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let [_, _, kernel, kernel_width] = weight.dims();
    if !has_kernels(&x) || !has_kernels(&weight) || kernel != kernel_width || padding >= kernel {
        return plain_conv2d(x, weight, stride, padding);
    }
    Tensor::from_dispatch(<Dispatch as KernelOps>::kernel_conv2d(
        x.into_dispatch(),
        weight.into_dispatch(),
        stride,
        padding,
    ))
}

fn plain_conv2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
    burn::tensor::module::conv2d(x, weight, None, options)
}

/// What [`batch_norm_relu`] returns.
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// After the ReLU: `[batch, features, height, width]`.
    pub output: Tensor<4>,
    /// Of the batch, without gradient: `[features]`.
    pub mean: Tensor<1>,
    /// Biased, of the batch, without gradient: `[features]`.
    pub variance: Tensor<1>,
}

/// Batch normalisation in train mode (Ioffe & Szegedy, 2015), then the residual if there is one,
/// then ReLU: `relu(γ (x − mean) / √(variance + ε) + β + residual)`, with the batch's own mean and
/// **biased** variance.
///
/// One pass over memory for the statistics, one for the result, and as many backward; the
/// intermediate results are never written.
///
/// - `x` and `residual`: `[batch, features, height, width]`; `weight` γ and `bias` β: `[features]`.
pub fn batch_norm_relu(
    x: Tensor<4>,
    weight: Tensor<1>,
    bias: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
) -> BatchNormOutput {
    if ![&x].into_iter().chain(&residual).all(has_kernels) || !has_kernels(&weight) {
        let out = burn::tensor::module::batch_norm_train(x, weight, bias, epsilon);
        let sum = match residual {
            Some(residual) => out.output + residual,
            None => out.output,
        };
        let (mean, variance) = (out.mean.detach(), out.variance.detach());
        return BatchNormOutput { output: relu(sum), mean, variance };
    }
    let (x, weight, bias) = (x.into_dispatch(), weight.into_dispatch(), bias.into_dispatch());
    let (output, mean, variance) = match residual {
        Some(residual) => {
            let residual = residual.into_dispatch();
            <Dispatch as KernelOps>::kernel_norm_add_relu(x, weight, bias, residual, epsilon)
        }
        None => <Dispatch as KernelOps>::kernel_norm_relu(x, weight, bias, epsilon),
    };
    BatchNormOutput {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// Whether this crate has kernels for the tensor's backend and type.
fn has_kernels<const D: usize>(x: &Tensor<D>) -> bool {
    let cpu = match x.device().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    };
    cpu && x.dtype() == DType::F32
}

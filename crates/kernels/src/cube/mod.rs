//! The kernels on GPUs, for every runtime of CubeCL: CUDA and WGPU among them.
//!
//! Tensors are `[batch, height, width, channels]` and dense, in f32 or a type of 16 bits. Sums,
//! statistics and everything per channel are f32.

mod conv;
mod grid;
mod linear;
mod norm;
mod pool;

use burn::backend::TensorMetadata;
use burn::backend::tensor::FloatTensor;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::{cast, into_contiguous};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::client::Client;
use cubecl::ir::{ElemType, FloatKind};
use cubecl::prelude::*;

use crate::Precision;
use crate::ops::{Conv, KernelOps, Norm, Normalized, Pool, geometry, windows};

/// The tensor in row-major order and without gaps. Copied only if it has another order or gaps.
fn dense(x: CubeTensor) -> CubeTensor {
    into_contiguous(x)
}

/// A dense tensor without values, to write to.
fn empty(like: &CubeTensor, shape: Shape, dtype: DType) -> CubeTensor {
    empty_device_contiguous_dtype(like.client.clone(), like.device.clone(), shape, dtype)
}

/// The element type, as the kernels take it at compile time.
fn element(x: &CubeTensor) -> ElemType {
    elem(x.dtype)
}

fn elem(dtype: DType) -> ElemType {
    ElemType::Float(match dtype {
        DType::BF16 => FloatKind::BF16,
        DType::F16 => FloatKind::F16,
        DType::F64 => FloatKind::F64,
        _ => FloatKind::F32,
    })
}

/// A launch of so many units.
fn elementwise(client: &Client, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, units);
    (calculate_cube_count_elemwise(client, units, dim), dim)
}

/// The tensor in this type.
fn of_type(x: CubeTensor, dtype: DType) -> CubeTensor {
    if x.dtype == dtype { x } else { cast(x, dtype) }
}

/// The tensor in the type that products of this precision read.
fn operand(x: CubeTensor, precision: Precision) -> CubeTensor {
    match precision {
        Precision::F32 => of_type(x, DType::F32),
        Precision::Bf16 => of_type(x, DType::BF16),
    }
}

/// Gradients with respect to x, weight and bias. Those of weight and bias are added to the sums so
/// far.
fn norm_backward(
    dy: CubeTensor,
    x: CubeTensor,
    [weight, bias, mean, variance]: [CubeTensor; 4],
    so_far: Option<[CubeTensor; 2]>,
    norm: &Norm,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let mask = if norm.relu { norm::Mask::Again(bias) } else { norm::Mask::Nothing };
    let saved = norm::Saved { weight, mean, variance, epsilon: norm.epsilon };
    let gradients = norm::backward(dy, x, mask, saved, so_far, false);
    (gradients.x, gradients.weight, gradients.bias)
}

/// [`norm_backward`] for a forward pass with a residual, and the residual's gradient.
fn norm_add_backward(
    dy: CubeTensor,
    [x, y]: [CubeTensor; 2],
    [weight, mean, variance]: [CubeTensor; 3],
    so_far: Option<[CubeTensor; 2]>,
    norm: &Norm,
) -> (CubeTensor, CubeTensor, CubeTensor, CubeTensor) {
    let mask = if norm.relu { norm::Mask::Output(y) } else { norm::Mask::Nothing };
    let saved = norm::Saved { weight, mean, variance, epsilon: norm.epsilon };
    let gradients = norm::backward(dy.clone(), x, mask, saved, so_far, true);
    let residual = gradients.residual.unwrap_or(dy);
    (gradients.x, gradients.weight, gradients.bias, residual)
}

impl KernelOps for CubeBackend {
    fn kernel_operand(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        dense(operand(x, precision))
    }

    fn kernel_filter(weight: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        conv::filter(operand(weight, precision))
    }

    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let g = geometry::<Self>(&x, &weight, conv);
        conv::forward(operand(x, conv.precision), operand(weight, conv.precision), &g)
    }

    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let g = geometry::<Self>(&x, &weight, conv);
        conv::input_gradient(operand(dy, conv.precision), operand(weight, conv.precision), &g)
    }

    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let g = geometry::<Self>(&x, &weight, conv);
        conv::weight_gradient(operand(x, conv.precision), operand(dy, conv.precision), None, &g)
    }

    fn kernel_conv2d_weight_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        so_far: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let g = geometry::<Self>(&x, &weight, conv);
        let (x, dy) = (operand(x, conv.precision), operand(dy, conv.precision));
        conv::weight_gradient(x, dy, Some(so_far), &g)
    }

    fn kernel_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        linear::forward(operand(x, precision), operand(weight, precision))
    }

    fn kernel_linear_input(
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        linear::input_gradient(operand(weight, precision), operand(dy, precision))
    }

    fn kernel_linear_weight(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        linear::weight_gradient(operand(x, precision), operand(dy, precision))
    }

    fn kernel_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        norm: Norm,
    ) -> Normalized<Self> {
        norm::forward(x, [weight, bias], [running_mean, running_variance], None, &norm)
    }

    fn kernel_norm_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        norm: Norm,
    ) -> Normalized<Self> {
        let residual = of_type(residual, x.dtype());
        norm::forward(x, [weight, bias], [running_mean, running_variance], Some(residual), &norm)
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
        norm_backward(dy, x, [weight, bias, mean, variance], None, &norm)
    }

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
        norm_backward(dy, x, [weight, bias, mean, variance], Some([dweight, dbias]), &norm)
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
        norm_add_backward(dy, [x, y], [weight, mean, variance], None, &norm)
    }

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
        norm_add_backward(dy, [x, y], [weight, mean, variance], Some([dweight, dbias]), &norm)
    }

    fn kernel_scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        norm::scale_shift(x, scale, shift, None, relu)
    }

    fn kernel_scale_shift_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let residual = of_type(residual, x.dtype());
        norm::scale_shift(x, scale, shift, Some(residual), relu)
    }

    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        pool::mean(x)
    }

    fn kernel_mean_pool_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        pool::mean_gradient(&x, dy)
    }

    fn kernel_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let windows = windows::<Self>(&x, pool);
        pool::largest(x, &windows)
    }

    fn kernel_max_pool_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        pool: Pool,
    ) -> FloatTensor<Self> {
        let windows = windows::<Self>(&x, pool);
        pool::largest_gradient(x, dy, &windows)
    }
}

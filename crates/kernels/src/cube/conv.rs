//! Convolutions of `[batch, height, width, channels]` with weights `[out, in, k, k]`. In memory,
//! the weights of one tap have their input channels next to each other.
//!
//! On tensor cores, convolutions are `cubek`'s implicit matrix products. These read the tensors in
//! place. If a device has no tensor cores, or `cubek` has no kernel for a shape, the plain kernels
//! below are used.

use burn::backend::ops::FloatTensorOps;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::conv::{ConvStrategy, conv_forward_nhwc};
use burn_cubecl::ops::{permute_nchw_to_nhwc, permute_nhwc_to_nchw};
use burn_cubecl::tensor::CubeTensor;
use cubecl::calculate_cube_count_elemwise;
use cubecl::prelude::*;
use cubek::convolution::{
    AcceleratedTileKind, ConvAlgorithm, ConvolutionArgs, ConvolutionInputs, Strategy, launch_ref,
};
use cubek::matmul::definition::{MatmulElems, MatmulGlobalElems};
use cubek::std::InputBinding;

use super::grid::{buffer, previous_power_of_two, sum_over_rows, units, value_or_zero, vector};
use super::{dense, element, elementwise, empty};
use crate::conv::Geometry;

/// `[batch, height_out, width_out, channels_out]` in the type of `x`.
pub fn forward(x: CubeTensor, weight: CubeTensor, g: &Geometry) -> CubeTensor {
    let (x, weight) = (dense(x), channels_last(weight));
    let dims = [g.batch, g.height_out(), g.width_out(), g.channels_out];
    let y = empty(&x, Shape::new(dims), x.dtype);
    let launched = product([&x, &weight, &y], arguments(g, g.stride), |[input, weight], out| {
        ConvolutionInputs::Forward { input, weight, bias: None, out }
    });
    if launched {
        return y;
    }
    let options = ConvOptions::new([g.stride; 2], [g.padding; 2], [1; 2], 1);
    // Burn's direct kernel takes every shape.
    conv_forward_nhwc(x, weight, None, options, ConvStrategy::Direct)
        .expect("the direct kernel has no conditions")
}

/// Gradient with respect to the input, `[batch, height, width, channels_in]` in the type of `dy`.
pub fn input_gradient(dy: CubeTensor, weight: CubeTensor, g: &Geometry) -> CubeTensor {
    let (dy, weight) = (dense(dy), channels_last(weight));
    let dx = empty(&dy, Shape::new([g.batch, g.height, g.width, g.channels_in]), dy.dtype);
    if has_tensor_cores(&dy) {
        // `cubek`'s input gradient has no stride. So zeros go between the rows of `dy`.
        let spread = if g.stride == 1 { dy.clone() } else { spread(&dy, g) };
        let operands = [&spread, &weight, &dx];
        let launched = product(operands, arguments(g, 1), |[out_grad, weights], in_grad| {
            ConvolutionInputs::BackwardData { out_grad, weights, in_grad }
        });
        if launched {
            return dx;
        }
    }
    let vector = vector(&dy.client, g.channels_in, dy.elem_size());
    let (count, dim) = elementwise(&dy.client, dx.meta.num_elements() / vector);
    input_gradient_kernel::launch(
        &dy.client,
        count,
        dim,
        vector,
        buffer(&dy),
        buffer(&weight),
        buffer(&dx),
        sizes(g, vector),
        element(&dy),
    );
    dx
}

/// Gradient with respect to the weight, `[out, in, k, k]` in f32, added to the sum so far. In
/// memory it has the order in which the kernels read weights.
pub fn weight_gradient(
    x: CubeTensor,
    dy: CubeTensor,
    so_far: Option<CubeTensor>,
    g: &Geometry,
) -> CubeTensor {
    let (x, dy) = (dense(x), dense(dy));
    let dims = [g.channels_out, g.kernel, g.kernel, g.channels_in];
    let dw = empty(&x, Shape::new(dims), DType::F32);
    let operands = [&x, &dy, &dw];
    let launched = product(operands, arguments(g, g.stride), |[input, out_grad], weight_grad| {
        ConvolutionInputs::BackwardWeight { input, out_grad, weight_grad }
    });
    if launched {
        let dw = permute_nhwc_to_nchw(dw);
        // The products cannot add to a sum.
        return match so_far {
            Some(so_far) => CubeBackend::float_add(dw, so_far),
            None => dw,
        };
    }
    let so_far = so_far.map(channels_last);
    let vector = vector(&x.client, g.channels_in, x.elem_size());
    let columns = dw.meta.num_elements() / vector;
    // There are few weights and many positions to sum over. So several units of a cube share the
    // positions of one weight. The other units of the cube read neighbouring weights.
    let shares = UNITS_TO_FILL.div_ceil(columns).min(g.batch).max(1);
    let units = previous_power_of_two(units(&x.client));
    let lanes = LANES.min(g.channels_in / vector);
    let rows = previous_power_of_two(shares.min(units.div_ceil(lanes)));
    let dim = CubeDim::new_2d((units / rows) as u32, rows as u32);
    weight_gradient_kernel::launch(
        &x.client,
        calculate_cube_count_elemwise(&x.client, columns * rows, dim),
        dim,
        vector,
        buffer(&x),
        buffer(&dy),
        so_far.as_ref().map(buffer).into(),
        buffer(&dw),
        sizes(g, vector),
        g.batch,
        units,
        rows,
        element(&x),
    );
    permute_nhwc_to_nchw(dw)
}

/// The least number of weight vectors in a cube, unless one tap has fewer.
const LANES: usize = 8;

/// Units that keep a GPU busy.
const UNITS_TO_FILL: usize = 1 << 16;

/// The same weight, `[out, in, k, k]`, in memory in the order in which the kernels read it.
pub fn filter(weight: CubeTensor) -> CubeTensor {
    permute_nhwc_to_nchw(channels_last(weight))
}

/// `[out, in, k, k]` → `[out, k, k, in]`, dense. Copied only if memory has another order.
fn channels_last(weight: CubeTensor) -> CubeTensor {
    dense(permute_nchw_to_nhwc(weight))
}

fn arguments(g: &Geometry, stride: usize) -> ConvolutionArgs<2> {
    ConvolutionArgs { stride: [stride; 2], padding: [g.padding; 2], dilation: [1; 2] }
}

/// Whether the device has instructions for matrix products.
fn has_tensor_cores(x: &CubeTensor) -> bool {
    let features = &x.client.properties().features.matmul;
    !features.cmma.is_empty() || !features.mma.is_empty()
}

/// Kernels for matrix products on tensor cores, in the order of trial. The order is not measured
/// yet. Only a trial shows whether a device has a kernel for a shape.
const PRODUCTS: [(ConvAlgorithm, AcceleratedTileKind); 4] = [
    (ConvAlgorithm::SimpleAsyncStrided, AcceleratedTileKind::Mma),
    (ConvAlgorithm::SimpleSyncStrided, AcceleratedTileKind::Mma),
    (ConvAlgorithm::SimpleAsyncCyclic, AcceleratedTileKind::Cmma),
    (ConvAlgorithm::SimpleSyncCyclic, AcceleratedTileKind::Cmma),
];

/// Launches the first of [`PRODUCTS`] that the device has for these tensors; `false` if there is
/// none.
fn product(
    [lhs, rhs, out]: [&CubeTensor; 3],
    arguments: ConvolutionArgs<2>,
    inputs: impl Fn([InputBinding; 2], TensorBinding) -> ConvolutionInputs,
) -> bool {
    if !has_tensor_cores(lhs) {
        return false;
    }
    let types = MatmulGlobalElems { lhs: element(lhs), rhs: element(rhs), out: element(out) };
    let dtypes = MatmulElems::from_globals(&types);
    let input = |x: &CubeTensor| InputBinding::new(x.clone().binding(), element(x));
    PRODUCTS.into_iter().any(|(algorithm, tile_kind)| {
        let strategy = Strategy::Inferred { algorithm, tile_kind };
        let inputs = inputs([input(lhs), input(rhs)], out.clone().binding());
        launch_ref(&strategy, &lhs.client, inputs, arguments.clone(), dtypes.clone()).is_ok()
    })
}

/// `dy` as if the stride were 1: zeros where no output was computed.
fn spread(dy: &CubeTensor, g: &Geometry) -> CubeTensor {
    let side = |side: usize| side + 2 * g.padding - g.kernel + 1;
    let (height, width) = (side(g.height), side(g.width));
    let spread = empty(dy, Shape::new([g.batch, height, width, g.channels_out]), dy.dtype);
    let vector = vector(&dy.client, g.channels_out, dy.elem_size());
    let (count, dim) = elementwise(&dy.client, spread.meta.num_elements() / vector);
    spread_kernel::launch(
        &dy.client,
        count,
        dim,
        vector,
        buffer(dy),
        buffer(&spread),
        height,
        width,
        sizes(&Geometry { channels_out: g.channels_out / vector, ..*g }, 1),
        element(dy),
    );
    spread
}

/// The sizes of a convolution for the kernels. Input channels are in vectors.
#[derive(CubeLaunch, CubeType)]
struct Sizes {
    height: usize,
    width: usize,
    height_out: usize,
    width_out: usize,
    columns_in: usize,
    channels_out: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

fn sizes(g: &Geometry, vector: usize) -> SizesLaunch {
    SizesLaunch::new(
        g.height,
        g.width,
        g.height_out(),
        g.width_out(),
        g.channels_in / vector,
        g.channels_out,
        g.kernel,
        g.stride,
        g.padding,
    )
}

#[cube(launch)]
fn spread_kernel<F: Float, N: Size>(
    dy: &[Vector<F, N>],
    spread: &mut [Vector<F, N>],
    height: usize,
    width: usize,
    sizes: Sizes,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < spread.len() {
        let column = ABSOLUTE_POS % sizes.channels_out;
        let place = ABSOLUTE_POS / sizes.channels_out;
        let j = place % width;
        let i = place / width % height;
        let image = place / width / height;
        let (row, left) = (i / sizes.stride, j / sizes.stride);
        let there = row * sizes.stride == i && left * sizes.stride == j;
        let mut value = Vector::<F, N>::new(F::new(0.0));
        if there && row < sizes.height_out && left < sizes.width_out {
            let at = (image * sizes.height_out + row) * sizes.width_out + left;
            value = dy[at * sizes.channels_out + column];
        }
        spread[ABSOLUTE_POS] = value;
    }
}

/// One unit for each vector of an input position. It sums over the outputs that have seen the
/// position.
#[cube(launch)]
fn input_gradient_kernel<F: Float, N: Size>(
    dy: &[F],
    weight: &[Vector<F, N>],
    dx: &mut [Vector<F, N>],
    sizes: Sizes,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < dx.len() {
        let column = ABSOLUTE_POS % sizes.columns_in;
        let place = ABSOLUTE_POS / sizes.columns_in;
        let j = place % sizes.width + sizes.padding;
        let i = place / sizes.width % sizes.height + sizes.padding;
        let image = place / sizes.width / sizes.height;
        let mut sum = Vector::<f32, N>::new(0.0);
        for u in 0..sizes.kernel {
            // Before the first output, the subtraction wraps around to a place beyond the last.
            let row = (i - u) / sizes.stride;
            if row < sizes.height_out && row * sizes.stride + u == i {
                for v in 0..sizes.kernel {
                    let left = (j - v) / sizes.stride;
                    if left < sizes.width_out && left * sizes.stride + v == j {
                        let output = (image * sizes.height_out + row) * sizes.width_out + left;
                        let tap = (u * sizes.kernel + v) * sizes.columns_in + column;
                        let taps = sizes.kernel * sizes.kernel * sizes.columns_in;
                        for channel in 0..sizes.channels_out {
                            let dy = f32::cast_from(dy[output * sizes.channels_out + channel]);
                            let weight = Vector::<f32, N>::cast_from(weight[channel * taps + tap]);
                            sum += Vector::new(dy) * weight;
                        }
                    }
                }
            }
        }
        dx[ABSOLUTE_POS] = Vector::cast_from(sum);
    }
}

/// One unit for each vector of weights and each share of the batch. The first unit of a weight
/// writes the sum of the shares.
#[cube(launch)]
fn weight_gradient_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    dy: &[F],
    so_far: ComptimeOption<&[Vector<f32, N>]>,
    dw: &mut [Vector<f32, N>],
    sizes: Sizes,
    batch: usize,
    #[comptime] units: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let lanes = comptime!(units / rows);
    let at = CUBE_POS * lanes + UNIT_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0);
    if at < dw.len() {
        let column = at % sizes.columns_in;
        let rest = at / sizes.columns_in;
        let v = rest % sizes.kernel;
        let rest = rest / sizes.kernel;
        let u = rest % sizes.kernel;
        let channel = rest / sizes.kernel;
        let mut image = UNIT_POS_Y as usize;
        while image < batch {
            for row in 0..sizes.height_out {
                let i = row * sizes.stride + u - sizes.padding;
                if i < sizes.height {
                    for left in 0..sizes.width_out {
                        let j = left * sizes.stride + v - sizes.padding;
                        if j < sizes.width {
                            let output = (image * sizes.height_out + row) * sizes.width_out + left;
                            let dy = f32::cast_from(dy[output * sizes.channels_out + channel]);
                            let seen = (image * sizes.height + i) * sizes.width + j;
                            let x = x[seen * sizes.columns_in + column];
                            sum += Vector::new(dy) * Vector::<f32, N>::cast_from(x);
                        }
                    }
                }
            }
            image += rows;
        }
    }
    let sum = sum_over_rows::<N>(sum, units, rows);
    if UNIT_POS_Y == 0 && at < dw.len() {
        dw[at] = sum + value_or_zero::<f32, N>(&so_far, at);
    }
}

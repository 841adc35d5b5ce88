//! Batch norm, residual addition and ReLU: one pass over memory for the statistics and one for the
//! result. Backward there are two passes, too.

use burn::tensor::{DType, Shape};
use burn_cubecl::CubeBackend;
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::grid::{Grid, buffer, sum_over_rows, value_or_zero};
use super::{dense, element, empty, of_type};
use crate::ops::{Norm, Normalized, unbias};

/// Sums of one pass, `[parts, 2, channels]`: two vectors of channels for each cube along the
/// positions.
struct Partial {
    sums: CubeTensor,
    grid: Grid,
}

/// The data of the forward pass for the backward pass.
pub struct Saved {
    pub weight: CubeTensor,
    pub mean: CubeTensor,
    pub variance: CubeTensor,
    pub epsilon: f64,
}

/// The places where the gradient of ReLU is 0.
pub enum Mask {
    /// There is no ReLU.
    Nothing,
    /// The places where this output is not above 0.
    Output(CubeTensor),
    /// The places where the output is not above 0. It is computed again with this bias.
    Again(CubeTensor),
}

/// Gradients with respect to the input, γ, β and, if wanted, the residual.
pub struct Gradients {
    pub x: CubeTensor,
    pub weight: CubeTensor,
    pub bias: CubeTensor,
    pub residual: Option<CubeTensor>,
}

/// Output, mean and biased variance of the batch, and the new running mean and variance.
pub fn forward(
    x: CubeTensor,
    affine: [CubeTensor; 2],
    running: [CubeTensor; 2],
    residual: Option<CubeTensor>,
    norm: &Norm,
) -> Normalized<CubeBackend> {
    let x = dense(x);
    let ([weight, bias], [running_mean, running_variance]) =
        (affine.map(dense), running.map(dense));
    let residual = residual.map(dense);
    let Partial { sums, grid } = moments(&x);
    let y = like(&x);
    let [mean, variance, new_mean, new_variance] = std::array::from_fn(|_| channels(&x));
    normalize::launch(
        &x.client,
        grid.cube_count(),
        grid.cube_dim(),
        grid.vector,
        buffer(&x),
        buffer(&sums),
        buffer(&weight),
        buffer(&bias),
        residual.as_ref().map(buffer).into(),
        buffer(&running_mean),
        buffer(&running_variance),
        buffer(&y),
        buffer(&mean),
        buffer(&variance),
        buffer(&new_mean),
        buffer(&new_variance),
        grid.positions,
        grid.columns,
        norm.epsilon as f32,
        norm.momentum as f32,
        unbias(grid.positions) as f32,
        norm.relu,
        grid.units(),
        grid.rows,
        element(&x),
    );
    (y, mean, variance, new_mean, new_variance)
}

/// All gradients, from the gradient `dy` of the output. Those of γ and β are added to the sums so
/// far.
pub fn backward(
    dy: CubeTensor,
    x: CubeTensor,
    mask: Mask,
    saved: Saved,
    so_far: Option<[CubeTensor; 2]>,
    with_residual: bool,
) -> Gradients {
    let (dy, x) = (dense(of_type(dy, x.dtype)), dense(x));
    let Saved { weight, mean, variance, epsilon } = saved;
    let (output, bias, masked) = match mask {
        Mask::Nothing => (None, None, Masked::Nothing),
        Mask::Output(y) => (Some(dense(y)), None, Masked::Output),
        Mask::Again(bias) => (None, Some(dense(bias)), Masked::Again),
    };
    let grid = grid(&x);
    let sums = partial(&x, &grid);
    gradient_sums::launch(
        &x.client,
        grid.cube_count(),
        grid.cube_dim(),
        grid.vector,
        buffer(&dy),
        buffer(&x),
        output.as_ref().map(buffer).into(),
        bias.as_ref().map(buffer).into(),
        buffer(&weight),
        buffer(&mean),
        buffer(&variance),
        buffer(&sums),
        grid.positions,
        grid.columns,
        epsilon as f32,
        masked,
        grid.units(),
        grid.rows,
        element(&x),
    );
    let dx = like(&x);
    let (dweight, dbias) = (channels(&x), channels(&x));
    let (dweight_so_far, dbias_so_far): (Option<CubeTensor>, Option<CubeTensor>) =
        so_far.map(|sums| sums.map(dense).into()).unzip();
    // Without ReLU, the gradient of the residual is `dy` itself.
    let dresidual = (with_residual && masked != Masked::Nothing).then(|| like(&x));
    input_gradient::launch(
        &x.client,
        grid.cube_count(),
        grid.cube_dim(),
        grid.vector,
        buffer(&dy),
        buffer(&x),
        output.as_ref().map(buffer).into(),
        bias.as_ref().map(buffer).into(),
        buffer(&weight),
        buffer(&mean),
        buffer(&variance),
        buffer(&sums),
        buffer(&dx),
        buffer(&dweight),
        buffer(&dbias),
        dresidual.as_ref().map(buffer).into(),
        dweight_so_far.as_ref().map(buffer).into(),
        dbias_so_far.as_ref().map(buffer).into(),
        grid.positions,
        grid.columns,
        epsilon as f32,
        masked,
        grid.units(),
        grid.rows,
        element(&x),
    );
    let residual = with_residual.then(|| dresidual.unwrap_or(dy));
    Gradients { x: dx, weight: dweight, bias: dbias, residual }
}

/// `scale · x + shift + residual`, then ReLU if wanted.
pub fn scale_shift(
    x: CubeTensor,
    scale: CubeTensor,
    shift: CubeTensor,
    residual: Option<CubeTensor>,
    relu: bool,
) -> CubeTensor {
    let (x, scale, shift) = (dense(x), dense(scale), dense(shift));
    let residual = residual.map(dense);
    let (grid, y) = (grid(&x), like(&x));
    scaled::launch(
        &x.client,
        grid.cube_count(),
        grid.cube_dim(),
        grid.vector,
        buffer(&x),
        buffer(&scale),
        buffer(&shift),
        residual.as_ref().map(buffer).into(),
        buffer(&y),
        grid.positions,
        grid.columns,
        relu,
        element(&x),
    );
    y
}

fn moments(x: &CubeTensor) -> Partial {
    let grid = grid(x);
    let sums = partial(x, &grid);
    shifted_sums::launch(
        &x.client,
        grid.cube_count(),
        grid.cube_dim(),
        grid.vector,
        buffer(x),
        buffer(&sums),
        grid.positions,
        grid.columns,
        grid.units(),
        grid.rows,
        element(x),
    );
    Partial { sums, grid }
}

fn grid(x: &CubeTensor) -> Grid {
    let channels = x.meta.shape()[3];
    Grid::new(&x.client, x.meta.num_elements() / channels, channels, x.elem_size())
}

fn like(x: &CubeTensor) -> CubeTensor {
    empty(x, x.meta.shape().clone(), x.dtype)
}

/// A value per channel.
fn channels(x: &CubeTensor) -> CubeTensor {
    empty(x, Shape::new([x.meta.shape()[3]]), DType::F32)
}

fn partial(x: &CubeTensor, grid: &Grid) -> CubeTensor {
    empty(x, Shape::new([grid.parts, 2, grid.columns * grid.vector]), DType::F32)
}

/// The kind of [`Mask`] that a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, CubeType)]
pub enum Masked {
    Nothing,
    Output,
    Again,
}

/// For each part, the sums of `x − s` and `(x − s)²`. The shift s is the channel's first value. If
/// the mean is large, squares about 0 would lose the variance in rounding.
#[cube(launch)]
fn shifted_sums<F: Float, N: Size>(
    x: &[Vector<F, N>],
    sums: &mut [Vector<f32, N>],
    positions: usize,
    columns: usize,
    #[comptime] units: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut squares = Vector::<f32, N>::new(0.0);
    if column < columns {
        let shift = Vector::<f32, N>::cast_from(x[column]);
        let step = rows * CUBE_COUNT_Y as usize;
        let mut position = ABSOLUTE_POS_Y as usize;
        while position < positions {
            let apart = Vector::<f32, N>::cast_from(x[position * columns + column]) - shift;
            sum += apart;
            squares += apart * apart;
            position += step;
        }
    }
    write_sums::<N>(sums, sum, squares, column, columns, units, rows);
}

#[cube]
fn write_sums<N: Size>(
    sums: &mut [Vector<f32, N>],
    first: Vector<f32, N>,
    second: Vector<f32, N>,
    column: usize,
    columns: usize,
    #[comptime] units: usize,
    #[comptime] rows: usize,
) {
    let first = sum_over_rows::<N>(first, units, rows);
    let second = sum_over_rows::<N>(second, units, rows);
    if UNIT_POS_Y == 0 && column < columns {
        let at = CUBE_POS_Y as usize * 2 * columns + column;
        sums[at] = first;
        sums[at + columns] = second;
    }
}

/// The sum over all parts of the first or the second kind of sums.
#[cube]
fn total<N: Size>(
    sums: &[Vector<f32, N>],
    column: usize,
    columns: usize,
    #[comptime] kind: usize,
    #[comptime] units: usize,
    #[comptime] rows: usize,
) -> Vector<f32, N> {
    let mut sum = Vector::<f32, N>::new(0.0);
    if column < columns {
        let mut part = UNIT_POS_Y as usize;
        while part < CUBE_COUNT_Y as usize {
            sum += sums[(part * 2 + kind) * columns + column];
            part += rows;
        }
    }
    sum_over_rows::<N>(sum, units, rows)
}

#[cube]
fn inverse_deviation<N: Size>(variance: Vector<f32, N>, epsilon: f32) -> Vector<f32, N> {
    Vector::new(1.0) / (variance + Vector::new(epsilon)).sqrt()
}

#[cube]
fn rectified<N: Size>(y: Vector<f32, N>, #[comptime] relu: bool) -> Vector<f32, N> {
    let zero = Vector::<f32, N>::new(0.0);
    // NaN is not below 0. So it stays.
    if relu { select_many(y.less_than(&zero), zero, y) } else { y }
}

#[cube(launch)]
fn normalize<F: Float, N: Size>(
    x: &[Vector<F, N>],
    sums: &[Vector<f32, N>],
    weight: &[Vector<f32, N>],
    bias: &[Vector<f32, N>],
    residual: ComptimeOption<&[Vector<F, N>]>,
    running_mean: &[Vector<f32, N>],
    running_variance: &[Vector<f32, N>],
    y: &mut [Vector<F, N>],
    mean: &mut [Vector<f32, N>],
    variance: &mut [Vector<f32, N>],
    new_mean: &mut [Vector<f32, N>],
    new_variance: &mut [Vector<f32, N>],
    positions: usize,
    columns: usize,
    epsilon: f32,
    momentum: f32,
    unbias: f32,
    #[comptime] relu: bool,
    #[comptime] units: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let count = Vector::<f32, N>::new(f32::cast_from(positions));
    let apart = total::<N>(sums, column, columns, 0usize, units, rows) / count;
    let squares = total::<N>(sums, column, columns, 1usize, units, rows) / count;
    if column < columns {
        // Rounding can make a zero variance negative.
        let zero = Vector::<f32, N>::new(0.0);
        let spread = squares - apart * apart;
        let spread = select_many(spread.less_than(&zero), zero, spread);
        let center = Vector::<f32, N>::cast_from(x[column]) + apart;
        let scale = weight[column] * inverse_deviation::<N>(spread, epsilon);
        let shift = bias[column] - center * scale;
        if ABSOLUTE_POS_Y == 0 {
            mean[column] = center;
            variance[column] = spread;
            let taken = Vector::<f32, N>::new(momentum);
            let kept = Vector::<f32, N>::new(1.0 - momentum);
            new_mean[column] = kept * running_mean[column] + taken * center;
            let unbiased = spread * Vector::new(unbias);
            new_variance[column] = kept * running_variance[column] + taken * unbiased;
        }
        let step = rows * CUBE_COUNT_Y as usize;
        let mut position = ABSOLUTE_POS_Y as usize;
        while position < positions {
            let at = position * columns + column;
            let added = value_or_zero::<F, N>(&residual, at);
            let value = Vector::<f32, N>::cast_from(x[at]) * scale + shift + added;
            y[at] = Vector::cast_from(rectified::<N>(value, relu));
            position += step;
        }
    }
}

#[cube(launch)]
fn scaled<F: Float, N: Size>(
    x: &[Vector<F, N>],
    scale: &[Vector<f32, N>],
    shift: &[Vector<f32, N>],
    residual: ComptimeOption<&[Vector<F, N>]>,
    y: &mut [Vector<F, N>],
    positions: usize,
    columns: usize,
    #[comptime] relu: bool,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    if column < columns {
        let step = CUBE_DIM_Y as usize * CUBE_COUNT_Y as usize;
        let mut position = ABSOLUTE_POS_Y as usize;
        while position < positions {
            let at = position * columns + column;
            let added = value_or_zero::<F, N>(&residual, at);
            let value = Vector::<f32, N>::cast_from(x[at]) * scale[column] + shift[column] + added;
            y[at] = Vector::cast_from(rectified::<N>(value, relu));
            position += step;
        }
    }
}

/// The gradient of the output if ReLU let it through, else 0.
#[cube]
fn unmasked<F: Float, N: Size>(
    dy: &[Vector<F, N>],
    output: &ComptimeOption<&[Vector<F, N>]>,
    value: Vector<f32, N>,
    at: usize,
    #[comptime] masked: Masked,
) -> Vector<f32, N> {
    let dy = Vector::<f32, N>::cast_from(dy[at]);
    let zero = Vector::<f32, N>::new(0.0);
    match masked {
        Masked::Nothing => dy,
        Masked::Output => {
            let y = value_or_zero::<F, N>(output, at);
            select_many(y.greater_than(&zero), dy, zero)
        }
        Masked::Again => select_many(value.greater_than(&zero), dy, zero),
    }
}

/// For each part, the sums of `g` and `g x̂`. Here g is the gradient that ReLU let through, and x̂
/// is the normalised input.
#[cube(launch)]
fn gradient_sums<F: Float, N: Size>(
    dy: &[Vector<F, N>],
    x: &[Vector<F, N>],
    output: ComptimeOption<&[Vector<F, N>]>,
    bias: ComptimeOption<&[Vector<f32, N>]>,
    weight: &[Vector<f32, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    sums: &mut [Vector<f32, N>],
    positions: usize,
    columns: usize,
    epsilon: f32,
    #[comptime] masked: Masked,
    #[comptime] units: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let mut sum = Vector::<f32, N>::new(0.0);
    let mut products = Vector::<f32, N>::new(0.0);
    if column < columns {
        let center = mean[column];
        let inverse = inverse_deviation::<N>(variance[column], epsilon);
        let scale = weight[column] * inverse;
        let shift = shift::<N>(&bias, center, scale, column);
        let step = rows * CUBE_COUNT_Y as usize;
        let mut position = ABSOLUTE_POS_Y as usize;
        while position < positions {
            let at = position * columns + column;
            let x = Vector::<f32, N>::cast_from(x[at]);
            let g = unmasked::<F, N>(dy, &output, x * scale + shift, at, masked);
            sum += g;
            products += g * (x - center) * inverse;
            position += step;
        }
    }
    write_sums::<N>(sums, sum, products, column, columns, units, rows);
}

/// The shift of the normalisation. With it the output can be computed again.
#[cube]
fn shift<N: Size>(
    bias: &ComptimeOption<&[Vector<f32, N>]>,
    center: Vector<f32, N>,
    scale: Vector<f32, N>,
    column: usize,
) -> Vector<f32, N> {
    value_or_zero::<f32, N>(bias, column) - center * scale
}

/// Writes `γ / σ · (g − mean(g) − x̂ · mean(g x̂))`. Also writes the sums, which are the gradients
/// of β and γ, added to the sums so far.
#[cube(launch)]
fn input_gradient<F: Float, N: Size>(
    dy: &[Vector<F, N>],
    x: &[Vector<F, N>],
    output: ComptimeOption<&[Vector<F, N>]>,
    bias: ComptimeOption<&[Vector<f32, N>]>,
    weight: &[Vector<f32, N>],
    mean: &[Vector<f32, N>],
    variance: &[Vector<f32, N>],
    sums: &[Vector<f32, N>],
    dx: &mut [Vector<F, N>],
    dweight: &mut [Vector<f32, N>],
    dbias: &mut [Vector<f32, N>],
    mut dresidual: ComptimeOption<&mut [Vector<F, N>]>,
    dweight_so_far: ComptimeOption<&[Vector<f32, N>]>,
    dbias_so_far: ComptimeOption<&[Vector<f32, N>]>,
    positions: usize,
    columns: usize,
    epsilon: f32,
    #[comptime] masked: Masked,
    #[comptime] units: usize,
    #[comptime] rows: usize,
    #[define(F)] _dtype: ElemType,
) {
    let column = ABSOLUTE_POS_X as usize;
    let sum = total::<N>(sums, column, columns, 0usize, units, rows);
    let products = total::<N>(sums, column, columns, 1usize, units, rows);
    if column < columns {
        if ABSOLUTE_POS_Y == 0 {
            dbias[column] = sum + value_or_zero::<f32, N>(&dbias_so_far, column);
            dweight[column] = products + value_or_zero::<f32, N>(&dweight_so_far, column);
        }
        let count = Vector::<f32, N>::new(f32::cast_from(positions));
        let (sum, products) = (sum / count, products / count);
        let center = mean[column];
        let inverse = inverse_deviation::<N>(variance[column], epsilon);
        let scale = weight[column] * inverse;
        let shift = shift::<N>(&bias, center, scale, column);
        let step = rows * CUBE_COUNT_Y as usize;
        let mut position = ABSOLUTE_POS_Y as usize;
        while position < positions {
            let at = position * columns + column;
            let x = Vector::<f32, N>::cast_from(x[at]);
            let g = unmasked::<F, N>(dy, &output, x * scale + shift, at, masked);
            let normalized = (x - center) * inverse;
            dx[at] = Vector::cast_from(scale * (g - sum - normalized * products));
            #[comptime]
            if let ComptimeOption::Some(dresidual) = &mut dresidual {
                dresidual[at] = Vector::cast_from(g);
            }
            position += step;
        }
    }
}

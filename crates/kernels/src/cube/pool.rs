//! Pooling over `[batch, height, width, channels]`.

use burn::tensor::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

use super::grid::{buffer, vector};
use super::{dense, element, elementwise, empty, of_type};
use crate::ops::Pool;
use crate::pool::Windows;

/// The mean over height and width, `[batch, channels]` in f32.
pub fn mean(x: CubeTensor) -> CubeTensor {
    let x = dense(x);
    let [batch, height, width, channels] = x.meta.shape().dims();
    let vector = vector(&x.client, channels, x.elem_size());
    let y = empty(&x, Shape::new([batch, channels]), DType::F32);
    let (count, dim) = elementwise(&x.client, batch * channels / vector);
    mean_kernel::launch(
        &x.client,
        count,
        dim,
        vector,
        buffer(&x),
        buffer(&y),
        height * width,
        channels / vector,
        element(&x),
    );
    y
}

/// Gradient of [`mean`] with respect to an input like `x`.
pub fn mean_gradient(x: &CubeTensor, dy: CubeTensor) -> CubeTensor {
    let dy = dense(of_type(dy, DType::F32));
    let [_, height, width, channels] = x.meta.shape().dims();
    let vector = vector(&x.client, channels, x.elem_size());
    let dx = empty(x, x.meta.shape().clone(), x.dtype);
    let (count, dim) = elementwise(&x.client, x.meta.num_elements() / vector);
    mean_gradient_kernel::launch(
        &x.client,
        count,
        dim,
        vector,
        buffer(&dy),
        buffer(&dx),
        height * width,
        channels / vector,
        element(x),
    );
    dx
}

/// The largest value of each window.
pub fn largest(x: CubeTensor, w: &Windows) -> CubeTensor {
    let x = dense(x);
    let vector = vector(&x.client, w.channels, x.elem_size());
    let dims = [w.batch, w.height_out(), w.width_out(), w.channels];
    let y = empty(&x, Shape::new(dims), x.dtype);
    let (count, dim) = elementwise(&x.client, y.meta.num_elements() / vector);
    largest_kernel::launch(
        &x.client,
        count,
        dim,
        vector,
        buffer(&x),
        buffer(&y),
        sizes(w, vector),
        element(&x),
    );
    y
}

/// Gradient of [`largest`]. In each window it goes to the first of the largest values.
pub fn largest_gradient(x: CubeTensor, dy: CubeTensor, w: &Windows) -> CubeTensor {
    let (dy, x) = (dense(of_type(dy, x.dtype)), dense(x));
    let dx = empty(&x, x.meta.shape().clone(), x.dtype);
    let (count, dim) = elementwise(&x.client, x.meta.num_elements());
    largest_gradient_kernel::launch(
        &x.client,
        count,
        dim,
        buffer(&x),
        buffer(&dy),
        buffer(&dx),
        sizes(w, 1),
        element(&x),
    );
    dx
}

/// The sizes of the windows for the kernels. Channels are counted in vectors.
#[derive(CubeLaunch, CubeType)]
struct Sizes {
    height: usize,
    width: usize,
    channels: usize,
    height_out: usize,
    width_out: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

fn sizes(w: &Windows, vector: usize) -> SizesLaunch {
    let Pool { kernel, stride, padding } = w.pool;
    let channels = w.channels / vector;
    let (height_out, width_out) = (w.height_out(), w.width_out());
    SizesLaunch::new(w.height, w.width, channels, height_out, width_out, kernel, stride, padding)
}

#[cube(launch)]
fn mean_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    y: &mut [Vector<f32, N>],
    pixels: usize,
    columns: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < y.len() {
        let image = ABSOLUTE_POS / columns;
        let column = ABSOLUTE_POS % columns;
        let mut sum = Vector::<f32, N>::new(0.0);
        for pixel in 0..pixels {
            sum += Vector::<f32, N>::cast_from(x[(image * pixels + pixel) * columns + column]);
        }
        y[ABSOLUTE_POS] = sum / Vector::new(f32::cast_from(pixels));
    }
}

#[cube(launch)]
fn mean_gradient_kernel<F: Float, N: Size>(
    dy: &[Vector<f32, N>],
    dx: &mut [Vector<F, N>],
    pixels: usize,
    columns: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < dx.len() {
        let image = ABSOLUTE_POS / columns / pixels;
        let column = ABSOLUTE_POS % columns;
        let share = Vector::<f32, N>::new(1.0 / f32::cast_from(pixels));
        dx[ABSOLUTE_POS] = Vector::cast_from(dy[image * columns + column] * share);
    }
}

/// The first position along a side that window `i` sees.
#[cube]
fn first_seen(i: usize, sizes: &Sizes) -> usize {
    let start = i * sizes.stride;
    if start > sizes.padding { start - sizes.padding } else { 0usize.runtime() }
}

/// The position after the last one that window `i` sees.
#[cube]
fn seen_until(i: usize, side: usize, sizes: &Sizes) -> usize {
    min(i * sizes.stride + sizes.kernel - sizes.padding, side)
}

#[cube(launch)]
fn largest_kernel<F: Float, N: Size>(
    x: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    sizes: Sizes,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < y.len() {
        let column = ABSOLUTE_POS % sizes.channels;
        let place = ABSOLUTE_POS / sizes.channels;
        let left = place % sizes.width_out;
        let top = place / sizes.width_out % sizes.height_out;
        let image = place / sizes.width_out / sizes.height_out * sizes.height;
        let (first_row, first_column) = (first_seen(top, &sizes), first_seen(left, &sizes));
        let at = ((image + first_row) * sizes.width + first_column) * sizes.channels + column;
        let mut largest = x[at];
        for i in first_row..seen_until(top, sizes.height, &sizes) {
            for j in first_column..seen_until(left, sizes.width, &sizes) {
                let value = x[((image + i) * sizes.width + j) * sizes.channels + column];
                largest = select_many(value.greater_than(&largest), value, largest);
                largest = select_many(value.is_nan(), value, largest);
            }
        }
        y[ABSOLUTE_POS] = largest;
    }
}

/// One unit for each input. The unit finds the windows in which its input is the largest value.
#[cube(launch)]
fn largest_gradient_kernel<F: Float>(
    x: &[F],
    dy: &[F],
    dx: &mut [F],
    sizes: Sizes,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS < dx.len() {
        let channel = ABSOLUTE_POS % sizes.channels;
        let place = ABSOLUTE_POS / sizes.channels;
        let column = place % sizes.width;
        let row = place / sizes.width % sizes.height;
        let image = place / sizes.width / sizes.height;
        let mut sum = f32::new(0.0);
        for top in first_window(row, &sizes)..windows_until(row, sizes.height_out, &sizes) {
            for left in first_window(column, &sizes)..windows_until(column, sizes.width_out, &sizes)
            {
                let winner = winner::<F>(x, image, top, left, channel, &sizes);
                if winner == ABSOLUTE_POS {
                    let output = (image * sizes.height_out + top) * sizes.width_out + left;
                    sum += f32::cast_from(dy[output * sizes.channels + channel]);
                }
            }
        }
        dx[ABSOLUTE_POS] = F::cast_from(sum);
    }
}

/// The first window that sees position `i` of a side.
#[cube]
fn first_window(i: usize, sizes: &Sizes) -> usize {
    let end = i + sizes.padding + 1;
    if end > sizes.kernel { (end - sizes.kernel).div_ceil(sizes.stride) } else { 0usize.runtime() }
}

/// The window after the last one that sees position `i`.
#[cube]
fn windows_until(i: usize, outputs: usize, sizes: &Sizes) -> usize {
    min((i + sizes.padding) / sizes.stride + 1, outputs)
}

/// The place of the first of the largest values of a window. If there are several NaN, the place of
/// the last.
#[cube]
fn winner<F: Float>(
    x: &[F],
    image: usize,
    top: usize,
    left: usize,
    channel: usize,
    sizes: &Sizes,
) -> usize {
    let rows = image * sizes.height;
    let (first_row, first_column) = (first_seen(top, sizes), first_seen(left, sizes));
    let mut winner = ((rows + first_row) * sizes.width + first_column) * sizes.channels + channel;
    let mut largest = f32::cast_from(x[winner]);
    for i in first_row..seen_until(top, sizes.height, sizes) {
        for j in first_column..seen_until(left, sizes.width, sizes) {
            let at = ((rows + i) * sizes.width + j) * sizes.channels + channel;
            let value = f32::cast_from(x[at]);
            if value > largest || value.is_nan() {
                largest = value;
                winner = at;
            }
        }
    }
    winner
}

//! Updates of parameters: optimiser steps, moving averages, the search for NaN.
//!
//! On a CPU every parameter is a separate job ([`ops`], with the arithmetic in [`slices`]). On
//! CubeCL's backends one kernel updates many at once ([`list`], with the kernels in [`cube`]).

mod adamw;
mod any;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod cube;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod list;
mod ops;
mod sgd;
mod single;
pub mod slices;

use burn::backend::Dispatch;
use burn::tensor::{Device, Tensor};

pub use adamw::{AdamWJob, AdamWStep, adamw_all};
pub use any::AnyTensor;
pub use sgd::{SgdJob, SgdStep, sgd_all};
pub use single::{moving_average, sgd_step, update_norms};

use crate::workers::for_each_tensor;
use any::on_host;
use ops::UpdateOps;

/// [`moving_average`] of all pairs in one go: `τ average + (1 − τ) value`, in the order of the
/// pairs.
///
/// For threads, launches and memory see [`sgd_all`]. An average has the same order in memory as the
/// value.
pub fn moving_average_all(
    device: &Device,
    pairs: Vec<(AnyTensor, AnyTensor)>,
    tau: f64,
) -> Vec<AnyTensor> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if list::takes(pairs.iter().map(|(average, value)| [average, value].into_iter())) {
        return list::moving_average(pairs, tau);
    }
    for_each_tensor(device, pairs, |(average, value)| {
        let shape = average.shape();
        AnyTensor::shaped(moving_average(average.flat(), value.flat(), tau), shape)
    })
}

/// [`update_norms`] of all parameters in one go: `‖w‖₂`, `‖g‖₂` and `‖g + λ w‖₂`, `[n]` each and in
/// the order of `(w, g, λ)`. They stay on the device.
///
/// Sums are taken in one fixed order: chunks in f64 on a CPU, in f32 on a GPU.
pub fn update_norms_all(
    device: &Device,
    parameters: Vec<(AnyTensor, AnyTensor, f64)>,
) -> [Tensor<1>; 3] {
    if parameters.is_empty() {
        return [(); 3].map(|()| Tensor::zeros([0], &device.clone().inner()));
    }
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if list::takes(parameters.iter().map(|(w, g, _)| [w, g].into_iter())) {
        return list::norms(parameters);
    }
    let norms = for_each_tensor(device, parameters, |(w, g, decay)| {
        update_norms(&w.flat(), &g.flat(), decay)
    });
    [0, 1, 2].map(|i| Tensor::cat(norms.iter().map(|norms| norms[i].clone()).collect(), 0))
}

/// For each tensor, the first value that is NaN or infinite, or else 0: `[n]`, left on the device.
/// On a GPU, "first" is in the order of memory.
///
/// On devices without our kernels it is the sum of the whole tensor, if this is not finite. A sum
/// above the largest float is not finite, either.
pub fn not_finite_values(device: &Device, tensors: Vec<impl Into<AnyTensor>>) -> Tensor<1> {
    let tensors: Vec<AnyTensor> = tensors.into_iter().map(Into::into).collect();
    if tensors.is_empty() {
        return Tensor::zeros([0], &device.clone().inner());
    }
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if list::takes(tensors.iter().map(std::iter::once)) {
        return list::not_finite(tensors);
    }
    let values = for_each_tensor(device, tensors, |tensor| {
        let flat = tensor.flat();
        match on_host(&flat) {
            true => Tensor::<1>::from_dispatch(<Dispatch as UpdateOps>::update_not_finite(
                flat.into_dispatch(),
            )),
            false => flat.sum(),
        }
    });
    Tensor::cat(values, 0)
}

/// The first tensor with NaN or infinity, and its value from [`not_finite_values`]. All values are
/// read from the device at once.
pub fn not_finite(device: &Device, tensors: Vec<impl Into<AnyTensor>>) -> Option<(usize, f32)> {
    if tensors.is_empty() {
        return None;
    }
    let values = not_finite_values(device, tensors).into_data();
    values.iter::<f32>().enumerate().find(|(_, value)| !value.is_finite())
}

//! The update of AdamW on CPUs.

use burn::tensor::{Device, Tensor};

use super::AnyTensor;
use crate::workers::for_each_tensor;

/// A step of AdamW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// β₁
    pub beta1: f64,
    /// β₂
    pub beta2: f64,
    /// ε
    pub epsilon: f64,
    /// λ
    pub weight_decay: f64,
    /// lr
    pub learning_rate: f64,
    /// t, from 1.
    pub t: u64,
}

/// One parameter's part of [`adamw_all`]; all its tensors have one shape.
#[derive(Debug, Clone)]
pub struct AdamWJob {
    /// w
    pub parameter: AnyTensor,
    /// g
    pub gradient: AnyTensor,
    /// m and v; none before the first step.
    pub moments: Option<[AnyTensor; 2]>,
    /// How to step.
    pub step: AdamWStep,
}

/// A step of AdamW (Loshchilov & Hutter, 2019, algorithm 2) in PyTorch's form, of all parameters of
/// a network at once: `m ← β₁ m + (1 − β₁) g`, `v ← β₂ v + (1 − β₂) g²`, `w ← (1 − lr λ) w − lr ·
/// m̂ / (√v̂ + ε)` with `m̂ = m / (1 − β₁ᵗ)`, `v̂ = v / (1 − β₂ᵗ)`. Before the first step m and v
/// are 0.
///
/// Returns the new parameters with their m and v, in the order of the jobs. For threads, launches
/// and memory see [`sgd_all`](super::sgd_all).
pub fn adamw_all(device: &Device, jobs: Vec<AdamWJob>) -> Vec<(AnyTensor, [AnyTensor; 2])> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if super::list::takes(
        jobs.iter().map(|job| {
            [&job.parameter, &job.gradient].into_iter().chain(job.moments.iter().flatten())
        }),
    ) {
        return super::list::adamw(jobs);
    }
    for_each_tensor(device, jobs, |job| {
        let AdamWJob { parameter, gradient, moments, step } = job;
        let shape = parameter.shape();
        let moments = moments.map(|moments| moments.map(AnyTensor::flat));
        let (parameter, moments) = plain(parameter.flat(), gradient.flat(), moments, step);
        let shaped = |flat| AnyTensor::shaped(flat, shape.clone());
        (shaped(parameter), moments.map(shaped))
    })
}

fn plain(
    parameter: Tensor<1>,
    gradient: Tensor<1>,
    moments: Option<[Tensor<1>; 2]>,
    step: AdamWStep,
) -> (Tensor<1>, [Tensor<1>; 2]) {
    let AdamWStep { beta1, beta2, epsilon, weight_decay, learning_rate, t } = step;
    let (mut m, mut v) =
        (gradient.clone().mul_scalar(1.0 - beta1), gradient.square().mul_scalar(1.0 - beta2));
    if let Some([old_m, old_v]) = moments {
        m = m + old_m.mul_scalar(beta1);
        v = v + old_v.mul_scalar(beta2);
    }
    let moments = [m.clone(), v.clone()];
    let m = m.div_scalar(1.0 - beta1.powf(t as f64));
    let v = v.div_scalar(1.0 - beta2.powf(t as f64));
    let direction = m / v.sqrt().add_scalar(epsilon);
    let parameter = parameter.mul_scalar(1.0 - learning_rate * weight_decay)
        - direction.mul_scalar(learning_rate);
    (parameter, moments)
}

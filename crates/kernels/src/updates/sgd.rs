//! The update of SGD with momentum on CPUs.

use burn::tensor::{Device, Tensor};

use super::AnyTensor;
use super::single::sgd_step;
use crate::workers::for_each_tensor;

/// A step of stochastic gradient descent with momentum.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SgdStep {
    /// μ
    pub momentum: f64,
    /// Look ahead along the velocity (Nesterov, 1983).
    pub nesterov: bool,
    /// λ
    pub weight_decay: f64,
    /// lr
    pub learning_rate: f64,
}

/// One parameter's part of [`sgd_all`]; all its tensors have one shape.
#[derive(Debug, Clone)]
pub struct SgdJob {
    /// w
    pub parameter: AnyTensor,
    /// g
    pub gradient: AnyTensor,
    /// v; none before the first step.
    pub velocity: Option<AnyTensor>,
    /// The index of this parameter's r in the scales. Without it, r is 1.
    pub scale: Option<usize>,
    /// The settings of the step.
    pub step: SgdStep,
}

/// [`sgd_step`] of all parameters of a network in one go: their new values and velocities, in the
/// order of the jobs.
///
/// On a CPU, each thread takes one parameter. On a GPU, one kernel updates as many parameters as
/// the device allows. So a network takes a handful of launches. Tensors that nobody else holds are
/// updated in place. Parameter and velocity get the gradient's order in memory.
///
/// - `scales`: `[n]`, the r of parameters with a scale in their job.
pub fn sgd_all(
    device: &Device,
    jobs: Vec<SgdJob>,
    scales: Option<Tensor<1>>,
) -> Vec<(AnyTensor, Option<AnyTensor>)> {
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    if super::list::takes(
        jobs.iter().map(|job| [&job.parameter, &job.gradient].into_iter().chain(&job.velocity)),
    ) {
        return super::list::sgd(jobs, scales);
    }
    let scales = scales.map(Tensor::inner);
    for_each_tensor(device, jobs, |job| {
        let SgdJob { parameter, gradient, velocity, scale, step } = job;
        let scale = scales.as_ref().zip(scale).map(|(all, i)| all.clone().narrow(0, i, 1));
        let shape = parameter.shape();
        let velocity = velocity.map(AnyTensor::flat);
        let (parameter, velocity) =
            sgd_step(parameter.flat(), gradient.flat(), velocity, scale, step);
        let shaped = |flat| AnyTensor::shaped(flat, shape.clone());
        (shaped(parameter), velocity.map(shaped))
    })
}

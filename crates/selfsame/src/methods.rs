//! From settings to a method with its networks.

use burn::tensor::Device;
use selfsame_models::ResNetConfig;
use selfsame_trainers::Method;

use crate::settings::MethodConfig;

/// A task for the method in the settings.
pub trait MethodTask {
    /// The result of the task.
    type Output;

    /// Runs the task.
    fn run<M: Method>(self, method: M) -> anyhow::Result<Self::Output>;
}

/// Builds the method around `encoder` with its initial weights, and passes it to the task. `device`
/// must be an autodiff device.
pub fn with_method<T: MethodTask>(
    settings: &MethodConfig,
    encoder: &ResNetConfig,
    seed: u64,
    device: &Device,
    task: T,
) -> anyhow::Result<T::Output> {
    let encoder = encoder.build(seed, device)?;
    match settings {
        MethodConfig::Byol(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::BarlowTwins(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::SimClr(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::MocoV3(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::SimSiam(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::VicReg(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::WMse(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::Dino(own) => task.run(own.build(encoder, seed, device)?),
        MethodConfig::LeJepa(own) => task.run(own.build(encoder, seed, device)?),
    }
}

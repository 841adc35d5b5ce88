//! From settings to a method with its networks.

use burn::tensor::Device;
use selfsame_models::ResNetConfig;
use selfsame_trainers::{Method, MethodSettings};

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
    macro_rules! run {
        ($($method:ident, $settings:ty, $name:literal, $section:literal;)+) => {
            match settings {
                $(MethodConfig::$method(own) => task.run(own.build(encoder, seed, device)?),)+
            }
        };
    }
    selfsame_trainers::methods!(run)
}

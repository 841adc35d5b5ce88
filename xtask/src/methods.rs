//! From settings to a method, whichever it is.

use burn::tensor::Device;
use selfsame_trainers::Method;

use crate::config::RunConfig;
use crate::usage::usage;

/// Something to do with the method that the settings name.
pub trait MethodTask {
    type Output;

    fn run<M: Method>(self, method: M) -> anyhow::Result<Self::Output>;
}

/// Builds the method with its initial weights on `device`, an autodiff device, and hands it over.
pub fn with_method<T: MethodTask>(
    config: &RunConfig,
    device: &Device,
    task: T,
) -> anyhow::Result<T::Output> {
    let encoder = config.encoder.resnet();
    match (&config.byol, &config.barlow_twins) {
        (Some(byol), _) => task.run(byol.init(&encoder, config.seed, device)?),
        (None, Some(barlow)) => task.run(barlow.init(&encoder, config.seed, device)?),
        (None, None) => Err(usage("the settings name no method")),
    }
}

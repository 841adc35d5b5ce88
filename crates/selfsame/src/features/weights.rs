//! Weights of a finished or interrupted run.

use std::path::Path;

use anyhow::{Context, bail};
use burn::tensor::Device;
use selfsame_models::ResNet;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::{StateDict, load_state_dict, read_safetensors, without_classifier};
use selfsame_trainers::Checkpoint;

use crate::folder::{ENCODER, newest_checkpoint};
use crate::settings::RunConfig;

/// The encoder of the run in `folder`: its final weights, or those of its last checkpoint.
pub fn load_encoder(
    folder: &Path,
    config: &RunConfig,
    weights: Option<&Path>,
    device: &Device,
) -> anyhow::Result<ResNet> {
    let finished = folder.join(ENCODER);
    let checkpoint = newest_checkpoint(folder);
    let path = match (weights, &checkpoint) {
        (Some(path), _) => path,
        (None, _) if finished.is_file() => &finished,
        (None, Some(checkpoint)) => checkpoint,
        _ => bail!("{} holds neither {ENCODER} nor a checkpoint", folder.display()),
    };
    let dict = encoder_weights(path, config)?;
    let encoder = config.encoder.resnet().init(&mut WeightInit::new(config.seed, 0, device))?;
    load_state_dict(encoder, &dict).with_context(|| format!("cannot use {}", path.display()))
}

fn encoder_weights(path: &Path, config: &RunConfig) -> anyhow::Result<StateDict> {
    let (dict, _) = read_safetensors(path).with_context(|| path.display().to_string())?;
    if dict.keys().any(|name| name.starts_with("method.")) {
        return Ok(Checkpoint::read(path)?.weights(config.method.encoder_prefix()));
    }
    Ok(without_classifier(dict))
}

//! Features on disk, so that no image goes through the same encoder twice.

use std::path::PathBuf;

use anyhow::Context;
use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::ImageDataset;
use selfsame_eval::{Features, LabelledImages, extract};
use selfsame_models::Encoder;
use selfsame_models::weights::{Array, StateDict, read_safetensors, state_dict, to_safetensors};
use sha2::{Digest, Sha256};

use crate::bridge::PlainImages;
use crate::config::RunConfig;
use crate::hex::hex;

/// The folder of the cache in a run's folder; it may be deleted at any time.
const FOLDER: &str = "features";
const FEATURES: &str = "features";

/// Extracts features, and keeps them in a run's folder under a key of everything that they depend on: weights, images,
/// their size and normalisation.
pub struct FeatureCache {
    folder: PathBuf,
    batch_size: usize,
    views: [u8; 32],
    device: Device,
}

impl FeatureCache {
    pub fn new(run: &std::path::Path, config: &RunConfig, device: &Device) -> Self {
        let view = config.views.view(0);
        let mut key = Sha256::new();
        key.update(view.size.to_le_bytes());
        view.mean.iter().chain(&view.std).for_each(|v| key.update(v.to_le_bytes()));
        // Kernels of another device round otherwise.
        key.update(config.device.as_bytes());
        Self {
            folder: run.join(FOLDER),
            batch_size: config.eval.batch_size,
            views: key.finalize().into(),
            device: device.clone(),
        }
    }

    /// The features of `images` under `encoder`, which lives on a plain device.
    pub fn features<E: Encoder + Module>(
        &self,
        encoder: &E,
        images: &PlainImages,
    ) -> anyhow::Result<Features> {
        let key = self.key(encoder, images)?;
        let path = self.folder.join(format!("{}.safetensors", hex(&key[..12])));
        if let Some(features) = read(&path, images.len(), encoder.feature_dim()) {
            return Ok(features);
        }
        let features = extract(encoder, images, self.batch_size, &self.device)?;
        let array = Array {
            shape: vec![features.rows(), features.dim()],
            values: features.values().to_vec(),
        };
        let bytes = to_safetensors(
            &StateDict::from([(FEATURES.to_owned(), array)]),
            "{\"role\":\"features\"}",
        )?;
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| {
                let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
                std::io::Write::write_all(&mut file, &bytes)?;
                file.persist(&path).map_err(|e| e.error)
            })
            .with_context(|| format!("cannot keep features in {}", path.display()))?;
        Ok(features)
    }

    fn key<E: Module>(&self, encoder: &E, images: &PlainImages) -> anyhow::Result<[u8; 32]> {
        let mut key = Sha256::new();
        key.update(self.views);
        key.update(images_key(images.dataset())?);
        for (name, array) in state_dict(encoder)? {
            key.update((name.len() as u64).to_le_bytes());
            key.update(name);
            key.update((array.values.len() as u64).to_le_bytes());
            array.values.iter().for_each(|v| key.update(v.to_le_bytes()));
        }
        Ok(key.finalize().into())
    }
}

/// Which images these are: by their files where they come from files, else by their pixels, which are then in memory
/// or quickly drawn.
pub fn images_key(images: &dyn ImageDataset) -> anyhow::Result<[u8; 32]> {
    if let Some(key) = images.content_key() {
        return Ok(key.0);
    }
    let mut key = Sha256::new();
    for index in 0..images.len() {
        let image = images.image(index)?;
        key.update(image.width().to_le_bytes());
        key.update(image.height().to_le_bytes());
        key.update(image.as_raw());
    }
    Ok(key.finalize().into())
}

/// What is kept in `path`; `None` if that is not there, damaged or of another shape.
fn read(path: &std::path::Path, rows: usize, dim: usize) -> Option<Features> {
    let (mut arrays, _) = read_safetensors(path).ok()?;
    let array = arrays.remove(FEATURES)?;
    (array.shape == [rows, dim]).then(|| Features::new(array.values, rows, dim).ok())?
}

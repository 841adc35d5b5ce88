//! Features on disk. So no image goes through the same encoder twice.

use std::path::{Path, PathBuf};

use anyhow::Context;
use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::ImageDataset;
use selfsame_eval::{Features, LabelledImages, extract};
use selfsame_models::Encoder;
use selfsame_models::weights::{Array, StateDict, read_safetensors, state_dict, to_safetensors};
use sha2::{Digest, Sha256};

use crate::features::images::{PlainImages, Watched};
use crate::hex::hex;
use crate::observer::Voice;
use crate::settings::RunConfig;

/// The folder of the cache in a run's folder; it may be deleted at any time.
const FOLDER: &str = "features";
const FEATURES: &str = "features";
/// Training does not keep larger features: most runs are never evaluated.
const MOST_BYTES: usize = 256 << 20;

/// Extracts features and keeps them in a run's folder. The key depends on weights, images, their
/// size and normalisation.
pub struct FeatureCache {
    folder: PathBuf,
    batch_size: usize,
    views: [u8; 32],
    device: Device,
    voice: Voice,
}

impl FeatureCache {
    pub fn new(run: &Path, config: &RunConfig, device: &Device, voice: &Voice) -> Self {
        let view = config.views.view(0);
        let mut key = Sha256::new();
        key.update(view.size.to_le_bytes());
        view.mean.iter().chain(&view.std).for_each(|v| key.update(v.to_le_bytes()));
        // Kernels of another device round differently.
        key.update(config.device.as_bytes());
        Self {
            folder: run.join(FOLDER),
            batch_size: config.eval.batch_size,
            views: key.finalize().into(),
            device: device.clone(),
            voice: voice.clone(),
        }
    }

    /// The features of `images` under `encoder`. The encoder is on a plain device. `name`: the text
    /// of the progress.
    pub fn features<E: Encoder + Module>(
        &self,
        encoder: &E,
        images: &PlainImages,
        name: &str,
    ) -> anyhow::Result<Features> {
        let place = self.place(encoder, images_key(images.dataset())?, images.len())?;
        if let Some(features) = place.read() {
            return Ok(features);
        }
        let watched = Watched::new(images, name, &self.voice);
        let features = extract(encoder, &watched, self.batch_size, &self.device)?;
        if size_of_val(features.values()) <= MOST_BYTES {
            place.write(&features)?;
        }
        Ok(features)
    }

    /// The place of the features of `rows` images under `encoder`. `images` is the
    /// [key](images_key) of the images.
    pub fn place<E: Encoder + Module>(
        &self,
        encoder: &E,
        images: [u8; 32],
        rows: usize,
    ) -> anyhow::Result<Place> {
        let mut key = Sha256::new();
        key.update(self.views);
        key.update(images);
        for (name, array) in state_dict(encoder)? {
            key.update((name.len() as u64).to_le_bytes());
            key.update(name);
            key.update((array.values.len() as u64).to_le_bytes());
            array.values.iter().for_each(|v| key.update(v.to_le_bytes()));
        }
        let name = format!("{}.safetensors", hex(&key.finalize()[..12]));
        Ok(Place { path: self.folder.join(name), rows, dim: encoder.feature_dim() })
    }
}

/// The file of some features. It may not exist yet.
pub struct Place {
    path: PathBuf,
    rows: usize,
    dim: usize,
}

impl Place {
    /// The kept features; `None` if they are missing, damaged or of another shape.
    pub fn read(&self) -> Option<Features> {
        let (mut arrays, _) = read_safetensors(&self.path).ok()?;
        let array = arrays.remove(FEATURES)?;
        let fits = array.shape == [self.rows, self.dim];
        fits.then(|| Features::new(array.values, self.rows, self.dim).ok())?
    }

    pub fn write(&self, features: &Features) -> anyhow::Result<()> {
        let array = Array {
            shape: vec![features.rows(), features.dim()],
            values: features.values().to_vec(),
        };
        let bytes = to_safetensors(
            &StateDict::from([(FEATURES.to_owned(), array)]),
            "{\"role\":\"features\"}",
        )?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)
            .and_then(|()| {
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                std::io::Write::write_all(&mut file, &bytes)?;
                file.persist(&self.path).map_err(|e| e.error)
            })
            .with_context(|| format!("cannot keep features in {}", self.path.display()))?;
        Ok(())
    }
}

/// A key of the images: from their files, or else from their pixels. Such pixels are in memory or
/// quickly drawn.
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

//! The search index: the features of a set's images. It is kept in the run's folder, so a later
//! search reads no image.

use std::path::{Path, PathBuf};

use burn::module::Module;
use burn::tensor::Device;
use selfsame_eval::{Features, LabelledImages};
use selfsame_models::Encoder;
use selfsame_models::weights::{
    Array, Attachments, Contents, StateDict, contents, read_bytes, state_dict, to_safetensors_with,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::features::cache::images_key;
use crate::features::images::PlainImages;
use crate::features::streamed::{PixelKey, Streamed, stream};
use crate::folder::replace;
use crate::hex::hex;
use crate::observer::Voice;
use crate::settings::RunConfig;
use crate::words::reasons;

/// The folder of the index in a run's folder. It may be deleted at any time.
const FOLDER: &str = "features";
const FEATURES: &str = "features";
const PIXELS: &str = "pixels";
/// Part of every key, so that files of another format do not match.
const FORM: &[u8] = b"selfsame search index 1";

/// The data next to the features.
#[derive(Serialize, Deserialize)]
struct About {
    role: String,
    /// Number of images in the set, with the unreadable ones.
    images: usize,
    unreadable: Vec<(usize, String)>,
}

/// The features of `images`: those kept in `run`, or new ones. New features are then kept.
///
/// Kept features only count for the same weights, files (path, size, modification time),
/// preparation and device. A damaged or wrong file is made again.
///
/// # Errors
/// As [`stream`].
pub fn features<E: Encoder + Module>(
    run: &Path,
    encoder: &E,
    images: &PlainImages,
    config: &RunConfig,
    device: &Device,
    voice: &Voice,
) -> anyhow::Result<Streamed> {
    let path = path(run, encoder, images, config)?;
    if let Some(kept) = read(&path, images.len(), encoder.feature_dim()) {
        return Ok(kept);
    }
    let batch = config.eval.batch_size;
    let found = stream(encoder, images, batch, device, "features of the images", voice)?;
    // The search works even if the folder cannot be written to.
    if let Err(error) = write(&path, images.len(), &found) {
        voice.warn(format_args!("the next search will read the images again: {}", reasons(&error)));
    }
    Ok(found)
}

fn path<E: Module>(
    run: &Path,
    encoder: &E,
    images: &PlainImages,
    config: &RunConfig,
) -> anyhow::Result<PathBuf> {
    let mut key = Sha256::new();
    key.update(FORM);
    let view = config.views.view(0);
    key.update(view.size.to_le_bytes());
    view.mean.iter().chain(&view.std).for_each(|v| key.update(v.to_le_bytes()));
    // Kernels of another device or precision round differently.
    key.update(format!("{} {:?}", config.device, config.precision));
    key.update(images_key(images.dataset())?);
    for (name, array) in state_dict(encoder)? {
        key.update((name.len() as u64).to_le_bytes());
        key.update(name);
        key.update((array.values.len() as u64).to_le_bytes());
        array.values.iter().for_each(|v| key.update(v.to_le_bytes()));
    }
    let name = hex(&key.finalize()[..12]);
    Ok(run.join(FOLDER).join(format!("index-{name}.safetensors")))
}

fn write(path: &Path, images: usize, found: &Streamed) -> anyhow::Result<()> {
    let shape = vec![found.features.rows(), found.features.dim()];
    let array = Array { shape, values: found.features.values().to_vec() };
    let about = About { role: "search index".into(), images, unreadable: found.unreadable.clone() };
    let bytes = to_safetensors_with(
        &StateDict::from([(FEATURES.to_owned(), array)]),
        &Attachments::from([(PIXELS.to_owned(), found.pixels.concat())]),
        &serde_json::to_string(&about)?,
    )?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    replace(path, &bytes)
}

/// The features in `path`; `None` if they are missing, damaged, or have other numbers of images or
/// dimensions.
fn read(path: &Path, images: usize, dim: usize) -> Option<Streamed> {
    // Features and pixel keys, and the same size for reasons. A larger file is not ours.
    let most = (images as u64).checked_mul(4 * dim as u64 + 16 + 1024)?.saturating_add(1 << 20);
    if std::fs::metadata(path).ok()?.len() > most {
        return None;
    }
    let Contents { mut arrays, mut attachments, metadata } =
        contents(&read_bytes(path).ok()?).ok()?;
    let about: About = serde_json::from_str(&metadata?).ok()?;
    let unreadable = about.unreadable;
    let ascending = unreadable.windows(2).all(|pair| pair[0].0 < pair[1].0);
    let inside = unreadable.last().is_none_or(|(last, _)| *last < images);
    if about.images != images || !ascending || !inside {
        return None;
    }
    let is_readable =
        |index: &usize| unreadable.binary_search_by_key(index, |(bad, _)| *bad).is_err();
    let found: Vec<usize> = (0..images).filter(is_readable).collect();
    let array = arrays.remove(FEATURES).filter(|array| array.shape == [found.len(), dim])?;
    let features = Features::new(array.values, found.len(), dim).ok()?;
    let bytes = attachments.remove(PIXELS)?;
    let (pixels, rest) = bytes.as_chunks::<{ size_of::<PixelKey>() }>();
    let whole = rest.is_empty() && pixels.len() == found.len();
    whole.then(|| Streamed { features, images: found, pixels: pixels.to_vec(), unreadable })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Streamed {
        Streamed {
            features: Features::new(vec![1.0, 2.0, 3.0, 4.0], 2, 2).unwrap(),
            images: vec![0, 2],
            pixels: vec![[1; 16], [2; 16]],
            unreadable: vec![(1, "damaged".into())],
        }
    }

    #[test]
    fn what_is_kept_comes_back_and_anything_else_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("features/index.safetensors");
        assert_eq!(read(&path, 3, 2), None);
        write(&path, 3, &some()).unwrap();
        assert_eq!(read(&path, 3, 2), Some(some()));
        // From another set or encoder.
        assert_eq!((read(&path, 4, 2), read(&path, 3, 1)), (None, None));

        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 100, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(read(&path, 3, 2), None, "cut at {length}");
        }
        for unreadable in [vec![(3, String::new())], vec![(1, String::new()); 2], Vec::new()] {
            write(&path, 3, &Streamed { unreadable, ..some() }).unwrap();
            assert_eq!(read(&path, 3, 2), None);
        }
        write(&path, 3, &Streamed { pixels: vec![[1; 16]], ..some() }).unwrap();
        assert_eq!(read(&path, 3, 2), None);
        // A claim of more memory than needed.
        std::fs::write(&path, vec![0xff; 2 << 20]).unwrap();
        assert_eq!(read(&path, 3, 2), None);
    }
}

//! Several data sets as one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use selfsame_data::{ContentKey, DataError, ImageDataset};
use sha2::{Digest, Sha256};

/// Data sets joined one after the other, such as a training set and its test set.
pub struct Joined(pub Vec<Arc<dyn ImageDataset>>);

impl Joined {
    /// The set of an image, and its index in the set. Beyond the end: the last set and an index
    /// that it refuses.
    pub fn place(&self, mut index: usize) -> Option<(usize, usize)> {
        let last = self.0.len().checked_sub(1)?;
        for (part, set) in self.0.iter().enumerate() {
            if part == last || index < set.len() {
                return Some((part, index));
            }
            index -= set.len();
        }
        None
    }

    fn set(&self, index: usize) -> Option<(&dyn ImageDataset, usize)> {
        let (part, index) = self.place(index)?;
        Some((&**self.0.get(part)?, index))
    }
}

impl ImageDataset for Joined {
    fn len(&self) -> usize {
        self.0.iter().map(|set| set.len()).sum()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        match self.set(index) {
            Some((set, index)) => set.image(index),
            None => Err(DataError::Request("there are no images".into())),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.set(index).and_then(|(set, index)| set.label(index))
    }

    fn class_names(&self) -> &[String] {
        self.0.first().map(|set| set.class_names()).unwrap_or_default()
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.set(index).and_then(|(set, index)| set.path(index))
    }

    fn name(&self, index: usize) -> PathBuf {
        let name = self.set(index).map(|(set, index)| set.name(index));
        name.unwrap_or_else(|| format!("image {index}").into())
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.0.iter().for_each(|set| set.visit_files(visit));
    }

    fn content_key(&self) -> Option<ContentKey> {
        let mut key = Sha256::new();
        for set in &self.0 {
            key.update(set.content_key()?.0);
        }
        Some(ContentKey(key.finalize().into()))
    }
}

//! Encoded images in files of any kind, with one policy for unreadable ones.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use rayon::prelude::*;

use super::content::{ContentKey, KeyBuilder};
use super::dataset::out_of_range;
use crate::{DataError, ImageDataset, Skipped};

/// What to do with symbolic links in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Links {
    /// Read their targets, wherever these are, and each image once.
    #[default]
    Follow,
    /// Leave them out, and list them.
    Skip,
}

/// How the images of a folder or of shards will be read. This decides what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reading {
    /// Many times, as in training. A light set is decoded on opening, which finds unreadable
    /// images. Decoded images are kept while there is room.
    #[default]
    Often,
    /// Once. Nothing is decoded on opening, and nothing is kept. An image that cannot be read is an
    /// error when it is asked for.
    Once,
    /// Once, with the same images held out as in training. A light set is decoded on opening to
    /// find unreadable images. Nothing is kept.
    OnceAsTrained,
}

/// How to open a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// What to do with symbolic links.
    pub links: Links,
    /// How its images will be read.
    pub reading: Reading,
}

impl From<Links> for Opening {
    fn from(links: Links) -> Self {
        Self { links, reading: Reading::Often }
    }
}

/// The most bytes of decoded pixels in memory.
const CACHE_BYTES: u64 = 4 << 30;
/// Larger sets keep nothing: the slots alone would take gigabytes.
const MOST_CACHED: usize = 20_000_000;
/// A set whose encoded images weigh less than this
const EAGER_BYTES: u64 = 1 << 30;
/// and are no more than these is decoded on opening.
const EAGER_IMAGES: usize = 100_000;

/// Encoded images by index: files of their own, entries of shards, rows of Parquet files.
pub(crate) trait ImageStore: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Image `index`, decoded anew.
    ///
    /// # Errors
    /// An unreadable image, by its [`name`](Self::name); an index out of range.
    fn decode(&self, index: usize) -> Result<RgbImage, DataError>;

    /// Its label: what [`relabel`](Self::relabel) made of it.
    fn label(&self, index: usize) -> Option<u32>;

    /// Maps the labels of all labelled images.
    fn relabel(&mut self, class: &dyn Fn(u32) -> Option<u32>);

    /// A name that people can find it by: a file, `SHARD/KEY.EXTENSION`, `FILE.parquet/row 17`.
    fn name(&self, index: usize) -> PathBuf;

    /// Its own file, if it has one.
    fn path(&self, _index: usize) -> Option<PathBuf> {
        None
    }

    /// Whether all encoded images together have at most `bytes`.
    fn weighs_at_most(&self, bytes: u64) -> bool;

    /// Keeps the images for which `keep` is true. It has one entry for each image.
    fn retain(&mut self, keep: &[bool]);

    /// Every file that images come from, in the order of the images.
    fn visit_files(&self, visit: &mut dyn FnMut(&Path));
}

/// The images of a store. If they are read often, each is decoded at most once while the cache has
/// room.
///
/// A light store is decoded when the set is made, unless it is read once. Unreadable images are
/// left out and reported. Images of a heavy store are decoded when they are needed. An unreadable
/// one is an error then, and [`Splits::without_unreadable`](crate::Splits::without_unreadable)
/// finds it beforehand.
pub(crate) struct ImageSet<S> {
    store: S,
    /// Decoded images. Empty if there are too many images.
    cache: Vec<OnceLock<Arc<RgbImage>>>,
    cached_bytes: AtomicU64,
    class_names: Vec<String>,
    /// Whether all images were decoded once.
    checked: bool,
}

impl<S: ImageStore> ImageSet<S> {
    pub(crate) fn new(
        store: S,
        class_names: Vec<String>,
        reading: Reading,
        skipped: &mut Vec<Skipped>,
    ) -> Self {
        let keep = reading == Reading::Often && store.len() <= MOST_CACHED;
        let slots = if keep { store.len() } else { 0 };
        let mut set = Self {
            cache: (0..slots).map(|_| OnceLock::new()).collect(),
            store,
            cached_bytes: AtomicU64::new(0),
            class_names,
            checked: false,
        };
        // Each file size costs a system call, which is too much for millions of files.
        let check = reading != Reading::Once;
        if check && set.len() <= EAGER_IMAGES && set.store.weighs_at_most(EAGER_BYTES) {
            set.leave_out_unreadable(skipped);
        }
        set
    }

    fn leave_out_unreadable(&mut self, skipped: &mut Vec<Skipped>) {
        let errors: Vec<_> =
            (0..self.len()).into_par_iter().map(|index| self.image(index).err()).collect();
        let keep: Vec<bool> = errors.iter().map(Option::is_none).collect();
        for (index, error) in errors.into_iter().enumerate() {
            if let Some(error) = error {
                skipped.push(Skipped { path: self.store.name(index), reason: error.reason() });
            }
        }
        self.store.retain(&keep);
        let mut kept = keep.iter();
        self.cache.retain(|_| kept.next() == Some(&true));
        self.checked = true;
    }
}

impl<S: ImageStore> ImageDataset for ImageSet<S> {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let Some(slot) = self.cache.get(index) else { return self.decode(index).map(Arc::new) };
        if let Some(image) = slot.get() {
            return Ok(image.clone());
        }
        let image = Arc::new(self.decode(index)?);
        let bytes = image.as_raw().len() as u64;
        if self.cached_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= CACHE_BYTES {
            return Ok(slot.get_or_init(|| image).clone());
        }
        self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(image)
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        match index < self.len() {
            true => self.store.decode(index),
            false => Err(out_of_range(index, self.len())),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.store.label(index)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.store.path(index)
    }

    fn name(&self, index: usize) -> PathBuf {
        self.store.name(index)
    }

    fn content_key(&self) -> Option<ContentKey> {
        let mut key = KeyBuilder::default();
        self.store.visit_files(&mut |path| key.add_file(path));
        Some(key.finish())
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.store.visit_files(visit);
    }

    fn unreadable(&self) -> Option<Vec<(usize, String)>> {
        self.checked.then(Vec::new)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Ten images, the fourth of which is damaged, and how many were decoded.
    #[derive(Default)]
    struct Counted {
        left: Vec<usize>,
        decoded: Arc<AtomicUsize>,
    }

    impl ImageStore for Counted {
        fn len(&self) -> usize {
            self.left.len()
        }
        fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            match self.left[index] {
                3 => Err(DataError::format(&self.name(index), "damaged")),
                _ => Ok(RgbImage::new(2, 2)),
            }
        }
        fn label(&self, _: usize) -> Option<u32> {
            None
        }
        fn relabel(&mut self, _: &dyn Fn(u32) -> Option<u32>) {}
        fn name(&self, index: usize) -> PathBuf {
            format!("{}.png", self.left[index]).into()
        }
        fn weighs_at_most(&self, _: u64) -> bool {
            true
        }
        fn retain(&mut self, keep: &[bool]) {
            let mut keep = keep.iter();
            self.left.retain(|_| keep.next() == Some(&true));
        }
        fn visit_files(&self, _: &mut dyn FnMut(&Path)) {}
    }

    #[test]
    fn only_what_is_read_often_is_kept_and_only_what_is_read_once_is_not_decoded_on_opening() {
        for (reading, on_opening, images, after_two_rounds) in [
            (Reading::Often, 10, 9, 10),
            (Reading::OnceAsTrained, 10, 9, 28),
            (Reading::Once, 0, 10, 20),
        ] {
            let decoded = Arc::<AtomicUsize>::default();
            let store = Counted { left: (0..10).collect(), decoded: decoded.clone() };
            let mut skipped = Vec::new();
            let set = ImageSet::new(store, Vec::new(), reading, &mut skipped);
            assert_eq!(decoded.load(Ordering::Relaxed), on_opening, "{reading:?}");
            assert_eq!((set.len(), skipped.len()), (images, 10 - images), "{reading:?}");
            for _ in 0..2 {
                let read = (0..set.len()).filter(|index| set.image(*index).is_ok()).count();
                assert_eq!(read, 9);
            }
            assert_eq!(decoded.load(Ordering::Relaxed), after_two_rounds, "{reading:?}");
        }
    }
}

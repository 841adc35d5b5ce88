//! A folder of images, with class sub-folders or without any label.

mod index;
pub(crate) mod scan;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use rayon::prelude::*;

use self::index::Index;
use self::scan::{EXTENSIONS, Scan, read_dir, scan};
use crate::content::{ContentKey, KeyBuilder};
use crate::dataset::out_of_range;
use crate::decode::decode_file;
use crate::{DataError, ImageDataset, Skipped, Splits};

/// Decoded pixels kept in memory.
const CACHE_BYTES: u64 = 4 << 30;
/// A folder whose files weigh less than this
const EAGER_BYTES: u64 = 1 << 30;
/// and are no more than these is decoded on opening, so that unreadable files are known before
/// training starts.
const EAGER_FILES: usize = 100_000;

/// Opens a folder of images.
///
/// - `train/CLASS/…` with `test/CLASS/…` or `val/CLASS/…`: as it says.
/// - `CLASS/…`: labelled; every tenth image of each class is held out as the test split.
/// - anything else: all images at any depth, without labels and without a test split.
///
/// Images are ordered by class and path. Hidden files and folders are ignored, and so are
/// `__MACOSX` and `SHA256SUMS`; symbolic links are not followed. A folder of at most 100,000 files
/// that weighs less than 1 GiB is decoded now and unreadable files are left out and reported; of
/// larger ones, files are decoded when they are needed, and a [`ViewLoader`](crate::ViewLoader)
/// reports those that it could not read. Up to 4 GiB of decoded pixels are kept.
///
/// # Pixels
/// JPEG (baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK), PNG, WebP, BMP, GIF and TIFF
/// (grey, RGB and CMYK in integers of 8 and 16 bits, RGB in floats) are told apart by their
/// content, whatever the extension says. An image becomes what Pillow's `convert("RGB")`, and so
/// torchvision's `ImageFolder`, makes of it, except that it is turned upright by its EXIF
/// orientation and that 16 bits are rounded:
///
/// - Transparency is dropped; a transparent pixel has the colour that is stored for it.
/// - Grey is repeated in all three channels. Colour profiles are not applied.
/// - 16 bits become 8 as `v / 257`, rounded. Pillow drops the low byte of colours and clips grey.
/// - Of an animation, the first frame counts. What it leaves open of its canvas is black.
///
/// Refused are files of more than 512 MiB, images of more than 178,956,970 pixels (where Pillow
/// stops too), of more than 32,768 in one direction, or of more than 1 GiB as they are decoded,
/// and files that are cut off.
///
/// # Errors
/// No folder, or no readable image in it.
pub fn open_image_folder(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let root = sole_subfolder(folder)?;
    let splits: Vec<_> =
        read_dir(&root)?.into_iter().filter(|e| e.kind.is_dir()).map(|e| e.name).collect();
    let split = |name: &str| splits.iter().any(|n| n == name).then(|| root.join(name));
    let mut skipped = Vec::new();
    if let Some(train_folder) = split("train") {
        let train = scan(&train_folder)?;
        let names = train.class_names.clone();
        let train = ImageFolder::load(&train_folder, train, &mut skipped)?;
        let test = match split("test").or_else(|| split("val")) {
            Some(path) => {
                let test = in_terms_of(names, scan(&path)?);
                let test = ImageFolder::load(&path, test, &mut skipped)?;
                Some(Arc::new(test) as Arc<dyn ImageDataset>)
            }
            None => None,
        };
        return Ok(Splits::new(name, Arc::new(train), test, skipped));
    }
    let all = ImageFolder::load(&root, scan(&root)?, &mut skipped)?;
    Ok(Splits::with_tenths_held_out(name, Arc::new(all), skipped))
}

/// Archives often wrap everything in one folder; that one is meant then.
pub(crate) fn sole_subfolder(folder: &Path) -> Result<PathBuf, DataError> {
    Ok(match &read_dir(folder)?[..] {
        [only] if only.kind.is_dir() && only.name != "train" => folder.join(&only.name),
        _ => folder.to_owned(),
    })
}

/// Labels of one split in the terms of another; a class unknown there has no label here.
fn in_terms_of(class_names: Vec<String>, mut scan: Scan) -> Scan {
    scan.index.relabel(|label| {
        let name = scan.class_names.get(label? as usize)?;
        Some(class_names.iter().position(|n| n == name)? as u32)
    });
    scan.class_names = class_names;
    scan
}

/// Image files, decoded at most once while the cache has room.
pub struct ImageFolder {
    index: Index,
    cache: Vec<OnceLock<Arc<RgbImage>>>,
    cached_bytes: AtomicU64,
    class_names: Vec<String>,
}

impl ImageFolder {
    pub(crate) fn load(
        root: &Path,
        scan: Scan,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Self, DataError> {
        let before = skipped.len();
        skipped.extend(scan.skipped);
        let mut folder = Self {
            cache: (0..scan.index.len()).map(|_| OnceLock::new()).collect(),
            index: scan.index,
            cached_bytes: AtomicU64::new(0),
            class_names: scan.class_names,
        };
        if folder.is_light() {
            folder.decode_all(skipped);
        }
        if !folder.is_empty() {
            return Ok(folder);
        }
        let detail = match &skipped[before..] {
            [.., last] => format!("; {}: {}", last.path.display(), last.reason),
            [] => format!(" ({} are looked for)", EXTENSIONS.join(", ")),
        };
        Err(DataError::NoImages { path: root.to_owned(), detail })
    }

    /// Whether all of it can be decoded before training without making anyone wait.
    fn is_light(&self) -> bool {
        let mut room = EAGER_BYTES;
        // The size of a file is one more question to the file system: no more of them than needed.
        self.len() <= EAGER_FILES
            && (0..self.len()).filter_map(|index| self.path(index)).all(|path| {
                let bytes = std::fs::symlink_metadata(path).map_or(0, |m| m.len());
                let fits = bytes <= room;
                room = room.saturating_sub(bytes);
                fits
            })
    }

    /// Leaves out what cannot be read.
    fn decode_all(&mut self, skipped: &mut Vec<Skipped>) {
        let errors: Vec<_> =
            (0..self.len()).into_par_iter().map(|index| self.image(index).err()).collect();
        let keep: Vec<bool> = errors.iter().map(Option::is_none).collect();
        for (index, error) in errors.into_iter().enumerate() {
            if let (Some(error), Some(path)) = (error, self.path(index)) {
                skipped.push(Skipped { path, reason: error.reason() });
            }
        }
        self.index.retain(&keep);
        let mut kept = keep.iter();
        self.cache.retain(|_| kept.next() == Some(&true));
    }
}

impl ImageDataset for ImageFolder {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let absent = || out_of_range(index, self.len());
        let slot = self.cache.get(index).ok_or_else(absent)?;
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
        let path = self.path(index).ok_or_else(|| out_of_range(index, self.len()))?;
        decode_file(&path)
    }

    fn content_key(&self) -> Option<ContentKey> {
        let mut key = KeyBuilder::default();
        for path in (0..self.len()).filter_map(|index| self.path(index)) {
            key.add_file(&path);
        }
        Some(key.finish())
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.index.label(index)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.index.path(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(path: &Path, value: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(3, 2, image::Rgb([value, 0, 0])).save(path).unwrap();
    }

    #[test]
    fn train_and_test_folders_share_their_class_names() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in [
            ("train/cat/1.png", 1),
            ("train/dog/2.png", 2),
            ("train/ant/0.png", 0),
            ("test/dog/3.png", 3),
            ("test/yak/4.png", 4),
        ] {
            save(&root.path().join(file), value);
        }
        let splits = open_image_folder("x", root.path()).unwrap();
        assert_eq!(splits.train.class_names(), ["ant", "cat", "dog"]);
        assert_eq!(splits.train.label(2), Some(2));
        let test = splits.test.unwrap();
        assert_eq!((test.label(0), test.label(1)), (Some(2), None));
        assert_eq!(test.image(1).unwrap().get_pixel(0, 0).0[0], 4);
    }

    #[test]
    fn imagenet_s_folders_with_its_upper_case_extension() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in
            [("train/n02/n02_1.JPEG", 9), ("train/n01/n01_1.JPEG", 5), ("val/n02/v_1.JPEG", 200)]
        {
            save(&root.path().join(file), value);
        }
        let splits = open_image_folder("x", root.path()).unwrap();
        assert_eq!(splits.train.class_names(), ["n01", "n02"]);
        let val = splits.test.unwrap();
        assert_eq!((splits.train.len(), val.len(), val.label(0)), (2, 1, Some(1)));
    }

    #[test]
    fn class_folders_without_a_test_split_hold_out_every_tenth() {
        let root = tempfile::tempdir().unwrap();
        for i in 0..20 {
            save(&root.path().join(format!("a/{i:02}.png")), i);
            save(&root.path().join(format!("b/{i:02}.png")), i);
        }
        let splits = open_image_folder("x", root.path()).unwrap();
        let test = splits.test.unwrap();
        assert_eq!((splits.train.len(), test.len()), (36, 4));
        assert_eq!(test.image(0).unwrap().get_pixel(0, 0).0[0], 9);
    }

    #[test]
    fn loose_images_are_unlabelled_and_bad_ones_skipped() {
        let root = tempfile::tempdir().unwrap();
        save(&root.path().join("one.png"), 1);
        save(&root.path().join("deep/er/two.png"), 2);
        std::fs::rename(root.path().join("one.png"), root.path().join("png-named.jpg")).unwrap();
        std::fs::write(root.path().join("broken.jpg"), b"\xff\xd8\xff\xe0 not really").unwrap();
        std::fs::write(root.path().join("empty.png"), b"").unwrap();
        std::fs::write(root.path().join("notes.txt"), b"hello").unwrap();
        let splits = open_image_folder("x", root.path()).unwrap();
        assert_eq!(splits.train.len(), 2);
        assert!(splits.test.is_none() && splits.train.label(0).is_none());
        let names: Vec<_> =
            splits.skipped.iter().map(|s| s.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["broken.jpg", "empty.png"]);
        assert!(splits.skipped.iter().all(|s| !s.reason.is_empty()));
    }

    #[test]
    fn a_heavy_folder_is_not_decoded_on_opening() {
        let root = tempfile::tempdir().unwrap();
        save(&root.path().join("good.png"), 1);
        // Without content: it takes no space.
        let heavy = std::fs::File::create(root.path().join("heavy.png")).unwrap();
        heavy.set_len(EAGER_BYTES + 1).unwrap();
        let splits = open_image_folder("x", root.path()).unwrap();
        assert_eq!((splits.train.len(), splits.skipped.len()), (2, 0));
        let error = splits.train.image(1).unwrap_err().to_string();
        assert!(error.contains("heavy.png") && error.contains("beyond the limit"), "{error}");
    }

    #[test]
    fn a_folder_without_a_readable_image_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let error = open_image_folder("x", root.path()).err().unwrap().to_string();
        assert!(error.contains("no readable image"), "{error}");
        std::fs::write(root.path().join("broken.png"), b"no").unwrap();
        let error = open_image_folder("x", root.path()).err().unwrap().to_string();
        assert!(error.contains("broken.png"), "{error}");
        assert!(open_image_folder("x", &root.path().join("none")).is_err());
    }
}

//! A folder of images, with class sub-folders or without any label.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use image::RgbImage;
use rayon::prelude::*;

use crate::dataset::out_of_range;
use crate::decode::decode_file;
use crate::sums::SUMS_FILE;
use crate::{DataError, ImageDataset, Skipped, Splits, Subset};

const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jfif"];
/// Decoded pixels kept in memory.
const CACHE_BYTES: u64 = 4 << 30;
/// A folder whose files weigh less than this is decoded on opening, so that unreadable files are
/// known before training starts.
const EAGER_BYTES: u64 = 1 << 30;
/// Folders nested deeper than this are not searched.
const MAX_DEPTH: usize = 32;
/// Of a labelled folder without a test split, every tenth image of each class is tested on.
const HOLD_OUT: usize = 10;

/// Opens a folder of images.
///
/// - `train/CLASS/…` with `test/CLASS/…` or `val/CLASS/…`: as it says.
/// - `CLASS/…`: labelled; every tenth image of each class is held out as the test split.
/// - anything else: all images at any depth, without labels and without a test split.
///
/// Images are ordered by class and path. A folder that weighs less than 1 GiB is decoded now and
/// unreadable files are left out and reported; of larger ones, files are decoded when they are
/// needed. Up to 4 GiB of decoded pixels are kept.
///
/// # Errors
/// No folder, or no readable image in it.
pub fn open_image_folder(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let root = sole_subfolder(folder)?;
    let mut skipped = Vec::new();
    let train_folder = root.join("train");
    if train_folder.is_dir() {
        let (train, names) = scan(&train_folder)?;
        let train = ImageFolder::load(&train_folder, train, names.clone(), &mut skipped)?;
        let test_folder = ["test", "val"].map(|n| root.join(n)).into_iter().find(|p| p.is_dir());
        let test = match test_folder {
            Some(path) => {
                let (files, test_names) = scan(&path)?;
                let files = relabel(files, &test_names, &names);
                let test = ImageFolder::load(&path, files, names, &mut skipped)?;
                Some(Arc::new(test) as Arc<dyn ImageDataset>)
            }
            None => None,
        };
        return Splits::new(name, Arc::new(train), test, skipped);
    }
    let (files, names) = scan(&root)?;
    let labelled = !names.is_empty();
    let all: Arc<dyn ImageDataset> =
        Arc::new(ImageFolder::load(&root, files, names, &mut skipped)?);
    if !labelled || all.len() < 2 * HOLD_OUT {
        return Splits::new(name, all, None, skipped);
    }
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let mut seen: BTreeMap<Option<u32>, usize> = BTreeMap::new();
    for index in 0..all.len() {
        let seen = seen.entry(all.label(index)).or_default();
        *seen += 1;
        if seen.is_multiple_of(HOLD_OUT) { test.push(index) } else { train.push(index) }
    }
    let test = (!test.is_empty())
        .then(|| Arc::new(Subset::new(all.clone(), test)) as Arc<dyn ImageDataset>);
    Splits::new(name, Arc::new(Subset::new(all, train)), test, skipped)
}

struct File {
    path: PathBuf,
    bytes: u64,
    label: Option<u32>,
}

/// Archives often wrap everything in one folder; that one is meant then.
fn sole_subfolder(folder: &Path) -> Result<PathBuf, DataError> {
    let mut entries = read_dir(folder)?;
    // Imports and downloads add it beside what they unpack.
    entries.retain(|path| path.file_name().is_none_or(|name| name != SUMS_FILE));
    match &entries[..] {
        [only] if only.is_dir() && only.file_name().is_some_and(|n| n != "train") => {
            Ok(only.clone())
        }
        _ => Ok(folder.to_owned()),
    }
}

/// The entries of a folder in the order of their names.
fn read_dir(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let error = || DataError::io("read the folder", folder);
    let mut entries = std::fs::read_dir(folder)
        .map_err(error())?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(error())?;
    entries.sort();
    Ok(entries)
}

/// All image files, and class names if the folder has classes.
fn scan(root: &Path) -> Result<(Vec<File>, Vec<String>), DataError> {
    let entries = read_dir(root)?;
    let images_at_root = entries.iter().any(|path| is_image(path));
    let mut classes = Vec::new();
    if !images_at_root {
        for path in entries.iter().filter(|p| p.is_dir() && !p.is_symlink()) {
            if read_dir(path)?.iter().any(|p| is_image(p)) {
                classes.push(path.clone());
            }
        }
    }
    let mut files = Vec::new();
    if classes.is_empty() {
        collect(root, None, 0, &mut files)?;
        return Ok((files, Vec::new()));
    }
    let mut names = Vec::new();
    for (label, class) in classes.iter().enumerate() {
        names.push(class.file_name().unwrap_or_default().to_string_lossy().into_owned());
        collect(class, Some(label as u32), 0, &mut files)?;
    }
    Ok((files, names))
}

fn collect(
    folder: &Path,
    label: Option<u32>,
    depth: usize,
    files: &mut Vec<File>,
) -> Result<(), DataError> {
    for path in read_dir(folder)? {
        // Links could lead out of the folder, or in circles.
        let Ok(kind) = std::fs::symlink_metadata(&path) else { continue };
        if kind.is_dir() && depth < MAX_DEPTH {
            collect(&path, label, depth + 1, files)?;
        } else if kind.is_file() && is_image(&path) {
            files.push(File { bytes: kind.len(), path, label });
        }
    }
    Ok(())
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

/// Labels of one split in the terms of another; a class unknown there has no label here.
fn relabel(mut files: Vec<File>, from: &[String], to: &[String]) -> Vec<File> {
    for file in &mut files {
        let name = file.label.and_then(|l| from.get(l as usize));
        file.label = name.and_then(|n| to.iter().position(|t| t == n)).map(|l| l as u32);
    }
    files
}

/// Image files, decoded at most once while the cache has room.
pub struct ImageFolder {
    files: Vec<File>,
    cache: Vec<OnceLock<Arc<RgbImage>>>,
    cached_bytes: AtomicU64,
    class_names: Vec<String>,
}

impl ImageFolder {
    fn load(
        root: &Path,
        files: Vec<File>,
        class_names: Vec<String>,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Self, DataError> {
        if files.is_empty() {
            let detail = format!(" ({} are looked for)", EXTENSIONS.join(", "));
            return Err(DataError::NoImages { path: root.to_owned(), detail });
        }
        let eager = files.iter().map(|f| f.bytes).sum::<u64>() <= EAGER_BYTES;
        let mut folder = Self {
            cache: files.iter().map(|_| OnceLock::new()).collect(),
            files,
            cached_bytes: AtomicU64::new(0),
            class_names,
        };
        if eager {
            let results: Vec<_> =
                (0..folder.files.len()).into_par_iter().map(|i| folder.image(i).err()).collect();
            let mut keep = Vec::new();
            for (file, error) in folder.files.iter().zip(results) {
                keep.push(error.is_none());
                if let Some(error) = error {
                    let reason = match error {
                        DataError::Format { reason, .. } => reason,
                        other => other.to_string(),
                    };
                    skipped.push(Skipped { path: file.path.clone(), reason });
                }
            }
            let mut kept = keep.iter();
            folder.files.retain(|_| kept.next() == Some(&true));
            let mut kept = keep.iter();
            folder.cache.retain(|_| kept.next() == Some(&true));
        }
        if folder.files.is_empty() {
            let detail = match skipped.last() {
                Some(last) => format!("; {}: {}", last.path.display(), last.reason),
                None => String::new(),
            };
            return Err(DataError::NoImages { path: root.to_owned(), detail });
        }
        Ok(folder)
    }
}

impl ImageDataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let (Some(slot), Some(file)) = (self.cache.get(index), self.files.get(index)) else {
            return Err(out_of_range(index, self.len()));
        };
        if let Some(image) = slot.get() {
            return Ok(image.clone());
        }
        let image = Arc::new(decode_file(&file.path)?);
        let bytes = image.as_raw().len() as u64;
        if self.cached_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= CACHE_BYTES {
            return Ok(slot.get_or_init(|| image).clone());
        }
        self.cached_bytes.fetch_sub(bytes, Ordering::Relaxed);
        Ok(image)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.files.get(index)?.label
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn path(&self, index: usize) -> Option<&Path> {
        self.files.get(index).map(|f| f.path.as_path())
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

//! Whether a data set is unchanged, and as its manifest says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;

use super::entries::find;
use super::manifest::Manifest;
use crate::files::checksums::{SUMS_FILE, read_sums, sum_of};
use crate::{DataError, ImageDataset, Links, Skipped, Source, Splits, open};

/// The files compared with `SHA256SUMS`. Paths are relative to the data set's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileCheck {
    /// Files with the right sum.
    pub right: u64,
    /// Listed, but not here.
    pub missing: Vec<PathBuf>,
    /// Here with another sum, or unreadable.
    pub changed: Vec<PathBuf>,
    /// Here, but not listed; links, too.
    pub extra: Vec<PathBuf>,
}

/// How many images a split has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageCount {
    /// As opened.
    pub found: u64,
    /// As the manifest says; `None` without a manifest.
    pub expected: Option<u64>,
}

impl ImageCount {
    /// Whether it is as the manifest says. Without a manifest it is right.
    pub fn is_right(&self) -> bool {
        self.expected.is_none_or(|expected| expected == self.found)
    }
}

/// What [`verify`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The files. `None` if there is no `SHA256SUMS`.
    pub files: Option<FileCheck>,
    /// Images to train on.
    pub train: ImageCount,
    /// Images to test on.
    pub test: ImageCount,
    /// Images that cannot be decoded, by file or as `train/INDEX` and `test/INDEX`.
    pub unreadable: Vec<Skipped>,
}

impl VerifyReport {
    /// Whether nothing is wrong. A missing `SHA256SUMS` is not wrong.
    pub fn is_right(&self) -> bool {
        let files = self.files.as_ref().is_none_or(|files| {
            files.missing.is_empty() && files.changed.is_empty() && files.extra.is_empty()
        });
        files && self.train.is_right() && self.test.is_right() && self.unreadable.is_empty()
    }
}

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyEvent {
    /// Files compared with their sums.
    Files {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// Images decoded.
    Images {
        /// So far.
        done: u64,
        /// Of how many.
        total: u64,
    },
}

/// Compares a data set with its `SHA256SUMS` and its manifest, and decodes every image.
///
/// `progress` is called from several threads.
///
/// # Errors
/// An unknown data set, one that is not here or cannot be opened at all, or a `SHA256SUMS` that
/// cannot be read. Anything else that is wrong is in the report.
pub fn verify(
    name: &str,
    root: &Path,
    progress: &(dyn Fn(VerifyEvent) + Sync),
) -> Result<VerifyReport, DataError> {
    let entry = find(name, root)?;
    let folder = root.join(name);
    let files = if folder.is_dir() { check_files(&folder, progress)? } else { None };
    let splits = open(&Source::Named(name.into()), root, Links::Follow)?;
    let tests = splits.test.as_ref().map_or(0, |test| test.len() as u64);
    let done = AtomicU64::new(0);
    let total = splits.train.len() as u64 + tests;
    let decode = |split: &str, images: &dyn ImageDataset| -> Vec<Skipped> {
        let check = |index: usize| {
            let error = images.image(index).err();
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(VerifyEvent::Images { done, total });
            let path = || match images.name(index) {
                name if images.path(index).is_none() => Path::new(split).join(name),
                name => name,
            };
            error.map(|error| Skipped { path: path(), reason: error.reason() })
        };
        (0..images.len()).into_par_iter().filter_map(check).collect()
    };
    let mut unreadable = splits.skipped.clone();
    unreadable.extend(decode("train", &*splits.train));
    unreadable.extend(splits.test.iter().flat_map(|test| decode("test", &**test)));
    let [train, test] = counts(&splits, entry.manifest.as_ref());
    Ok(VerifyReport { files, train, test, unreadable })
}

/// Images to train on and to test on.
pub(crate) fn counts(splits: &Splits, manifest: Option<&Manifest>) -> [ImageCount; 2] {
    let tests = splits.test.as_ref().map_or(0, |test| test.len() as u64);
    let (train, test) = (manifest.map(|m| m.train_images), manifest.map(|m| m.test_images));
    // If the manifest has no test images, held-out images count as training images.
    let held_out = if splits.layout.held_out && test.is_none_or(|n| n == 0) { tests } else { 0 };
    [
        ImageCount { found: splits.train.len() as u64 + held_out, expected: train },
        ImageCount { found: tests - held_out, expected: test },
    ]
}

fn check_files(
    folder: &Path,
    progress: &(dyn Fn(VerifyEvent) + Sync),
) -> Result<Option<FileCheck>, DataError> {
    let Some(sums) = read_sums(folder)? else { return Ok(None) };
    let mut here = BTreeSet::new();
    walk(folder, Path::new(""), &mut here)?;
    here.remove(Path::new(SUMS_FILE));
    let done = AtomicU64::new(0);
    let total = sums.len() as u64;
    // A path through a link was not unpacked, so only files found by the walk count as here.
    let right = sums.par_iter().map(|(path, sum)| {
        let same = here.contains(path).then(|| {
            let path = folder.join(path);
            let regular = std::fs::symlink_metadata(&path).is_ok_and(|m| m.is_file());
            regular && sum_of(&path).is_ok_and(|found| found == *sum)
        });
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(VerifyEvent::Files { done, total });
        same
    });
    let right: Vec<Option<bool>> = right.collect();
    let mut check = FileCheck::default();
    for ((path, _), right) in sums.into_iter().zip(right) {
        here.remove(&path);
        match right {
            Some(true) => check.right += 1,
            Some(false) => check.changed.push(path),
            None => check.missing.push(path),
        }
    }
    check.extra = here.into_iter().collect();
    Ok(Some(check))
}

/// Everything but folders, by its path from `folder`.
fn walk(folder: &Path, relative: &Path, found: &mut BTreeSet<PathBuf>) -> Result<(), DataError> {
    let here = folder.join(relative);
    for entry in std::fs::read_dir(&here).map_err(DataError::io("read", &here))? {
        let entry = entry.map_err(DataError::io("read", &here))?;
        let path = relative.join(entry.file_name());
        if entry.file_type().map_err(DataError::io("read", &here))?.is_dir() {
            walk(folder, &path, found)?;
        } else {
            found.insert(path);
        }
    }
    Ok(())
}

/// The number of files under a folder, and of their bytes. Links are not followed.
pub(crate) fn weigh(folder: &Path) -> Result<(u64, u64), DataError> {
    let mut found = BTreeSet::new();
    walk(folder, Path::new(""), &mut found)?;
    let size = |path: &PathBuf| std::fs::symlink_metadata(folder.join(path)).map_or(0, |m| m.len());
    Ok((found.len() as u64, found.iter().map(size).sum()))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::{import, info};

    /// A data set `mine` of two classes with a manifest that counts `train` images.
    fn imported(root: &Path, train: u64) -> PathBuf {
        let source = root.join("source");
        for class in ["cat", "dog"] {
            std::fs::create_dir_all(source.join(class)).unwrap();
            for value in 0..5u8 {
                let image = RgbImage::from_pixel(3, 2, Rgb([value, 0, 0]));
                image.save(source.join(class).join(format!("{value}.png"))).unwrap();
            }
        }
        let sets = root.join("sets");
        std::fs::create_dir(&sets).unwrap();
        let manifest = format!(
            "description = \"d\"\nlayout = \"image-folder\"\ntrain_images = {train}\n\
             test_images = 0\nlicence = \"l\"\ncitation = \"c\"\nhomepage = \"h\"\n"
        );
        std::fs::write(sets.join("mine.toml"), manifest).unwrap();
        import(&source, &sets, "mine").unwrap();
        sets
    }

    #[test]
    fn an_untouched_import_is_right_and_known() {
        let root = tempfile::tempdir().unwrap();
        let sets = imported(root.path(), 10);
        let images = AtomicU64::new(0);
        let count = |event| {
            if matches!(event, VerifyEvent::Images { total: 10, .. }) {
                images.fetch_add(1, Ordering::Relaxed);
            }
        };
        let report = verify("mine", &sets, &count).unwrap();
        assert!(report.is_right(), "{report:?}");
        assert_eq!(report.files.unwrap().right, 10);
        assert_eq!(images.into_inner(), 10);
        let info = info("mine", &sets).unwrap();
        assert!(info.has_sums && info.entry.present);
        assert_eq!(info.files, 11);
    }

    #[test]
    fn missing_changed_and_extra_files_and_wrong_counts_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let sets = imported(root.path(), 11);
        let mine = sets.join("mine");
        std::fs::remove_file(mine.join("cat/0.png")).unwrap();
        std::fs::write(mine.join("dog/1.png"), b"no picture").unwrap();
        std::fs::copy(mine.join("dog/2.png"), mine.join("dog/new.png")).unwrap();
        let report = verify("mine", &sets, &|_| ()).unwrap();
        assert!(!report.is_right());
        let files = report.files.unwrap();
        assert_eq!(files.right, 8);
        assert_eq!(files.missing, [Path::new("cat/0.png")]);
        assert_eq!(files.changed, [Path::new("dog/1.png")]);
        assert_eq!(files.extra, [Path::new("dog/new.png")]);
        assert_eq!(report.train, ImageCount { found: 9, expected: Some(11) });
        assert_eq!(report.unreadable.len(), 1);
        assert!(report.unreadable[0].path.ends_with("dog/1.png"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_in_place_of_a_file_is_a_change() {
        let root = tempfile::tempdir().unwrap();
        let sets = imported(root.path(), 10);
        let path = sets.join("mine/cat/0.png");
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("../dog/0.png", &path).unwrap();
        let files = verify("mine", &sets, &|_| ()).unwrap().files.unwrap();
        assert_eq!(files.changed, [Path::new("cat/0.png")]);
    }
}

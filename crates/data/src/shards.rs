//! Data sets that are spread over several files of one kind, by split.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::folder::scan::read_dir;
use crate::{DataError, ImageDataset, Skipped, Splits};

/// Folders nested deeper than this are not searched: `data/train/…` needs two.
const MAX_DEPTH: usize = 4;
/// Files of one kind in a folder.
const MAX_SHARDS: usize = 100_000;
/// More than ImageNet-21k has; a label beyond is damage, and would make a list of names too long.
pub(crate) const MAX_CLASSES: u32 = 100_000;

/// Files in the order of their paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shards {
    pub(crate) train: Vec<PathBuf>,
    pub(crate) validation: Vec<PathBuf>,
    pub(crate) test: Vec<PathBuf>,
}

/// The files with `extension` in a folder and its sub-folders.
///
/// A word of their path says which split they belong to (`test-00000-of-00001.parquet`,
/// `val/0001.tar`); those without such a word are trained on.
pub(crate) fn shards(folder: &Path, extension: &str) -> Result<Shards, DataError> {
    let mut paths = Vec::new();
    collect(folder, extension, 0, &mut paths)?;
    if paths.len() > MAX_SHARDS {
        let reason = format!("more than {MAX_SHARDS} .{extension} files");
        return Err(DataError::format(folder, reason));
    }
    let mut shards = Shards::default();
    for path in paths {
        let relative = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().to_lowercase();
        let has = |words: &[&str]| {
            relative.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word))
        };
        if has(&["train"]) {
            shards.train.push(path);
        } else if has(&["test"]) {
            shards.test.push(path);
        } else if has(&["val", "valid", "validation"]) {
            shards.validation.push(path);
        } else {
            shards.train.push(path);
        }
    }
    Ok(shards)
}

fn collect(
    folder: &Path,
    extension: &str,
    depth: usize,
    paths: &mut Vec<PathBuf>,
) -> Result<(), DataError> {
    for entry in read_dir(folder)? {
        let path = folder.join(&entry.name);
        // Links could lead out of the folder, or in circles.
        if entry.kind.is_dir() && depth < MAX_DEPTH {
            collect(&path, extension, depth + 1, paths)?;
        } else if entry.kind.is_file()
            && path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
        {
            paths.push(path);
        }
    }
    Ok(())
}

/// Splits of what the shards of each hold; `open` reads those of one split, with `None` for no image.
///
/// The test split is `test`, or `validation` when there is no labelled image in `test`: competitions
/// publish their test images without labels. Without either, labelled images are held out.
pub(crate) fn open_shards<D: ImageDataset + 'static>(
    name: &str,
    folder: &Path,
    shards: &Shards,
    open: impl Fn(&[PathBuf], &mut Vec<Skipped>) -> Result<Option<D>, DataError>,
) -> Result<Splits, DataError> {
    let mut skipped = Vec::new();
    let Some(train) = open(&shards.train, &mut skipped)? else {
        let detail = match skipped.last() {
            Some(last) => format!("; {}: {}", last.path.display(), last.reason),
            None => " to train on".into(),
        };
        return Err(DataError::NoImages { path: folder.to_owned(), detail });
    };
    let labelled = |set: &dyn ImageDataset| (0..set.len()).any(|i| set.label(i).is_some());
    for paths in [&shards.test, &shards.validation] {
        let mut skipped_here = Vec::new();
        let test = open(paths, &mut skipped_here)?.filter(|test| labelled(test));
        if let Some(test) = test {
            skipped.extend(skipped_here);
            return Ok(Splits::new(name, Arc::new(train), Some(Arc::new(test)), skipped));
        }
    }
    Ok(Splits::with_tenths_held_out(name, Arc::new(train), skipped))
}

/// Names for the labels up to `largest`: `names` if they are enough, numbers otherwise, and none
/// without a label.
pub(crate) fn names_or_numbers(names: &[String], largest: Option<u32>) -> Vec<String> {
    let Some(largest) = largest else { return Vec::new() };
    let classes = largest as usize + 1;
    match names.len() >= classes {
        true => names.to_vec(),
        false => (0..classes).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_the_path_names_the_split() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            "a.tar",
            "data/validation-00000-of-00001.tar",
            "imagenet1k-train-0001.TAR",
            "test/0.tar",
            "tests-of-patience.tar",
            "val/0.tar",
        ];
        for file in files.iter().chain(&["notes.txt", "a.tar.gz"]) {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let paths = |places: &[usize]| places.iter().map(|i| root.path().join(files[*i])).collect();
        let expected =
            Shards { train: paths(&[0, 2, 4]), validation: paths(&[1, 5]), test: paths(&[3]) };
        assert_eq!(shards(root.path(), "tar").unwrap(), expected);
    }
}

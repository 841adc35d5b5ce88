//! Data sets that are spread over several files of one kind, by split.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::folder::walk::read_dir;
use crate::image_set::ImageStore;
use crate::labels::RawLabels;
use crate::layout::counted;
use crate::splits::{Found, assemble};
use crate::{DataError, Layout, Skipped, Splits};

/// Folders nested deeper than this are not searched: `data/train/…` needs two.
const MAX_DEPTH: usize = 4;
/// Files of one kind in a folder.
const MAX_SHARDS: usize = 100_000;

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

/// Splits of what the shards of each hold; `open` reads those of one split, and gives each image the
/// number of its label in `RawLabels`. `names` are those of the classes, if a list came along.
///
/// The test split is `test`, or `validation` when there is no labelled image in `test`: competitions
/// publish their test images without labels. Without either, labelled images are held out.
pub(crate) fn open_shards<S: ImageStore + 'static>(
    name: &str,
    shards: &Shards,
    names: impl FnOnce(&S) -> Vec<String>,
    layout: Layout,
    open: impl Fn(&[PathBuf], &mut RawLabels, &mut Vec<Skipped>) -> Result<S, DataError>,
) -> Result<Splits, DataError> {
    let mut labels = RawLabels::default();
    let mut read = |paths: &[PathBuf], what: &str| {
        let mut skipped = Vec::new();
        let store = open(paths, &mut labels, &mut skipped)?;
        let place = counted(paths.len() as u64, &format!("{what} file"));
        Ok::<_, DataError>(Found { place, store, skipped, unknown: BTreeMap::new() })
    };
    let mut train = read(&shards.train, "training")?;
    let mut tests = vec![read(&shards.test, "test")?, read(&shards.validation, "validation")?];
    let numbers = |store: &S| (0..store.len()).filter_map(|index| store.label(index)).collect();
    let mut used: Vec<u32> = numbers(&train.store);
    used.sort_unstable();
    used.dedup();
    let classes = labels.classes(&used, &names(&train.store));
    for test in &mut tests {
        for label in numbers(&test.store).into_iter().filter(|label| classes.of(*label).is_none()) {
            if let Some(text) = labels.class_text(label) {
                *test.unknown.entry(text.to_owned()).or_default() += 1;
            }
        }
        test.store.relabel(&|label| classes.of(label));
    }
    train.store.relabel(&|label| classes.of(label));
    assemble(name, train, tests, classes.names, layout)
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

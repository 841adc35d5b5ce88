//! Opens a data set by its name or its folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::detect::open_detected;
use super::entries::find;
use super::manifest::Manifest;
use crate::formats::folder::sole_subfolder;
use crate::{
    DataError, FileFormat, Opening, ShapesDataset, Splits, open_idx, open_parquet, open_stl10,
    open_svhn, open_tiny_imagenet, open_web_dataset,
};

/// Images of `shapes` to train on and to test on.
const SHAPES: (usize, usize) = (8000, 2000);
const SHAPES_SEED: u64 = 0;

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A data set of the catalogue, or an imported one.
    Named(String),
    /// A folder of images.
    Folder(PathBuf),
}

/// Opens a data set. `root` is the data sets' folder: manifests, and one folder for each set.
///
/// # Errors
/// An unknown name, absent or damaged files.
pub fn open(
    source: &Source,
    root: &Path,
    opening: impl Into<Opening>,
) -> Result<Splits, DataError> {
    let opening = opening.into();
    let name = match source {
        Source::Folder(path) => {
            let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
            return open_detected(&name, path, opening);
        }
        Source::Named(name) => name,
    };
    let entry = find(name, root)?;
    let folder = root.join(name);
    if !entry.present {
        let hint = entry.manifest.map(|m| m.hint(name)).unwrap_or_default();
        return Err(DataError::Absent { name: name.clone(), folder, hint });
    }
    match &entry.manifest {
        None => open_detected(name, &folder, opening),
        Some(manifest) => open_as(manifest, name, &folder, opening),
    }
}

/// Opens the data set in `folder` as its manifest says.
pub(crate) fn open_as(
    manifest: &Manifest,
    name: &str,
    folder: &Path,
    opening: Opening,
) -> Result<Splits, DataError> {
    match manifest.layout {
        FileFormat::Drawn => {
            let (train, test) = SHAPES;
            let train_set = Arc::new(ShapesDataset::new(SHAPES_SEED, 0, train));
            let test_set = Arc::new(ShapesDataset::new(SHAPES_SEED, train as u64, test));
            Ok(Splits::new(name, train_set, Some(test_set), Vec::new()))
        }
        FileFormat::Idx => open_idx(name, folder, manifest.classes.clone(), manifest.split_at),
        FileFormat::Stl10 => open_stl10(name, &sole_subfolder(folder)?),
        FileFormat::Svhn => open_svhn(name, &sole_subfolder(folder)?),
        FileFormat::TinyImagenet => {
            open_tiny_imagenet(name, &sole_subfolder(folder)?, opening.reading)
        }
        FileFormat::WebDataset => open_web_dataset(name, &sole_subfolder(folder)?, opening),
        FileFormat::Parquet => open_parquet(name, &sole_subfolder(folder)?, opening),
        FileFormat::CifarBinary | FileFormat::ImageFolder => open_detected(name, folder, opening),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::manifest::tests::SHAPES_TOML;
    use crate::{Links, list};

    #[test]
    fn lists_manifests_and_folders_and_opens_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("shapes.toml"), SHAPES_TOML).unwrap();
        let absent = SHAPES_TOML.replace("drawn", "idx");
        std::fs::write(root.path().join("mnist.toml"), absent).unwrap();
        std::fs::create_dir(root.path().join("photos")).unwrap();
        let entries = list(root.path()).unwrap();
        // The others are built in.
        let here = |name: &str| ["mnist", "photos", "shapes"].contains(&name);
        let found = entries.iter().map(|e| (e.name.as_str(), e.present));
        let found: Vec<_> = found.filter(|(name, _)| here(name)).collect();
        assert_eq!(found, [("mnist", false), ("photos", true), ("shapes", true)]);

        let splits = open(&Source::Named("shapes".into()), root.path(), Links::Follow).unwrap();
        assert_eq!((splits.train.len(), splits.test.unwrap().len()), SHAPES);
        let error = |name: &str| {
            open(&Source::Named(name.into()), root.path(), Links::Follow).err().unwrap().to_string()
        };
        assert!(error("mnist").contains("dataset import mnist"), "{}", error("mnist"));
        let unknown = error("imagenot");
        assert!(unknown.contains("mnist, photos, shapes") && unknown.contains("dataset import"));
        assert!(!unknown.contains("did you mean"), "{unknown}");
        assert!(error("Shape").contains("did you mean shapes?"), "{}", error("Shape"));
        assert!(error("photos").contains("no readable image"));
    }

    /// Empty files: the parser that refuses them shows what they were taken for.
    #[test]
    fn files_say_what_a_folder_is_also_when_it_is_wrapped_or_pointed_at() {
        for (file, refusal) in [
            ("data_batch_1.bin", "data_batch_1.bin: truncated"),
            ("train-images-idx3-ubyte", "train-labels"),
            ("train_X.bin", "train_X.bin: truncated"),
            ("train_32x32.mat", "train_32x32.mat: truncated"),
            ("val/val_annotations.txt", "train"),
            ("train/0000.tar", "holds no readable image"),
            ("data/train-0.parquet", "train-0.parquet: "),
            ("n01.jpg", "n01.jpg: "),
        ] {
            let root = tempfile::tempdir().unwrap();
            let path = root.path().join("mine/wrapped").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
            let sources = [Source::Named("mine".into()), Source::Folder(root.path().join("mine"))];
            for source in sources {
                let error = open(&source, root.path(), Links::Follow).err().unwrap().to_string();
                assert!(error.contains(refusal), "{file}: {error}");
            }
        }
    }

    fn pictures(root: &Path, folders: &[&str]) {
        for (folder, value) in folders.iter().flat_map(|folder| [(folder, 1), (folder, 2)]) {
            let path = root.join(folder).join(format!("{value}.png"));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            image::RgbImage::from_pixel(2, 2, image::Rgb([value, 0, 0])).save(path).unwrap();
        }
    }

    #[test]
    fn a_stray_file_of_a_published_set_takes_no_pictures_away() {
        let root = tempfile::tempdir().unwrap();
        pictures(root.path(), &["cat", "dog"]);
        std::fs::write(root.path().join("train.bin"), b"x").unwrap();
        let source = Source::Folder(root.path().to_owned());
        let splits = open(&source, root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.len() + splits.test.as_ref().unwrap().len(), 4);
        assert!(splits.layout.notes[0].starts_with("train.bin is not used"), "{:?}", splits.layout);
    }

    #[test]
    fn a_test_folder_that_cannot_be_read_makes_way_for_the_next_one() {
        let root = tempfile::tempdir().unwrap();
        pictures(root.path(), &["train/cat", "train/dog", "val/cat", "val/dog", "test/cat"]);
        for name in ["1.png", "2.png"] {
            std::fs::write(root.path().join("test/cat").join(name), b"junk").unwrap();
        }
        let source = Source::Folder(root.path().to_owned());
        let splits = open(&source, root.path(), Links::Follow).unwrap();
        assert_eq!((splits.layout.test.as_deref(), splits.skipped.len()), (Some("val/"), 2));
        assert_eq!(splits.layout.notes, ["none of the test images in test/ can be read"]);
        assert!(splits.untested().is_none() && splits.layout.passed_over.is_empty());
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_that_is_called_like_a_shard_keeps_nobody_waiting() {
        let root = tempfile::tempdir().unwrap();
        pictures(root.path(), &["cat", "dog"]);
        for name in ["x.parquet", "x.tar"] {
            let made = std::process::Command::new("mkfifo").arg(root.path().join(name)).status();
            assert!(made.unwrap().success());
        }
        let source = Source::Folder(root.path().to_owned());
        let splits = open(&source, root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.len() + splits.test.unwrap().len(), 4);
    }

    #[cfg(unix)]
    #[test]
    fn class_folders_whose_names_are_not_unicode_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let root = tempfile::tempdir().unwrap();
        pictures(root.path(), &["x", "y"]);
        for (from, to) in [("x", b"a\xff"), ("y", b"a\xfe")] {
            let to = root.path().join(std::ffi::OsStr::from_bytes(to));
            if std::fs::rename(root.path().join(from), to).is_err() {
                // A file system that has no such names.
                return;
            }
        }
        let source = Source::Folder(root.path().to_owned());
        let splits = open(&source, root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.class_names(), [r"a\xfe", r"a\xff"]);
    }
}

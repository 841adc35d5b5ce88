//! Data sets by name: manifests, and what lies in the data sets' folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use crate::detect::open_detected;
use crate::folder::sole_subfolder;
use crate::image_set::Opening;
use crate::lists::read_list;
use crate::sums::SUMS_FILE;
use crate::verify::weigh;
use crate::{
    DataError, ShapesDataset, Splits, open_idx, open_parquet, open_stl10, open_svhn,
    open_tiny_imagenet, open_web_dataset,
};

/// Images of `shapes` to train on and to test on.
const SHAPES: (usize, usize) = (8000, 2000);
const SHAPES_SEED: u64 = 0;

/// What a data set is, as `datasets/NAME.toml` says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// One sentence.
    pub description: String,
    /// How its files are laid out.
    pub layout: FileFormat,
    /// Images to train on.
    pub train_images: u64,
    /// Images to test on.
    pub test_images: u64,
    /// SPDX identifier, or words.
    pub licence: String,
    /// Whom to cite.
    pub citation: String,
    /// Where it comes from.
    pub homepage: String,
    /// Split the only pair of IDX files after this many images.
    #[serde(default)]
    pub split_at: Option<usize>,
    /// Names of the classes in the order of their labels.
    #[serde(default)]
    pub classes: Vec<String>,
    /// The files to be downloaded, if any.
    #[serde(default)]
    pub files: Vec<ManifestFile>,
}

/// How a data set's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Drawn by the program.
    Drawn,
    /// MNIST's format.
    Idx,
    /// CIFAR's binary version.
    CifarBinary,
    /// Images in folders.
    ImageFolder,
    /// STL-10's binary version.
    Stl10,
    /// SVHN's cropped digits.
    Svhn,
    /// Tiny ImageNet's folders and lists.
    TinyImagenet,
    /// Shards in tar format.
    WebDataset,
    /// Parquet files with encoded images.
    Parquet,
}

/// One file of a data set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Where to get it; the last part of the path is its name.
    pub url: String,
    /// Where else to get the same bytes, in the order to try.
    #[serde(default)]
    pub mirrors: Vec<String>,
    /// Its size, where known.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its SHA-256 in hexadecimal, where known.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl ManifestFile {
    /// Its name, or `None` if the URL does not end with one that is safe to write.
    pub fn name(&self) -> Option<&str> {
        let path = self.url.split(['?', '#']).next()?.split_once("://")?.1;
        let (_, name) = path.rsplit_once('/')?;
        let safe = !name.starts_with('.') && !name.contains(['\\', ':', '\0']);
        (safe && !name.is_empty()).then_some(name)
    }
}

impl Manifest {
    /// How to get the files.
    pub(crate) fn hint(&self, name: &str) -> String {
        if self.files.is_empty() {
            let home = &self.homepage;
            return format!(
                "they cannot be downloaded by this program; get them from {home} and import the \
                 folder or archive with `cargo xtask dataset import {name} PATH`"
            );
        }
        format!(
            "get them with `cargo xtask dataset download {name}`, or import a copy with \
             `cargo xtask dataset import {name} PATH`"
        )
    }
}

/// Where images come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A data set of the catalogue or one that was imported.
    Named(String),
    /// A folder of images.
    Folder(PathBuf),
}

/// One line of `dataset list`.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    /// What to call it by.
    pub name: String,
    /// Whether its files are here.
    pub present: bool,
    /// Absent for an imported folder.
    pub manifest: Option<Manifest>,
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
    let Some(manifest) = &entry.manifest else { return open_detected(name, &folder, opening) };
    match manifest.layout {
        FileFormat::Drawn => {
            let (train, test) = SHAPES;
            let train_set = Arc::new(ShapesDataset::new(SHAPES_SEED, 0, train));
            let test_set = Arc::new(ShapesDataset::new(SHAPES_SEED, train as u64, test));
            Ok(Splits::new(name, train_set, Some(test_set), Vec::new()))
        }
        FileFormat::Idx => open_idx(name, &folder, manifest.classes.clone(), manifest.split_at),
        FileFormat::Stl10 => open_stl10(name, &sole_subfolder(&folder)?),
        FileFormat::Svhn => open_svhn(name, &sole_subfolder(&folder)?),
        FileFormat::TinyImagenet => {
            open_tiny_imagenet(name, &sole_subfolder(&folder)?, opening.reading)
        }
        FileFormat::WebDataset => open_web_dataset(name, &sole_subfolder(&folder)?, opening),
        FileFormat::Parquet => open_parquet(name, &sole_subfolder(&folder)?, opening),
        FileFormat::CifarBinary | FileFormat::ImageFolder => open_detected(name, &folder, opening),
    }
}

/// All that is known of a data set without opening it.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetInfo {
    /// Its name, whether it is here, and its manifest.
    pub entry: CatalogEntry,
    /// Where its files are, or would be.
    pub folder: PathBuf,
    /// Files in the folder.
    pub files: u64,
    /// Bytes in the folder.
    pub bytes: u64,
    /// Whether the folder has a `SHA256SUMS` to verify the files with.
    pub has_sums: bool,
}

/// All that is known of a data set without opening it.
///
/// # Errors
/// An unknown name, or a folder that cannot be read.
pub fn info(name: &str, root: &Path) -> Result<DatasetInfo, DataError> {
    let entry = find(name, root)?;
    let folder = root.join(name);
    let (files, bytes) = if folder.is_dir() { weigh(&folder)? } else { (0, 0) };
    let has_sums = folder.join(SUMS_FILE).is_file();
    Ok(DatasetInfo { entry, folder, files, bytes, has_sums })
}

/// The data set of that name, here or not.
pub(crate) fn find(name: &str, root: &Path) -> Result<CatalogEntry, DataError> {
    let mut entries = list(root)?;
    if let Some(index) = entries.iter().position(|entry| entry.name == name) {
        return Ok(entries.swap_remove(index));
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    // `Fashion_Mini` and `fashon-mini`, but not every name that has some letters of another one.
    let plain = name.to_lowercase().replace(['_', ' '], "-");
    let most = (plain.chars().count() / 3).clamp(1, 3);
    let nearest = known.iter().map(|known| (strsim::osa_distance(known, &plain), *known)).min();
    let nearest = nearest.filter(|(distance, _)| *distance <= most);
    let meant = nearest.map(|(_, known)| known.to_owned());
    Err(DataError::Unknown { name: name.into(), meant, known: known.join(", ") })
}

/// All data sets with a manifest in `root` or a folder there, by name.
///
/// # Errors
/// A folder that cannot be read, or a manifest that cannot be understood.
pub fn list(root: &Path) -> Result<Vec<CatalogEntry>, DataError> {
    let mut entries: Vec<CatalogEntry> = Vec::new();
    let mut paths = std::fs::read_dir(root)
        .map_err(DataError::io("read the data sets' folder", root))?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(DataError::io("read the data sets' folder", root))?;
    // `name` sorts before `name.toml`, so that a manifest finds its folder's entry.
    paths.sort();
    for path in paths {
        let Some(name) = path.file_stem().and_then(|s| s.to_str()).map(str::to_owned) else {
            continue;
        };
        if path.is_dir() && path.extension().is_none() && !name.starts_with('.') {
            entries.push(CatalogEntry { name, present: true, manifest: None });
        } else if path.extension().is_some_and(|e| e == "toml") {
            let text = read_list(&path)?;
            let manifest: Manifest = toml::from_str(&text)
                .map_err(|e| DataError::format(&path, e.to_string().trim().to_owned()))?;
            let drawn = manifest.layout == FileFormat::Drawn;
            match entries.iter_mut().find(|e| e.name == name) {
                Some(entry) => entry.manifest = Some(manifest),
                None => {
                    entries.push(CatalogEntry { name, present: drawn, manifest: Some(manifest) });
                }
            }
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Links;

    const SHAPES_TOML: &str = r#"
        description = "Drawn."
        layout = "drawn"
        train_images = 8000
        test_images = 2000
        licence = "MIT"
        citation = "none"
        homepage = "none"
    "#;

    #[test]
    fn lists_manifests_and_folders_and_opens_what_is_there() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("shapes.toml"), SHAPES_TOML).unwrap();
        let absent = SHAPES_TOML.replace("drawn", "idx");
        std::fs::write(root.path().join("mnist.toml"), absent).unwrap();
        std::fs::create_dir(root.path().join("photos")).unwrap();
        let entries = list(root.path()).unwrap();
        let found: Vec<_> = entries.iter().map(|e| (e.name.as_str(), e.present)).collect();
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

    #[test]
    fn a_manifest_that_cannot_be_understood_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("bad.toml"), "description = 3").unwrap();
        let error = list(root.path()).unwrap_err().to_string();
        assert!(error.contains("bad.toml"), "{error}");
    }

    #[test]
    fn every_layout_has_its_name_in_manifests() {
        for (name, layout) in [
            ("drawn", FileFormat::Drawn),
            ("idx", FileFormat::Idx),
            ("cifar-binary", FileFormat::CifarBinary),
            ("image-folder", FileFormat::ImageFolder),
            ("stl10", FileFormat::Stl10),
            ("svhn", FileFormat::Svhn),
            ("tiny-imagenet", FileFormat::TinyImagenet),
            ("web-dataset", FileFormat::WebDataset),
            ("parquet", FileFormat::Parquet),
        ] {
            let text = SHAPES_TOML.replace("drawn", name);
            let text = text.replace("Drawn.", "");
            assert_eq!(toml::from_str::<Manifest>(&text).unwrap().layout, layout);
        }
    }

    /// Files without content: which parser refuses them shows what they were taken for.
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

    #[test]
    fn the_name_of_a_file_is_the_safe_end_of_its_url() {
        let name = |url: &str| {
            let file = ManifestFile { url: url.into(), mirrors: vec![], bytes: None, sha256: None };
            file.name().map(str::to_owned)
        };
        assert_eq!(name("https://a.org/b/c.tar.gz?d=/e#f").as_deref(), Some("c.tar.gz"));
        for bad in ["https://a.org", "https://a.org/", "https://a.org/b/..", "c.tar", "x://y/a\\b"]
        {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn every_manifest_of_the_repository_can_be_used() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        let entries = list(&root).unwrap();
        assert!(entries.len() >= 14, "{}", entries.len());
        for (entry, manifest) in entries.iter().filter_map(|e| Some((e, e.manifest.as_ref()?))) {
            for file in &manifest.files {
                assert!(file.name().is_some(), "{}", file.url);
                let digits = file.sha256.as_ref().expect("a sum for every file");
                assert!(crate::sums::from_hex(digits.as_bytes()).is_some(), "{}", file.url);
            }
            assert!(manifest.train_images > 0, "{}", entry.name);
        }
    }
}

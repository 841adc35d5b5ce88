//! A copy of somebody's images under the data sets' folder.

use std::path::{Path, PathBuf};

use super::entries::{CatalogEntry, find};
use super::manifest::Manifest;
use super::open::open_as;
use super::verify::{ImageCount, counts};
use crate::files::archive::{Format, UnpackLimits, Unpacker};
use crate::{DataError, Links};

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Where the files are now.
    pub folder: PathBuf,
    /// Files copied.
    pub files: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Links and special files that were left out.
    pub left_out: u64,
    /// Images to train on and to test on, if `name` has a manifest.
    pub images: Option<[ImageCount; 2]>,
}

/// Copies a folder, or unpacks a `.tar`, `.tar.gz`, `.tgz`, `.tar.zst` or `.zip` archive, to
/// `root/name`. Adds a `SHA256SUMS` of all files, in place of one in the source.
///
/// Everything goes to a temporary folder first, and its rename completes the import. Links are
/// neither followed nor made. An entry that points out of the folder ends the import.
///
/// If `name` has a manifest, the files must open as it says. The images are counted. Compare
/// [`ImportReport::images`] with the manifest.
///
/// # Errors
/// A name that is not `[a-z0-9-]+` or is taken, an unreadable source, a hostile archive, or files
/// that are not those of the manifest.
pub fn import(source: &Path, root: &Path, name: &str) -> Result<ImportReport, DataError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
        let reason = "a name has lower-case letters, digits and dashes";
        return Err(DataError::Request(format!("{name:?} cannot name a data set: {reason}")));
    }
    let folder = root.join(name);
    if folder.exists() {
        let folder = folder.display();
        return Err(DataError::Request(format!(
            "{folder} exists already; remove it or choose another name"
        )));
    }
    let known = find(name, root).ok();
    if known.as_ref().is_some_and(CatalogEntry::is_drawn) {
        return Err(DataError::Request(format!(
            "{name} is the name of images that the program draws; choose another name"
        )));
    }
    let kind = std::fs::metadata(source).map_err(DataError::io("read", source))?;
    std::fs::create_dir_all(root).map_err(DataError::io("make", root))?;
    let staging = tempfile::Builder::new()
        .prefix(".import-")
        .tempdir_in(root)
        .map_err(DataError::io("write to", root))?;
    let mut target = Unpacker::new(staging.path(), UnpackLimits::default());
    if kind.is_dir() {
        target.copy_folder(source)?;
    } else {
        let Some(format) = source.file_name().and_then(Format::of) else {
            let reason = "neither a folder nor a .tar, .tar.gz, .tgz, .tar.zst or .zip archive";
            return Err(DataError::format(source, reason));
        };
        target.unpack(source, format)?;
    }
    if target.files() == 0 {
        return Err(DataError::NoImages { path: source.to_owned(), detail: String::new() });
    }
    target.finish()?;
    let images = match known.and_then(|known| known.manifest) {
        Some(manifest) => Some(count(&manifest, name, source, staging.path())?),
        None => None,
    };
    std::fs::rename(staging.path(), &folder).map_err(DataError::io("move files to", &folder))?;
    // The temporary name no longer exists, so nothing is left to remove.
    let _ = staging.keep();
    let (files, bytes, left_out) = (target.files(), target.bytes, target.left_out);
    Ok(ImportReport { folder, files, bytes, left_out, images })
}

/// The images of the set in `folder`, a copy of `source`.
fn count(
    manifest: &Manifest,
    name: &str,
    source: &Path,
    folder: &Path,
) -> Result<[ImageCount; 2], DataError> {
    let splits = open_as(manifest, name, folder, Links::Skip.into()).map_err(|error| {
        // The copy will be gone.
        let source = source.display().to_string();
        let reason = error.to_string().replace(&folder.display().to_string(), &source);
        DataError::Request(format!("{source} is not {name}: {reason}; choose another name"))
    })?;
    Ok(counts(&splits, Some(manifest)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::checksums::read_sums;

    #[test]
    fn a_second_import_must_not_touch_the_first() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("1.png"), b"1").unwrap();
        import(&source, root.path(), "mine").unwrap();
        let error = import(&source, root.path(), "mine").unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
    }

    #[test]
    fn the_first_import_makes_the_folder_and_drawn_images_keep_their_name() {
        let temp = tempfile::tempdir().unwrap();
        let (source, root) = (temp.path().join("source"), temp.path().join("not/there/yet"));
        std::fs::create_dir(&source).unwrap();
        std::fs::write(source.join("1.png"), b"1").unwrap();
        let error = import(&source, &root, "shapes").unwrap_err().to_string();
        assert!(error.contains("choose another name"), "{error}");
        import(&source, &root, "mine").unwrap();
    }

    #[test]
    fn a_failed_import_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source.tar");
        let sets = root.path().join("sets");
        std::fs::create_dir(&sets).unwrap();
        std::fs::write(&source, [7; 1000]).unwrap();
        assert!(import(&source, &sets, "mine").is_err());
        assert_eq!(std::fs::read_dir(&sets).unwrap().count(), 0);
        for name in ["", "..", "A", "a/b", "-x"] {
            assert!(import(root.path(), &sets, name).is_err(), "{name}");
        }
        let text = root.path().join("notes.txt");
        std::fs::write(&text, "hello").unwrap();
        let error = import(&text, &sets, "mine").unwrap_err().to_string();
        assert!(error.contains("neither a folder nor"), "{error}");
    }

    #[test]
    fn a_folder_is_copied_with_its_sums() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        std::fs::create_dir_all(source.join("x")).unwrap();
        std::fs::write(source.join("x/1.png"), b"123").unwrap();
        std::fs::write(source.join("SHA256SUMS"), b"of another folder").unwrap();
        let sets = root.path().join("sets");
        std::fs::create_dir(&sets).unwrap();
        let report = import(&source, &sets, "copy").unwrap();
        assert_eq!((report.files, report.bytes), (1, 3));
        assert!(sets.join("copy/x/1.png").is_file());
        let sums = read_sums(&sets.join("copy")).unwrap().unwrap();
        assert_eq!(sums.iter().map(|s| s.0.to_str().unwrap()).collect::<Vec<_>>(), ["x/1.png"]);
    }
}

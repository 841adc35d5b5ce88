//! Which images a folder holds, and in what order.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::index::Index;
use crate::sums::SUMS_FILE;
use crate::{DataError, Skipped};

pub(super) const EXTENSIONS: [&str; 9] =
    ["jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "jfif"];
/// Folders nested deeper than this are not searched.
const MAX_DEPTH: usize = 32;

/// What was found in a folder. The order of the files is that of their paths, name by name.
#[derive(Default)]
pub(crate) struct Scan {
    pub(crate) index: Index,
    /// Empty when the folder has no classes; else each file has a label.
    pub(crate) class_names: Vec<String>,
    /// What looked like an image or a folder and could not be taken.
    pub(crate) skipped: Vec<Skipped>,
    /// Whether there are images in the folder itself.
    images_on_top: bool,
}

pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: FileType,
}

/// The entries of a folder in the order of their names, without what is hidden and what archives
/// bring along.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn read_dir(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .filter(|entry| entry.as_ref().map_or(true, |e| !is_ignored(&e.file_name())))
                // The kind comes with the name from most file systems: no question for each file.
                .map(|entry| {
                    entry.and_then(|e| Ok(Entry { name: e.file_name(), kind: e.file_type()? }))
                })
                .collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(DataError::io("read", folder))?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// All images of a folder, with its sub-folders as classes if there are images in some of them
/// and none outside.
///
/// # Errors
/// A folder that cannot be read; a sub-folder is skipped then.
pub(super) fn scan(root: &Path) -> Result<Scan, DataError> {
    let entries = read_dir(root)?;
    let is_image = |entry: &Entry| !entry.kind.is_dir() && is_image(&entry.name);
    let mut all = Scan { images_on_top: entries.iter().any(is_image), ..Scan::default() };
    // The order of the results does not depend on which thread is done first.
    let folders: Vec<Scan> = entries
        .par_iter()
        .filter(|entry| entry.kind.is_dir())
        .map(|entry| {
            let mut found = Scan::default();
            found.search(&root.join(&entry.name), 1);
            found
        })
        .collect();
    let classes = !all.images_on_top && folders.iter().any(|folder| folder.images_on_top);
    let mut folders = folders.into_iter();
    for entry in entries {
        if !entry.kind.is_dir() {
            all.add(root, &entry);
            continue;
        }
        let Some(mut folder) = folders.next() else { continue };
        all.skipped.append(&mut folder.skipped);
        if classes && !folder.images_on_top {
            if folder.index.len() > 0 {
                let reason = "other folders beside it have images of their own and are classes";
                all.skip(root.join(&entry.name), reason.into());
            }
            continue;
        }
        if classes {
            let label = all.class_names.len() as u32;
            folder.index.relabel(|_| Some(label));
            all.class_names.push(entry.name.to_string_lossy().into_owned());
        }
        all.index.append(folder.index);
    }
    Ok(all)
}

/// All images of a folder at any depth, without classes.
pub(crate) fn scan_flat(root: &Path) -> Scan {
    let mut found = Scan::default();
    found.search(root, 1);
    found
}

/// All images of a folder whose sub-folders are classes, in which they may lie at any depth.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn scan_classes(root: &Path) -> Result<Scan, DataError> {
    let mut all = Scan::default();
    for entry in read_dir(root)?.into_iter().filter(|entry| entry.kind.is_dir()) {
        let mut class = scan_flat(&root.join(&entry.name));
        let label = all.class_names.len() as u32;
        class.index.relabel(|_| Some(label));
        all.class_names.push(entry.name.to_string_lossy().into_owned());
        all.index.append(class.index);
        all.skipped.append(&mut class.skipped);
    }
    Ok(all)
}

impl Scan {
    fn search(&mut self, folder: &Path, depth: usize) {
        if depth > MAX_DEPTH {
            return self.skip(folder.to_owned(), format!("nested deeper than {MAX_DEPTH} folders"));
        }
        let entries = match read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => return self.skip(folder.to_owned(), error.reason()),
        };
        for entry in entries {
            if entry.kind.is_dir() {
                self.search(&folder.join(&entry.name), depth + 1);
            } else {
                self.images_on_top |= depth == 1 && is_image(&entry.name);
                self.add(folder, &entry);
            }
        }
    }

    /// A file, a link, or something stranger.
    fn add(&mut self, folder: &Path, entry: &Entry) {
        let path = || folder.join(&entry.name);
        let linked = entry.kind.is_symlink();
        if !(is_image(&entry.name) || linked && path().is_dir()) {
            return;
        }
        let reason = if linked {
            // It could lead out of the folder, or in circles.
            "a symbolic link, which is not followed"
        } else if !entry.kind.is_file() {
            "not a regular file"
        } else if !self.index.push(folder, &entry.name) {
            "its name is not Unicode"
        } else {
            return;
        };
        self.skip(path(), reason.into());
    }

    fn skip(&mut self, path: PathBuf, reason: String) {
        self.skipped.push(Skipped { path, reason });
    }
}

pub(crate) fn is_image(name: &OsStr) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|e| EXTENSIONS.iter().any(|known| e.eq_ignore_ascii_case(known)))
}

fn is_ignored(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || name == "__MACOSX" || name == SUMS_FILE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths of images, the classes, and what is skipped.
    fn paths(files: &[&str]) -> [Vec<String>; 3] {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        let found = scan(root.path()).unwrap();
        let relative = |p: &Path| p.strip_prefix(root.path()).unwrap().display().to_string();
        let images = (0..found.index.len()).map(|i| relative(&found.index.path(i).unwrap()));
        let skipped = found.skipped.iter().map(|s| relative(&s.path));
        [images.collect(), found.class_names, skipped.collect()]
    }

    /// The index of an image keys the randomness of a run: this order must not change.
    #[test]
    fn files_come_in_the_order_of_their_paths_name_by_name() {
        let shuffled = ["b.png", "a/z.png", "a-.png", "B.png", "a/b/c.JPG", "a/y.tif", "a/a"];
        let [found, classes, skipped] = paths(&shuffled);
        assert_eq!(found, ["B.png", "a/b/c.JPG", "a/y.tif", "a/z.png", "a-.png", "b.png"]);
        assert!(classes.is_empty() && skipped.is_empty());
    }

    #[test]
    fn classes_are_folders_with_images_of_their_own() {
        let files = ["b/1.png", "a/2.png", "a/more/3.png", "c/d/4.png", ".e/5.png", "README.md"];
        let [found, classes, skipped] = paths(&files);
        assert_eq!(found, ["a/2.png", "a/more/3.png", "b/1.png"]);
        assert_eq!(classes, ["a", "b"]);
        // Whoever puts images there should know that they are not used.
        assert_eq!(skipped, ["c"]);
    }
}

//! The paths of millions of files in little memory.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Files in the order in which they were added. Each takes 12 bytes and its name. Consecutive files
/// of one folder share a path and a label.
#[derive(Default)]
pub(crate) struct Index {
    folders: Vec<Folder>,
    folder_of: Vec<u32>,
    /// All names, one after the other,
    names: Vec<u8>,
    /// and the end of each.
    name_ends: Vec<usize>,
}

struct Folder {
    path: PathBuf,
    label: Option<u32>,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.folder_of.len()
    }

    /// Adds a file. `false` if its name cannot be kept: on systems whose names are not bytes, they
    /// must be Unicode.
    #[must_use]
    pub(crate) fn push(&mut self, folder: &Path, name: &OsStr) -> bool {
        let Some(name) = to_bytes(name) else { return false };
        if self.folders.last().is_none_or(|last| last.path.as_os_str() != folder.as_os_str()) {
            self.folders.push(Folder { path: folder.to_owned(), label: None });
        }
        self.folder_of.push(self.folders.len() as u32 - 1);
        self.names.extend_from_slice(name);
        self.name_ends.push(self.names.len());
        true
    }

    /// Maps the labels of all files, folder by folder.
    pub(crate) fn relabel(&mut self, label: impl Fn(Option<u32>) -> Option<u32>) {
        for folder in &mut self.folders {
            folder.label = label(folder.label);
        }
    }

    /// Puts the files of `other` behind these.
    pub(crate) fn append(&mut self, other: Self) {
        let (folders, names) = (self.folders.len() as u32, self.names.len());
        self.folders.extend(other.folders);
        self.folder_of.extend(other.folder_of.into_iter().map(|folder| folder + folders));
        self.names.extend(other.names);
        self.name_ends.extend(other.name_ends.into_iter().map(|end| end + names));
    }

    /// The folders of the files in their order, with the number of files. A folder comes again if
    /// files of others lie between.
    pub(crate) fn folders(&self) -> Vec<(&Path, usize)> {
        let mut folders: Vec<_> = self.folders.iter().map(|f| (f.path.as_path(), 0)).collect();
        for folder in &self.folder_of {
            folders[*folder as usize].1 += 1;
        }
        folders
    }

    /// Gives the files of each of the [`folders`](Self::folders) their label.
    pub(crate) fn label_folders(&mut self, labels: &[Option<Option<u32>>]) {
        for (folder, label) in self.folders.iter_mut().zip(labels) {
            folder.label = label.flatten();
        }
    }

    /// The files of the [`folders`](Self::folders) that `labels` keeps, with a label or without
    /// one.
    pub(crate) fn select(&self, labels: &[Option<Option<u32>>]) -> Self {
        let mut selected = Self::default();
        let mut place = vec![None; self.folders.len()];
        for (index, folder) in self.folder_of.iter().enumerate() {
            let Some(Some(label)) = labels.get(*folder as usize) else { continue };
            let place = place[*folder as usize].get_or_insert_with(|| {
                let path = self.folders[*folder as usize].path.clone();
                selected.folders.push(Folder { path, label: *label });
                selected.folders.len() as u32 - 1
            });
            selected.folder_of.push(*place);
            selected.names.extend_from_slice(self.name(index));
            selected.name_ends.push(selected.names.len());
        }
        selected
    }

    /// The place of a file's folder among [`folders`](Self::folders).
    pub(crate) fn folder_of(&self, index: usize) -> Option<usize> {
        self.folder_of.get(index).map(|folder| *folder as usize)
    }

    /// The files for which `keep` is true. It has one entry for each file.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let mut kept = Self { folders: std::mem::take(&mut self.folders), ..Self::default() };
        for index in (0..self.len()).filter(|index| keep[*index]) {
            kept.folder_of.push(self.folder_of[index]);
            kept.names.extend_from_slice(self.name(index));
            kept.name_ends.push(kept.names.len());
        }
        *self = kept;
    }

    pub(crate) fn path(&self, index: usize) -> Option<PathBuf> {
        Some(self.folder(index)?.path.join(from_bytes(self.name(index))))
    }

    pub(crate) fn label(&self, index: usize) -> Option<u32> {
        self.folder(index)?.label
    }

    fn folder(&self, index: usize) -> Option<&Folder> {
        self.folders.get(*self.folder_of.get(index)? as usize)
    }

    fn name(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.name_ends[index - 1] };
        &self.names[start..self.name_ends[index]]
    }
}

#[cfg(unix)]
fn to_bytes(name: &OsStr) -> Option<&[u8]> {
    Some(std::os::unix::ffi::OsStrExt::as_bytes(name))
}

#[cfg(unix)]
fn from_bytes(name: &[u8]) -> &OsStr {
    std::os::unix::ffi::OsStrExt::from_bytes(name)
}

#[cfg(not(unix))]
fn to_bytes(name: &OsStr) -> Option<&[u8]> {
    name.to_str().map(str::as_bytes)
}

#[cfg(not(unix))]
fn from_bytes(name: &[u8]) -> &OsStr {
    // All names here were made by `to_bytes`.
    std::str::from_utf8(name).unwrap_or_default().as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_their_order_folder_and_label() {
        let mut index = Index::default();
        assert!(index.push(Path::new("a"), OsStr::new("1.png")));
        assert!(index.push(Path::new("a/b"), OsStr::new("2.png")));
        assert!(index.push(Path::new("a"), OsStr::new("3.png")));
        index.relabel(|_| Some(7));
        let mut other = Index::default();
        assert!(other.push(Path::new("c"), OsStr::new("4.png")));
        index.append(other);
        index.retain(&[true, false, true, true]);
        let found: Vec<_> = (0..4).map(|i| (index.path(i), index.label(i))).collect();
        let path = |path: &str| Some(PathBuf::from(path));
        let expected =
            [(path("a/1.png"), Some(7)), (path("a/3.png"), Some(7)), (path("c/4.png"), None)];
        assert_eq!(found[..3], expected);
        assert_eq!((&found[3], index.len()), (&(None, None), 3));
    }
}

//! The folders that hold images, as paths of names from the root.

use std::ffi::OsStr;

/// Where the images of one folder go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Into a split, 0 for the training images. The class is the name at the given depth of the
    /// path.
    Split(usize, usize),
    /// Left out, together with the folder that these names of the path lead to.
    Beside(usize, usize),
    /// Left out beside everything that is used.
    Stray,
}

/// One folder that has images of its own.
#[derive(Clone)]
pub(super) struct Folder<'a> {
    /// Names on the way from the root.
    pub(super) names: Vec<&'a OsStr>,
    pub(super) images: usize,
}

impl Folder<'_> {
    pub(super) fn name(&self, depth: usize) -> Option<&OsStr> {
        self.names.get(depth).copied()
    }
}

/// A name to show and to compare. What is not Unicode in it is written as bytes.
pub(super) fn text(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) => text.to_owned(),
        None => name.as_encoded_bytes().escape_ascii().to_string(),
    }
}

/// How many names two paths share from the beginning.
pub(super) fn common(names: &[&OsStr], others: &[&OsStr]) -> usize {
    names.iter().zip(others).take_while(|(name, other)| name == other).count()
}

/// The names at a depth of the folders that `of` accepts, each once.
pub(super) fn names_at(
    folders: &[Folder<'_>],
    depth: usize,
    of: impl Fn(&Folder<'_>) -> bool,
) -> Vec<String> {
    let names = folders.iter().filter(|folder| of(folder)).filter_map(|folder| folder.name(depth));
    let mut names: Vec<String> = names.map(text).collect();
    names.sort_unstable();
    names.dedup();
    names
}

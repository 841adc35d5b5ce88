//! Finds all images of a folder, at any depth, and everything else that lies there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::index::Index;
use crate::files::checksums::SUMS_FILE;
use crate::{DataError, Links, Skipped};

const EXTENSIONS: [&str; 14] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm",
    "pnm",
];
/// Folders nested deeper than this are not searched.
const MAX_DEPTH: usize = 32;

/// Entries of a folder that are walked together. What they hold is kept until all are done.
const TOGETHER: usize = 4096;

/// Why a link was left out.
pub(crate) const NOT_FOLLOWED: &str = "a symbolic link, and links are not followed";

/// What was found in a folder. Files are ordered by their paths, name by name.
#[derive(Default)]
pub(crate) struct Walk {
    pub(crate) index: Index,
    /// Entries that look like an image or a folder and could not be read.
    pub(crate) skipped: Vec<Skipped>,
    /// How many files are not images, by extension in lower case.
    pub(crate) unread: BTreeMap<String, u64>,
    /// Folders of runs of this program, with the number of pictures in them.
    pub(crate) runs: Vec<(PathBuf, u64)>,
    /// The links that were followed.
    pub(crate) links: Vec<Linked>,
}

/// A symbolic link that was followed.
pub(crate) struct Linked {
    pub(crate) link: PathBuf,
    /// Its final target, with all links resolved.
    pub(crate) target: PathBuf,
    pub(crate) to_folder: bool,
    /// Places in the index of its files.
    pub(crate) files: Range<usize>,
}

pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) kind: FileType,
}

/// The entries of a folder in the order of their names, without hidden ones and leftovers of
/// archives.
///
/// # Errors
/// A folder that cannot be read.
pub(crate) fn read_dir(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let mut entries = std::fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .filter(|entry| entry.as_ref().map_or(true, |e| !is_ignored(&e.file_name())))
                // Most file systems give the kind with the name, so this costs no system call for
                // each file.
                .map(|entry| {
                    entry.and_then(|e| Ok(Entry { name: e.file_name(), kind: e.file_type()? }))
                })
                .collect::<std::io::Result<Vec<_>>>()
        })
        .map_err(DataError::io("read", folder))?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// All images in a folder and its sub-folders, without labels.
///
/// # Errors
/// A folder that cannot be read. An unreadable sub-folder is skipped.
pub(crate) fn walk(root: &Path, links: Links) -> Result<Walk, DataError> {
    let chain = Chain::start(root)?;
    let entries = read_dir(root)?;
    let mut found = Walk::default();
    found.take(root, entries, &chain, links);
    Ok(found)
}

/// The real folders on the path to a folder, to recognise a link that leads back.
struct Chain {
    real: PathBuf,
    before: Option<Arc<Chain>>,
    depth: usize,
}

impl Chain {
    fn start(root: &Path) -> Result<Arc<Self>, DataError> {
        let real = std::fs::canonicalize(root).map_err(DataError::io("read", root))?;
        Ok(Arc::new(Self { real, before: None, depth: 0 }))
    }

    fn enter(self: &Arc<Self>, real: PathBuf) -> Arc<Self> {
        Arc::new(Self { real, before: Some(self.clone()), depth: self.depth + 1 })
    }

    /// Whether `folder` is one of these folders or holds one of them.
    fn passes(&self, folder: &Path) -> bool {
        let mut at = Some(self);
        while let Some(chain) = at {
            if chain.real.starts_with(folder) {
                return true;
            }
            at = chain.before.as_deref();
        }
        false
    }
}

impl Walk {
    fn search(folder: &Path, chain: &Arc<Chain>, links: Links) -> Self {
        let mut found = Self::default();
        if chain.depth > MAX_DEPTH {
            found.skip(folder.to_owned(), format!("nested deeper than {MAX_DEPTH} folders"));
            return found;
        }
        match read_dir(folder) {
            Ok(entries) if is_run(&entries) => {
                found.take(folder, entries, chain, Links::Skip);
                let pictures = found.index.len() as u64;
                found = Self { runs: vec![(folder.to_owned(), pictures)], ..Self::default() };
            }
            Ok(entries) => found.take(folder, entries, chain, links),
            Err(error) => found.skip(folder.to_owned(), error.reason()),
        }
        found
    }

    /// Everything in a folder, sub-folders side by side.
    fn take(&mut self, folder: &Path, entries: Vec<Entry>, chain: &Arc<Chain>, links: Links) {
        for entries in entries.chunks(TOGETHER) {
            // The order of the results does not depend on the threads.
            let further: Vec<Content> = entries
                .par_iter()
                .filter(|entry| !entry.kind.is_file())
                .map(|entry| Content::of(folder, entry, chain, links))
                .collect();
            let mut further = further.into_iter();
            for Entry { name, kind } in entries {
                match if kind.is_file() { Some(Content::File) } else { further.next() } {
                    Some(content) => self.add(folder, name, content),
                    None => break,
                }
            }
        }
    }

    fn append(&mut self, other: Self) {
        let before = self.index.len();
        self.index.append(other.index);
        self.skipped.extend(other.skipped);
        for (extension, files) in other.unread {
            *self.unread.entry(extension).or_default() += files;
        }
        self.runs.extend(other.runs);
        self.links.extend(other.links.into_iter().map(|linked| {
            let files = linked.files.start + before..linked.files.end + before;
            Linked { files, ..linked }
        }));
    }

    fn add(&mut self, folder: &Path, name: &OsStr, content: Content) {
        let path = || folder.join(name);
        match content {
            Content::Folder(found) => self.append(found),
            Content::LinkToFolder(target, found) => {
                let before = self.index.len();
                self.append(found);
                let files = before..self.index.len();
                self.links.push(Linked { link: path(), target, to_folder: true, files });
            }
            Content::Bad(reason) => self.skip(path(), reason),
            Content::File | Content::LinkToFile(_) if !is_image(name) => self.count_unread(name),
            Content::File => {
                self.add_file(folder, name);
            }
            Content::LinkToFile(target) => {
                if let Some(place) = self.add_file(folder, name) {
                    let files = place..place + 1;
                    self.links.push(Linked { link: path(), target, to_folder: false, files });
                }
            }
        }
    }

    /// Its place in the index.
    fn add_file(&mut self, folder: &Path, name: &OsStr) -> Option<usize> {
        let place = self.index.len();
        if self.index.push(folder, name) {
            return Some(place);
        }
        self.skip(folder.join(name), "its name is not Unicode".into());
        None
    }

    fn count_unread(&mut self, name: &OsStr) {
        let extension = Path::new(name).extension().unwrap_or_default();
        let extension = extension.to_string_lossy().to_ascii_lowercase();
        *self.unread.entry(extension).or_default() += 1;
    }

    fn skip(&mut self, path: PathBuf, reason: String) {
        self.skipped.push(Skipped { path, reason });
    }
}

/// What an entry of a folder is.
enum Content {
    File,
    Folder(Walk),
    /// A link, with its final target.
    LinkToFile(PathBuf),
    LinkToFolder(PathBuf, Walk),
    /// Neither, for this reason.
    Bad(String),
}

impl Content {
    fn of(folder: &Path, entry: &Entry, chain: &Arc<Chain>, links: Links) -> Self {
        let path = folder.join(&entry.name);
        if entry.kind.is_dir() {
            let chain = chain.enter(chain.real.join(&entry.name));
            return Self::Folder(Walk::search(&path, &chain, links));
        }
        let image = is_image(&entry.name);
        if !entry.kind.is_symlink() {
            // Anything but a file or a folder counts with the files that are not read.
            return if image { Self::Bad("not a regular file".into()) } else { Self::File };
        }
        let metadata = std::fs::metadata(&path);
        let to_folder = metadata.as_ref().is_ok_and(|m| m.is_dir());
        if !to_folder && !image {
            return if metadata.is_ok() { Self::File } else { Self::Bad(broken()) };
        }
        if links == Links::Skip {
            return Self::Bad(NOT_FOLLOWED.into());
        }
        // A circle of links has no target either.
        let Ok(target) = std::fs::canonicalize(&path) else { return Self::Bad(broken()) };
        match to_folder {
            true if chain.passes(&target) => {
                let target = target.display();
                Self::Bad(format!("a symbolic link in a circle: it leads back to {target}"))
            }
            true => {
                let found = Walk::search(&path, &chain.enter(target.clone()), links);
                Self::LinkToFolder(target, found)
            }
            false if metadata.is_ok_and(|m| m.is_file()) => Self::LinkToFile(target),
            false => Self::Bad("not a regular file".into()),
        }
    }
}

fn broken() -> String {
    "a broken symbolic link: it leads to nothing that is there".into()
}

/// Whether a run of this program wrote a folder with these entries. Its pictures are made from
/// images and must not be trained on.
fn is_run(entries: &[Entry]) -> bool {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    has("config.toml") && (has("checkpoints") || has("metrics.jsonl"))
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

    fn made(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        root
    }

    fn relative(root: &Path, path: &Path) -> String {
        path.strip_prefix(root).unwrap().display().to_string()
    }

    /// The index of an image keys the randomness of a run, so this order must not change.
    #[test]
    fn files_come_in_the_order_of_their_paths_name_by_name() {
        let files =
            ["b.png", "a/z.png", "a-.png", "B.png", "a/b/c.JPG", "a/y.tif", "a/a", "x.heic"];
        let root = made(&files);
        let found = walk(root.path(), Links::Follow).unwrap();
        let paths: Vec<_> = (0..found.index.len())
            .map(|i| relative(root.path(), &found.index.path(i).unwrap()))
            .collect();
        assert_eq!(paths, ["B.png", "a/b/c.JPG", "a/y.tif", "a/z.png", "a-.png", "b.png"]);
        assert!(found.skipped.is_empty());
        assert_eq!(found.unread, [(String::new(), 1), ("heic".into(), 1)].into());
    }

    #[test]
    fn the_folder_of_a_run_is_known() {
        let root = made(&["a.png", "run/config.toml", "run/metrics.jsonl", "run/neighbours.png"]);
        let found = walk(root.path(), Links::Follow).unwrap();
        assert_eq!((found.index.len(), found.runs), (1, vec![(root.path().join("run"), 1)]));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_and_circles_cut() {
        use std::os::unix::fs::symlink;
        let elsewhere = made(&["far/1.png"]);
        let root = made(&["a/1.png", "a/2.png"]);
        let at = |name: &str| root.path().join(name);
        symlink(elsewhere.path().join("far"), at("b")).unwrap();
        symlink(at("a/1.png"), at("c.png")).unwrap();
        symlink(root.path(), at("a/up")).unwrap();
        symlink(at("none"), at("d.png")).unwrap();
        symlink(at("e.png"), at("e.png")).unwrap();
        let found = walk(root.path(), Links::Follow).unwrap();
        let paths: Vec<_> = (0..found.index.len())
            .map(|i| relative(root.path(), &found.index.path(i).unwrap()))
            .collect();
        assert_eq!(paths, ["a/1.png", "a/2.png", "b/1.png", "c.png"]);
        let skipped: Vec<_> =
            found.skipped.iter().map(|s| relative(root.path(), &s.path)).collect();
        assert_eq!(skipped, ["a/up", "d.png", "e.png"]);
        let links: Vec<_> = found.links.iter().map(|l| (l.to_folder, l.files.clone())).collect();
        assert_eq!(links, [(true, 2..3), (false, 3..4)]);
        let found = walk(root.path(), Links::Skip).unwrap();
        assert_eq!((found.index.len(), found.skipped.len()), (2, 5));
    }
}

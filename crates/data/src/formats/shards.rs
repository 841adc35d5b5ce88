//! Data sets in several files of one kind, by split.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::folder::walk::{Entry, NOT_FOLLOWED, read_dir};
use super::folder::words::Role;
use super::raw_labels::RawLabels;
use crate::sets::image_set::{ImageStore, Reading};
use crate::sets::layout::counted;
use crate::sets::splits::{Found, assemble};
use crate::{DataError, Layout, Links, Skipped, Splits};

/// Folders nested deeper than this are not searched. In Hugging Face's cache,
/// `snapshots/REVISION/data/train/…` needs four.
const MAX_DEPTH: usize = 6;
/// Files of one kind in a folder.
const MAX_SHARDS: usize = 100_000;

/// Files in the order of their paths.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shards {
    pub(crate) train: Vec<PathBuf>,
    pub(crate) validation: Vec<PathBuf>,
    pub(crate) test: Vec<PathBuf>,
    /// Folders that could not be searched, or that are named like a shard.
    pub(crate) skipped: Vec<Skipped>,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Split {
    Train,
    Validation,
    Test,
}

/// The files in a folder and its sub-folders with one of `suffixes`, in any case. Or `folder`
/// itself, if it is such a file.
///
/// A word of the path names the split of a file (`test-00000-of-00001.parquet`,
/// `val2017/0001.tar`). The file's own name counts before those of its folders. Files without such
/// a word are trained on. Symbolic links are followed if `links` says so. A file that can be
/// reached in several ways is taken once.
///
/// # Errors
/// A folder that cannot be read, or more than 100,000 files.
pub(crate) fn shards(folder: &Path, suffixes: &[&str], links: Links) -> Result<Shards, DataError> {
    if folder.is_file() {
        let named = folder.file_name().is_some_and(|name| has_suffix(name, suffixes));
        let train = if named { vec![folder.to_owned()] } else { Vec::new() };
        return Ok(Shards { train, ..Shards::default() });
    }
    let mut search = Search { suffixes, follow: links, ..Search::default() };
    search.folders.extend(folder.canonicalize());
    search.search(folder, read_dir(folder)?, 0);
    search.follow_links();
    if search.paths.len() > MAX_SHARDS {
        let reason = format!("more than {MAX_SHARDS} files that end in {}", suffixes.join(" or "));
        return Err(DataError::format(folder, reason));
    }
    let mut shards = Shards { skipped: std::mem::take(&mut search.skipped), ..Shards::default() };
    for path in search.distinct() {
        let list = match split_of(path.strip_prefix(folder).unwrap_or(&path)) {
            Split::Train => &mut shards.train,
            Split::Validation => &mut shards.validation,
            Split::Test => &mut shards.test,
        };
        list.push(path);
    }
    Ok(shards)
}

#[derive(Default)]
struct Search<'a> {
    suffixes: &'a [&'a str],
    follow: Links,
    paths: Vec<PathBuf>,
    /// The real paths of folders, so that links do not lead in circles.
    folders: HashSet<PathBuf>,
    /// Links to folders, with the depth at which they stand.
    links: Vec<(PathBuf, usize)>,
    /// Whether any link was followed.
    linked: bool,
    skipped: Vec<Skipped>,
}

impl Shards {
    /// All files, whatever split they belong to.
    pub(crate) fn all(&self) -> Vec<PathBuf> {
        [&self.train[..], &self.validation, &self.test].concat()
    }
}

impl Search<'_> {
    fn search(&mut self, folder: &Path, entries: Vec<Entry>, depth: usize) {
        for entry in entries {
            let path = folder.join(&entry.name);
            let link = entry.kind.is_symlink();
            let is_folder = if link { path.is_dir() } else { entry.kind.is_dir() };
            let shard = has_suffix(&entry.name, self.suffixes);
            if link && (is_folder || shard) && self.follow == Links::Skip {
                self.skipped.push(Skipped { path, reason: NOT_FOLLOWED.into() });
            } else if is_folder && link {
                self.links.push((path, depth));
            } else if is_folder {
                self.search_folder(path, depth);
            } else if shard {
                // Links to nothing as well: reading them gives the error.
                self.linked |= link;
                self.paths.push(path);
            }
        }
    }

    fn search_folder(&mut self, path: PathBuf, depth: usize) {
        let before = self.paths.len();
        let known = path.canonicalize().is_ok_and(|real| !self.folders.insert(real));
        if known || depth == MAX_DEPTH || before > MAX_SHARDS {
            return;
        }
        match read_dir(&path) {
            Ok(entries) => self.search(&path, entries, depth + 1),
            Err(error) => {
                self.skipped.push(Skipped { path, reason: error.reason() });
                return;
            }
        }
        let named = path.file_name().is_some_and(|name| has_suffix(name, self.suffixes));
        if named && self.paths.len() == before {
            self.skipped.push(Skipped { path, reason: "a folder, not a file".into() });
        }
    }

    /// After all real folders, since their names say more about their files.
    fn follow_links(&mut self) {
        while let Some((path, depth)) = self.links.pop() {
            self.linked = true;
            self.search_folder(path, depth);
        }
        if self.linked {
            self.paths.sort_unstable();
        }
    }

    /// Each file once, by its own name if it has one here, in the order of the paths.
    fn distinct(self) -> Vec<PathBuf> {
        if !self.linked {
            return self.paths;
        }
        let mut real = HashMap::new();
        let places: Vec<PathBuf> = (self.paths.iter())
            .map(|path| path.canonicalize().unwrap_or_else(|_| path.clone()))
            .collect();
        for (number, (path, place)) in self.paths.iter().zip(&places).enumerate() {
            let linked = path.is_symlink();
            let known = real.entry(place).or_insert((linked, number));
            if known.0 && !linked {
                *known = (linked, number);
            }
        }
        let is_first = |number: usize| real[&places[number]].1 == number;
        let keep: Vec<bool> = (0..places.len()).map(is_first).collect();
        self.paths.into_iter().zip(keep).filter_map(|(path, keep)| keep.then_some(path)).collect()
    }
}

pub(crate) fn has_suffix(name: &OsStr, suffixes: &[&str]) -> bool {
    let name = name.as_encoded_bytes();
    suffixes.iter().any(|suffix| {
        let start = name.len().checked_sub(suffix.len());
        start.is_some_and(|start| name[start..].eq_ignore_ascii_case(suffix.as_bytes()))
    })
}

/// The split of a path below the folder, by its words from the end on.
fn split_of(path: &Path) -> Split {
    let role = path.iter().rev().find_map(|part| Role::in_words(&part.to_string_lossy()));
    match role {
        None | Some(Role::Training) => Split::Train,
        Some(role) if role.is_validation() => Split::Validation,
        Some(Role::Test(_)) => Split::Test,
    }
}

/// The splits that the shards hold. `open` reads the shards of one split, and gives each image the
/// number of its label in `RawLabels`. `names` are the classes, if the data set lists them.
///
/// The test split is `test`, or `validation` if `test` has no labelled image: competitions publish
/// test images without labels. Without either, labelled images are held out.
pub(crate) fn open_shards<S: ImageStore + 'static>(
    name: &str,
    shards: &Shards,
    names: impl FnOnce(&S) -> Vec<String>,
    layout: Layout,
    reading: Reading,
    open: impl Fn(&[PathBuf], &mut RawLabels, &mut Vec<Skipped>) -> Result<S, DataError>,
) -> Result<Splits, DataError> {
    let others = shards.test.len() + shards.validation.len();
    if shards.train.is_empty() && others > 0 {
        return Err(DataError::Request(format!(
            "{} has {} to test on and none to train on; call the one to train on by its own path",
            layout.root.display(),
            counted(others as u64, "file")
        )));
    }
    let mut labels = RawLabels::default();
    let mut read = |paths: &[PathBuf], what: &str| {
        let mut skipped = Vec::new();
        let store = open(paths, &mut labels, &mut skipped)?;
        let place = counted(paths.len() as u64, &format!("{what} file"));
        Ok::<_, DataError>(Found {
            place,
            store,
            skipped,
            beside: Vec::new(),
            unknown: BTreeMap::new(),
        })
    };
    let mut train = read(&shards.train, "training")?;
    train.skipped.extend(shards.skipped.iter().cloned());
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
    assemble(name, train, tests, classes.names, layout, reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"").unwrap();
        }
        root
    }

    /// Below the folder: to train on, to validate on, to test on, skipped.
    fn found(root: &Path, suffixes: &[&str]) -> [Vec<String>; 4] {
        let relative = |path: &PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        let Shards { train, validation, test, skipped } =
            shards(root, suffixes, Links::Follow).unwrap();
        let skipped = skipped.into_iter().map(|skipped| skipped.path).collect();
        [train, validation, test, skipped].map(|paths| paths.iter().map(relative).collect())
    }

    #[test]
    fn a_word_of_the_path_names_the_split() {
        let train = [
            "a.tar",
            "imagenet1k-train-0001.TAR",
            "my-tests/train2017/0.tar",
            "tests-of-patience.tar",
            "val/Training_0.tar.gz",
        ];
        let validation = [
            "data/validation-00000-of-00001.tar",
            "dev.tgz",
            "set/Eval/0.tar",
            "val2017-000.tar",
            "valid/0.tar",
        ];
        let test = ["TEST/0.tar", "testing-1.tar", "train/test-0.tar"];
        let files = [&train[..], &validation, &test, &["notes.txt", "._a.tar", "b.tar.xz"]];
        let root = folder_with(&files.concat());
        let suffixes = [".tar", ".tar.gz", ".tgz"];
        let [found_train, found_validation, found_test, skipped] = found(root.path(), &suffixes);
        assert_eq!(
            (&found_train[..], &found_test[..]),
            (&train.map(String::from)[..], &test.map(String::from)[..])
        );
        assert_eq!((found_validation, skipped), (validation.map(String::from).to_vec(), vec![]));
    }

    #[test]
    fn a_single_file_is_trained_on() {
        let root = folder_with(&["test-0.tar", "b.parquet"]);
        let tar = root.path().join("test-0.tar");
        assert_eq!(shards(&tar, &[".tar"], Links::Follow).unwrap().train, [&*tar]);
        assert!(shards(&tar, &[".parquet"], Links::Follow).unwrap().train.is_empty());
    }

    #[test]
    fn a_folder_called_like_a_file_is_searched_or_listed() {
        let root = folder_with(&["empty.tar/x.txt", "parts.tar/0.tar"]);
        let [train, _, _, skipped] = found(root.path(), &[".tar"]);
        assert_eq!((train, skipped), (vec!["parts.tar/0.tar".into()], vec!["empty.tar".into()]));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_without_circles_and_no_file_is_taken_twice() {
        use std::os::unix::fs::symlink;
        // As Hugging Face keeps what it downloads.
        let files = ["blobs/abc", "blobs/def", "snapshots/1/data/x/train-1.tar", "z/y.tar"];
        let root = folder_with(&files);
        let data = root.path().join("snapshots/1/data");
        symlink("../../../blobs/abc", data.join("train-0.tar")).unwrap();
        symlink("../../../blobs/def", data.join("test-0.tar")).unwrap();
        symlink("../../../blobs/abc", data.join("train-0-again.tar")).unwrap();
        symlink("../../..", data.join("circle")).unwrap();
        symlink("nowhere", data.join("train-9.tar")).unwrap();
        symlink("z/y.tar", root.path().join("a.tar")).unwrap();
        symlink("../../../z", root.path().join("snapshots/1/data/linked")).unwrap();
        symlink("snapshots/1/data", root.path().join("an earlier name")).unwrap();
        let [train, _, test, skipped] = found(root.path(), &[".tar"]);
        let expected = [
            "snapshots/1/data/train-0-again.tar",
            "snapshots/1/data/train-9.tar",
            "snapshots/1/data/x/train-1.tar",
            "z/y.tar",
        ];
        assert_eq!(train, expected);
        assert_eq!((test, skipped), (vec!["snapshots/1/data/test-0.tar".into()], vec![]));
    }
}

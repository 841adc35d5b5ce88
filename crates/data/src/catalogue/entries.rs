//! The data sets that have a manifest or a folder.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

use super::manifest::Manifest;
use crate::files::text::read_list;
use crate::{DataError, FileFormat};

/// One line of `dataset list`.
#[derive(Debug, Clone, PartialEq)]
pub struct CatalogEntry {
    /// The name to open it by.
    pub name: String,
    /// Whether its files are here.
    pub present: bool,
    /// What its manifest says. An imported folder has none.
    pub manifest: Option<Manifest>,
    /// What is wrong with its manifest, if that cannot be used.
    pub problem: Option<String>,
}

impl CatalogEntry {
    /// Whether its images are drawn by the program, from no files.
    pub(crate) fn is_drawn(&self) -> bool {
        self.manifest.as_ref().is_some_and(|manifest| manifest.layout == FileFormat::Drawn)
    }
}

/// The data set of that name, here or not.
pub(crate) fn find(name: &str, root: &Path) -> Result<CatalogEntry, DataError> {
    let mut entries = list(root)?;
    if let Some(index) = entries.iter().position(|entry| entry.name == name) {
        let entry = entries.swap_remove(index);
        return match entry.problem {
            Some(reason) => Err(DataError::format(&root.join(format!("{name}.toml")), reason)),
            None => Ok(entry),
        };
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    // `Fashion_Mini` and `fashon-mini` are taken for a known name, but not every name that shares
    // some letters.
    let plain = name.to_lowercase().replace(['_', ' '], "-");
    let most = (plain.chars().count() / 3).clamp(1, 3);
    let nearest = known.iter().map(|known| (strsim::osa_distance(known, &plain), *known)).min();
    let nearest = nearest.filter(|(distance, _)| *distance <= most);
    let meant = nearest.map(|(_, known)| known.to_owned());
    Err(DataError::Unknown { name: name.into(), meant, known: known.join(", ") })
}

/// The manifests of the data sets that anybody can name.
static MANIFESTS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/manifests");

/// All data sets with a manifest or a folder, by name. Manifests are those of this crate, and the
/// files `NAME.toml` in `root`, which come before them.
///
/// A `root` that does not exist is empty. A manifest that cannot be used has a
/// [`problem`](CatalogEntry::problem).
///
/// # Errors
/// A folder that cannot be read.
pub fn list(root: &Path) -> Result<Vec<CatalogEntry>, DataError> {
    let mut entries = BTreeMap::new();
    for file in MANIFESTS.files() {
        let text = file.contents_utf8().unwrap_or_default();
        describe(&mut entries, file.path(), || Ok(text.to_owned()));
    }
    for path in paths(root)? {
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let Some(name) = name.filter(|name| !name.starts_with('.')) else { continue };
        if path.is_dir() && path.extension().is_none() {
            entry(&mut entries, name).present = true;
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            describe(&mut entries, &path, || read_list(&path));
        }
    }
    Ok(entries.into_values().collect())
}

/// What lies in `root`.
fn paths(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let failed = |error| DataError::io("read the data sets' folder", root)(error);
    match std::fs::read_dir(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
        Ok(found) => found.map(|entry| Ok(entry.map_err(failed)?.path())).collect(),
    }
}

type Entries = BTreeMap<String, CatalogEntry>;

fn entry<'a>(entries: &'a mut Entries, name: &str) -> &'a mut CatalogEntry {
    let new =
        || CatalogEntry { name: name.to_owned(), present: false, manifest: None, problem: None };
    entries.entry(name.to_owned()).or_insert_with(new)
}

/// Adds the manifest of the file `path`. One that cannot be used is no reason not to use others: it
/// is noted.
fn describe(entries: &mut Entries, path: &Path, text: impl FnOnce() -> Result<String, DataError>) {
    let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else { return };
    let parse = |text: String| {
        toml::from_str::<Manifest>(&text).map_err(|error| error.to_string().trim().to_owned())
    };
    let entry = entry(entries, name);
    match text().map_err(|error| error.reason()).and_then(parse) {
        Ok(manifest) => {
            // Nothing has to be here for images that are drawn.
            entry.present |= manifest.layout == FileFormat::Drawn;
            entry.manifest = Some(manifest);
        }
        Err(reason) => entry.problem = Some(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_in_needs_no_folder_and_a_manifest_of_ones_own_comes_first() {
        let root = tempfile::tempdir().unwrap();
        let built_in = list(&root.path().join("not there")).unwrap();
        let named = |all: &[CatalogEntry], name: &str| {
            all.iter().find(|entry| entry.name == name).cloned().unwrap()
        };
        assert!(named(&built_in, "shapes").present && !named(&built_in, "cifar10").present);
        let own = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/cifar10.toml"),
        );
        let own = own.unwrap().replace("train_images = 50000", "train_images = 7");
        std::fs::write(root.path().join("cifar10.toml"), own).unwrap();
        std::fs::create_dir(root.path().join("cifar10")).unwrap();
        let found = named(&list(root.path()).unwrap(), "cifar10");
        assert!(found.present);
        assert_eq!(found.manifest.unwrap().train_images, 7);
    }

    #[test]
    fn every_manifest_of_the_repository_is_built_in() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets");
        // Of a package, not of the repository.
        let Ok(files) = std::fs::read_dir(here) else { return };
        for path in files.map(|file| file.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "toml") {
                let name = path.file_name().unwrap();
                let built_in = MANIFESTS.get_file(name).unwrap_or_else(|| panic!("{name:?}"));
                assert_eq!(built_in.contents(), std::fs::read(&path).unwrap(), "{name:?}");
            }
        }
    }

    #[test]
    fn a_manifest_that_cannot_be_understood_is_named_and_disturbs_no_other() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("bad.toml"), "description = 3").unwrap();
        let error = find("bad", root.path()).unwrap_err().to_string();
        assert!(error.contains("bad.toml"), "{error}");
        assert!(find("shapes", root.path()).unwrap().present);
        let all = list(root.path()).unwrap();
        let problems: Vec<_> = all.iter().filter(|entry| entry.problem.is_some()).collect();
        assert!(problems.len() == 1 && problems[0].name == "bad", "{problems:?}");
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
                assert!(
                    crate::files::checksums::from_hex(digits.as_bytes()).is_some(),
                    "{}",
                    file.url
                );
            }
            assert!(manifest.train_images > 0, "{}", entry.name);
        }
    }
}

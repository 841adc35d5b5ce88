//! The data sets that have a manifest or a folder.

use std::path::Path;

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
}

/// The data set of that name, here or not.
pub(crate) fn find(name: &str, root: &Path) -> Result<CatalogEntry, DataError> {
    let mut entries = list(root)?;
    if let Some(index) = entries.iter().position(|entry| entry.name == name) {
        return Ok(entries.swap_remove(index));
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

    #[test]
    fn a_manifest_that_cannot_be_understood_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("bad.toml"), "description = 3").unwrap();
        let error = list(root.path()).unwrap_err().to_string();
        assert!(error.contains("bad.toml"), "{error}");
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

//! What is known about a data set before it is opened.

use std::path::{Path, PathBuf};

use super::entries::{CatalogEntry, find};
use super::verify::weigh;
use crate::DataError;
use crate::files::checksums::SUMS_FILE;

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

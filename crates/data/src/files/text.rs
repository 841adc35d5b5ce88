//! Text files that come with data sets: names of classes, annotations, manifests.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::DataError;

/// The largest list. Tiny ImageNet's list of words has 2.7 MB.
const MAX_BYTES: u64 = 64 << 20;

/// All of a text file.
///
/// # Errors
/// A path that is not a file, or a file that cannot be read or is larger than 64 MiB.
pub(crate) fn read_list(path: &Path) -> Result<String, DataError> {
    let metadata = std::fs::metadata(path).map_err(DataError::io("read", path))?;
    if !metadata.is_file() {
        return Err(DataError::format(path, "not a regular file"));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(DataError::io("open", path))?;
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(DataError::io("read", path))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(DataError::format(path, format!("beyond the limit of {MAX_BYTES} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_beyond_the_limit_is_refused_and_one_within_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list.txt");
        std::fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(read_list(&path).unwrap(), "a\nb\n");
        // A hole takes no space on the disk.
        File::options().write(true).open(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(read_list(&path).unwrap_err().to_string().contains("limit"));
        assert!(read_list(folder.path()).is_err());
    }
}

//! Whether the files of a data set are still the same.

use std::path::Path;
use std::time::UNIX_EPOCH;

use sha2::{Digest, Sha256};

/// SHA-256 of what identifies a data set's images: the paths, sizes and modification times of their
/// files in the order of the images. On Unix also the change times of their inodes. The files'
/// bytes are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentKey(pub [u8; 32]);

/// Makes a [`ContentKey`] of one file after another.
#[derive(Default)]
pub(crate) struct KeyBuilder(Sha256);

impl KeyBuilder {
    /// Adds a file. One without readable metadata counts by its path alone.
    pub fn add_file(&mut self, path: &Path) {
        let bytes = path.as_os_str().as_encoded_bytes();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        let Ok(metadata) = std::fs::metadata(path) else { return };
        self.0.update(metadata.len().to_le_bytes());
        let changed = metadata.modified().ok().and_then(|t| t.duration_since(UNIX_EPOCH).ok());
        self.0.update(changed.map_or(0, |t| t.as_nanos()).to_le_bytes());
        // `cp -p` and `rsync -a` restore the modification time, but cannot set this one.
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            self.0.update(metadata.ctime().to_le_bytes());
            self.0.update(metadata.ctime_nsec().to_le_bytes());
        }
    }

    /// Adds only the path from `root` and the size. They stay when a folder is moved or copied.
    pub fn add_file_from(&mut self, root: &Path, path: &Path) {
        let bytes = path.strip_prefix(root).unwrap_or(path).as_os_str().as_encoded_bytes();
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self.0.update(std::fs::metadata(path).map_or(0, |m| m.len()).to_le_bytes());
    }

    pub fn finish(self) -> ContentKey {
        ContentKey(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn another_size_time_or_order_is_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let paths = ["a", "b"].map(|name| folder.path().join(name));
        for path in &paths {
            std::fs::write(path, b"12").unwrap();
        }
        let key = |order: [usize; 2]| {
            let mut key = KeyBuilder::default();
            order.into_iter().for_each(|i| key.add_file(&paths[i]));
            key.finish()
        };
        let first = key([0, 1]);
        assert_eq!(first, key([0, 1]));
        assert_ne!(first, key([1, 0]));
        let file = std::fs::File::options().write(true).open(&paths[1]).unwrap();
        let earlier = file.metadata().unwrap().modified().unwrap() - Duration::from_secs(5);
        file.set_modified(earlier).unwrap();
        let second = key([0, 1]);
        assert_ne!(first, second);
        std::fs::write(&paths[1], b"123").unwrap();
        file.set_modified(earlier).unwrap();
        assert!(key([0, 1]) != second && key([0, 1]) != first);
        // Other bytes, as many and as old.
        let third = key([0, 1]);
        std::fs::write(&paths[1], b"321").unwrap();
        file.set_modified(earlier).unwrap();
        assert!(!cfg!(unix) || key([0, 1]) != third);
    }
}

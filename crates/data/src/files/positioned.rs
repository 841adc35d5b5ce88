//! Reads a file at given positions, from several threads at once.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::DataError;

/// An open file, with its length at the time of opening.
pub(crate) struct PositionedFile {
    #[cfg(unix)]
    file: File,
    /// Without `pread` the file has one position, and only one thread may move it.
    #[cfg(not(unix))]
    file: std::sync::Mutex<File>,
    path: PathBuf,
    len: u64,
}

impl PositionedFile {
    pub(crate) fn open(path: &Path) -> Result<Self, DataError> {
        Self::of(File::open(path).map_err(DataError::io("open", path))?, path)
    }

    /// A file that is already open. Errors name `path`.
    pub(crate) fn of(file: File, path: &Path) -> Result<Self, DataError> {
        let len = file.metadata().map_err(DataError::io("read", path))?.len();
        #[cfg(not(unix))]
        let file = std::sync::Mutex::new(file);
        Ok(Self { file, path: path.to_owned(), len })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// In bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// `length` bytes from `offset` on.
    ///
    /// # Errors
    /// A range beyond the end, found before anything is allocated, or a file that has become
    /// unreadable.
    pub(crate) fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, DataError> {
        if offset.checked_add(length).is_none_or(|end| end > self.len) {
            let reason = format!("{length} bytes at {offset} lie beyond its {} bytes", self.len);
            return Err(DataError::format(&self.path, reason));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(offset, &mut bytes).map_err(DataError::io("read", &self.path))?;
        Ok(bytes)
    }

    #[cfg(unix)]
    fn fill(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, bytes, offset)
    }

    #[cfg(not(unix))]
    fn fill(&self, offset: u64, bytes: &mut [u8]) -> std::io::Result<()> {
        use std::io::{Read, Seek, SeekFrom};
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }
}

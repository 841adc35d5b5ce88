//! Files of unknown origin into a folder of ours: from archives, from folders, from downloads.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tar::{Archive, EntryType};
use zip::ZipArchive;

use crate::DataError;
use crate::sums::{Hashing, SUMS_FILE, Sum, inside, write_sums};

/// What a tar archive may spend on the names and attributes of one entry; they are held in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// How much an archive or a folder may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Files, folders and anything else.
    pub entries: u64,
    /// Bytes of all files, unpacked.
    pub bytes: u64,
}

impl Default for UnpackLimits {
    /// 20 million entries, 1 TiB.
    fn default() -> Self {
        Self { entries: 20_000_000, bytes: 1 << 40 }
    }
}

/// The archive formats, by file name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Tar,
    TarGz,
    TarZst,
    Zip,
}

impl Format {
    pub(crate) fn of(name: &OsStr) -> Option<Self> {
        let name = name.to_string_lossy().to_ascii_lowercase();
        let suffixes = [
            (".tar", Self::Tar),
            (".tar.gz", Self::TarGz),
            (".tgz", Self::TarGz),
            (".tar.zst", Self::TarZst),
            (".zip", Self::Zip),
        ];
        suffixes.into_iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, format)| format)
    }
}

/// Fills a folder, within limits, and remembers the sum of every file.
///
/// Links are neither followed nor made; a name that leads out of the folder is an error.
pub(crate) struct Unpacker {
    folder: PathBuf,
    limits: UnpackLimits,
    entries: u64,
    sums: Vec<(PathBuf, Sum)>,
    pub(crate) bytes: u64,
    /// Links, special files and names this system cannot write.
    pub(crate) left_out: u64,
}

impl Unpacker {
    /// `folder` exists and is empty.
    pub(crate) fn new(folder: &Path, limits: UnpackLimits) -> Self {
        let folder = folder.to_owned();
        Self { folder, limits, entries: 0, sums: Vec::new(), bytes: 0, left_out: 0 }
    }

    pub(crate) fn files(&self) -> u64 {
        self.sums.len() as u64
    }

    /// Everything in an archive.
    pub(crate) fn unpack(&mut self, source: &Path, format: Format) -> Result<(), DataError> {
        let file = File::open(source).map_err(DataError::io("open", source))?;
        let file = BufReader::with_capacity(1 << 20, file);
        match format {
            Format::Tar => self.unpack_tar(source, file),
            Format::TarGz => self.unpack_tar(source, MultiGzDecoder::new(file)),
            Format::TarZst => {
                let decoder = StreamingDecoder::new(file);
                self.unpack_tar(source, decoder.map_err(|e| damaged(source, e))?)
            }
            Format::Zip => self.unpack_zip(source, file),
        }
    }

    fn unpack_tar(&mut self, source: &Path, reader: impl Read) -> Result<(), DataError> {
        let allowance = Rc::new(Cell::new(MAX_HEADER_BYTES));
        let reader = Allowance { inner: reader, left: allowance.clone() };
        let mut archive = Archive::new(reader);
        for entry in archive.entries().map_err(|e| damaged(source, e))? {
            let mut entry = entry.map_err(|e| damaged(source, e))?;
            self.count_entry(source)?;
            // What this entry holds, and then the next one's headers.
            allowance.set(entry.size().saturating_add(MAX_HEADER_BYTES));
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    // On Windows a name may be one that no file there can have.
                    let Ok(path) = entry.path().map(|path| path.into_owned()) else {
                        self.left_out += 1;
                        continue;
                    };
                    self.add(&path, &mut entry, source)?;
                }
                EntryType::Directory => {}
                _ => self.left_out += 1,
            }
        }
        Ok(())
    }

    fn unpack_zip(&mut self, source: &Path, reader: impl Read + Seek) -> Result<(), DataError> {
        let mut archive = ZipArchive::new(reader).map_err(|e| damaged(source, e))?;
        for index in 0..archive.len() {
            self.count_entry(source)?;
            let mut entry = archive.by_index(index).map_err(|e| damaged(source, e))?;
            if entry.is_dir() {
                continue;
            }
            // Neither a regular file nor of a system that has no such distinction.
            let special =
                entry.unix_mode().is_some_and(|m| ![0, 0o100_000].contains(&(m & 0o170_000)));
            let Some(name) = entry.name().ok().filter(|_| !special).map(|n| n.into_owned()) else {
                self.left_out += 1;
                continue;
            };
            self.add(Path::new(&name), &mut entry, source)?;
        }
        Ok(())
    }

    /// Everything in a folder, at any depth.
    pub(crate) fn copy_folder(&mut self, source: &Path) -> Result<(), DataError> {
        self.copy_subfolder(source, Path::new(""))
    }

    fn copy_subfolder(&mut self, source: &Path, relative: &Path) -> Result<(), DataError> {
        let folder = source.join(relative);
        for entry in std::fs::read_dir(&folder).map_err(DataError::io("read", &folder))? {
            let entry = entry.map_err(DataError::io("read", &folder))?;
            self.count_entry(source)?;
            let relative = relative.join(entry.file_name());
            let kind = entry.file_type().map_err(DataError::io("read", &folder))?;
            if kind.is_dir() {
                self.copy_subfolder(source, &relative)?;
            } else if kind.is_file() {
                let path = entry.path();
                let mut file = File::open(&path).map_err(DataError::io("open", &path))?;
                self.add(&relative, &mut file, source)?;
            } else {
                self.left_out += 1;
            }
        }
        Ok(())
    }

    fn count_entry(&mut self, source: &Path) -> Result<(), DataError> {
        self.entries += 1;
        let most = self.limits.entries;
        if self.entries > most {
            return Err(DataError::format(source, format!("more than {most} entries")));
        }
        Ok(())
    }

    /// One file. `source` is what errors are about.
    pub(crate) fn add(
        &mut self,
        name: &Path,
        from: &mut dyn Read,
        source: &Path,
    ) -> Result<(), DataError> {
        let relative = inside(name).ok_or_else(|| {
            let reason = format!("{} points out of the archive", name.display());
            DataError::format(source, reason)
        })?;
        // We write our own, which also covers what we leave out.
        if relative == Path::new(SUMS_FILE) {
            return Ok(());
        }
        let path = self.folder.join(&relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(DataError::io("make", parent))?;
        }
        let file = File::create_new(&path).map_err(DataError::io("write", &path))?;
        let mut file = Hashing::new(BufWriter::new(file));
        // One byte beyond what is left tells an honest end from a cut one.
        let left = self.limits.bytes.saturating_sub(self.bytes);
        let (copied, sum) = io::copy(&mut from.take(left.saturating_add(1)), &mut file)
            .and_then(|n| file.finish().map(|sum| (n, sum)))
            .map_err(|e| DataError::format(source, format!("{}: {e}", relative.display())))?;
        if copied > left {
            let most = self.limits.bytes;
            return Err(DataError::format(source, format!("more than {most} bytes")));
        }
        self.bytes += copied;
        self.sums.push((relative, sum));
        Ok(())
    }

    /// Writes `SHA256SUMS`.
    pub(crate) fn finish(&mut self) -> Result<(), DataError> {
        write_sums(&self.folder, &mut self.sums)
    }
}

fn damaged(source: &Path, error: impl std::fmt::Display) -> DataError {
    DataError::format(source, format!("damaged archive: {error}"))
}

/// Fails when more is read than is left: a name of gigabytes must not fill the memory.
struct Allowance<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Allowance<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other(format!("headers of more than {MAX_HEADER_BYTES} bytes")));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - read as u64);
        Ok(read)
    }
}

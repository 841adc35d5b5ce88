//! Writes files of unknown origin into a folder of ours: from archives, folders and downloads.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Chain, Cursor, Read, Seek};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::{FrameDecoder, StreamingDecoder};
use tar::{Archive, EntryType};
use zip::ZipArchive;

use super::checksums::{Hashing, SUMS_FILE, Sum, inside, write_sums};
use crate::DataError;

/// The most bytes of names and attributes of one tar entry. They are held in memory.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// How much an archive or a folder may hold.
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

/// Fills a folder within limits, and records the checksum of every file.
///
/// Links are neither followed nor made. A name that leads out of the folder is an error.
pub(crate) struct Unpacker {
    folder: PathBuf,
    limits: UnpackLimits,
    entries: u64,
    sums: Vec<(PathBuf, Sum)>,
    pub(crate) bytes: u64,
    /// Links, special files, and names that this system cannot write.
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
            Format::TarZst => self.unpack_tar(source, ZstdFrames::new(file)),
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
            // Room for this entry, and then for the headers of the next one.
            allowance.set(entry.size().saturating_add(MAX_HEADER_BYTES));
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    // On Windows no file can have some of these names.
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
        // Reads past the padding, since a compressed archive ends with its own checksum.
        let rest = &mut archive.into_inner().inner.take(MAX_HEADER_BYTES);
        io::copy(rest, &mut io::sink()).map_err(|e| damaged(source, e))?;
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
            // Not a regular file. Archives of some systems do not tell, and count as regular.
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

    /// Writes one file. Errors name `source`.
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
        // We write our own, since we leave some files out.
        if relative == Path::new(SUMS_FILE) {
            return Ok(());
        }
        let path = self.folder.join(&relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(DataError::io("make", parent))?;
        }
        let file = File::create_new(&path).map_err(DataError::io("write", &path))?;
        let mut file = Hashing::new(BufWriter::new(file));
        // One byte more than allowed tells a complete file from one at the limit.
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

/// All frames of a Zstandard file. Parallel compressors write many frames, some of them skippable.
/// The decoder reads one.
pub(crate) struct ZstdFrames<R: Read> {
    frame: Option<Frame<R>>,
    /// Between frames.
    rest: Option<R>,
}

type Frame<R> = StreamingDecoder<Chain<Cursor<[u8; 4]>, R>, FrameDecoder>;

impl<R: Read> ZstdFrames<R> {
    pub(crate) fn new(reader: R) -> Self {
        Self { frame: None, rest: Some(reader) }
    }

    /// Whether there is one more.
    fn next_frame(&mut self) -> io::Result<bool> {
        let Some(mut rest) = self.rest.take() else { return Ok(false) };
        let mut magic = [0; 4];
        loop {
            if rest.read(&mut magic[..1])? == 0 {
                return Ok(false);
            }
            rest.read_exact(&mut magic[1..])?;
            if !(magic[0] >> 4 == 5 && magic[1..] == [0x2a, 0x4d, 0x18]) {
                break;
            }
            let mut length = [0; 4];
            rest.read_exact(&mut length)?;
            let length = u64::from(u32::from_le_bytes(length));
            io::copy(&mut (&mut rest).take(length), &mut io::sink())?;
        }
        let frame = StreamingDecoder::new(Cursor::new(magic).chain(rest));
        self.frame = Some(frame.map_err(io::Error::other)?);
        Ok(true)
    }
}

impl<R: Read> Read for ZstdFrames<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(mut frame) = self.frame.take() {
                let n = frame.read(bytes)?;
                if n > 0 || bytes.is_empty() {
                    self.frame = Some(frame);
                    return Ok(n);
                }
                self.rest = Some(frame.into_inner().into_inner().1);
            }
            if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}

/// A reader that fails beyond its budget: a name of gigabytes must not fill the memory.
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

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    use tar::{Builder, Header};
    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, ZipWriter};

    use super::*;

    /// An archive with names that the `tar` crate would refuse to write.
    fn tar(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            let mut header = Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
            }
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn zip(entries: &[(&str, &[u8])]) -> ZipWriter<Cursor<Vec<u8>>> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        for (name, bytes) in entries {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks the archive, called `name`, into `target` in a new folder.
    fn unpacked(
        name: &str,
        bytes: &[u8],
        limits: UnpackLimits,
    ) -> (tempfile::TempDir, Result<Unpacker, String>) {
        let root = tempfile::tempdir().unwrap();
        let (source, target) = (root.path().join(name), root.path().join("target"));
        std::fs::write(&source, bytes).unwrap();
        std::fs::create_dir(&target).unwrap();
        let mut unpacker = Unpacker::new(&target, limits);
        let format = Format::of(name.as_ref()).unwrap();
        let result = unpacker.unpack(&source, format).and_then(|()| unpacker.finish());
        (root, result.map(|()| unpacker).map_err(|e| e.to_string()))
    }

    fn error(name: &str, bytes: &[u8], limits: UnpackLimits) -> String {
        let (root, result) = unpacked(name, bytes, limits);
        let mut here: Vec<_> = std::fs::read_dir(root.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        here.sort();
        assert_eq!(here, ["target", name], "something was written outside");
        result.err().expect("an error")
    }

    #[test]
    fn every_format_is_unpacked_and_links_are_left_out() {
        let plain = tar(&[
            ("a/", EntryType::Directory, b""),
            ("./a/one.png", EntryType::Regular, b"1"),
            ("a/link", EntryType::Symlink, b""),
            ("a/hard", EntryType::Link, b""),
            ("pipe", EntryType::Fifo, b""),
            ("b/two.png", EntryType::Regular, b"22"),
            ("SHA256SUMS", EntryType::Regular, b"not ours"),
        ]);
        let mut zip = zip(&[("./a/one.png", b"1"), ("b/two.png", b"22"), ("SHA256SUMS", b"x")]);
        zip.add_directory("c/", SimpleFileOptions::default()).unwrap();
        for name in ["a/link", "a/hard", "pipe"] {
            zip.add_symlink(name, "/etc/passwd", SimpleFileOptions::default()).unwrap();
        }
        let zip = zip.finish().unwrap().into_inner();
        let (first, second) = plain.split_at(700);
        let two_members = [gz(first), gz(second)].concat();
        let zst = |bytes: &[u8]| compress_to_vec(bytes, CompressionLevel::Fastest);
        let skipped = b"\x51\x2a\x4d\x18\x03\0\0\0abc";
        let two_frames = [&skipped[..], &zst(first), skipped, &zst(second)].concat();
        for (name, bytes) in [
            ("x.tar", &plain),
            ("x.tar.gz", &gz(&plain)),
            ("x.TGZ", &two_members),
            ("x.tar.zst", &zst(&plain)),
            ("x.tar.zst", &two_frames),
            ("x.zip", &zip),
        ] {
            let (root, result) = unpacked(name, bytes, UnpackLimits::default());
            let unpacker = result.unwrap();
            assert_eq!((unpacker.files(), unpacker.bytes, unpacker.left_out), (2, 3, 3), "{name}");
            let target = root.path().join("target");
            assert_eq!(std::fs::read(target.join("b/two.png")).unwrap(), b"22");
            assert!(!target.join("a/link").exists() && !target.join("a/hard").exists());
            let sums = crate::files::checksums::read_sums(&target).unwrap().unwrap();
            assert_eq!(sums.len(), 2, "our own list, of what is here");
        }
    }

    #[test]
    fn nothing_is_written_outside() {
        let limits = UnpackLimits::default();
        for name in ["../evil", "a/../../evil", "/tmp/evil-absolute"] {
            let words = "points out of the archive";
            let bytes = tar(&[("ok", EntryType::Regular, b"1"), (name, EntryType::Regular, b"x")]);
            assert!(error("x.tar", &bytes, limits).contains(words), "{name}");
            let bytes = zip(&[("ok", b"1"), (name, b"x")]).finish().unwrap().into_inner();
            assert!(error("x.zip", &bytes, limits).contains(words), "{name}");
        }
    }

    #[test]
    fn a_file_under_a_link_of_the_archive_stays_inside() {
        let entries = [("a", EntryType::Symlink, &b""[..]), ("a/b", EntryType::Regular, b"x")];
        let (root, result) = unpacked("x.tar", &tar(&entries), UnpackLimits::default());
        result.unwrap();
        // The link was never made, so `a` is a folder like any other.
        assert!(root.path().join("target/a").symlink_metadata().unwrap().is_dir());
    }

    #[test]
    fn a_name_twice_does_not_overwrite() {
        let twice = [("a", EntryType::Regular, &b"1"[..]), ("a", EntryType::Regular, b"2")];
        assert!(error("x.tar", &tar(&twice), UnpackLimits::default()).contains("exists"));
    }

    #[test]
    fn limits_on_entries_and_bytes_hold_for_bombs_too() {
        let zeros = vec![0; 3_000_000];
        let tar = gz(&tar(&[("zeros", EntryType::Regular, &zeros)]));
        let zip = zip(&[("zeros", &zeros)]).finish().unwrap().into_inner();
        assert!(tar.len() < 10_000 && zip.len() < 10_000, "small, but much inside");
        for (name, bytes) in [("x.tar.gz", &tar), ("x.zip", &zip)] {
            let few = UnpackLimits { bytes: 100_000, ..UnpackLimits::default() };
            assert!(error(name, bytes, few).contains("more than 100000 bytes"), "{name}");
            let none = UnpackLimits { entries: 0, ..UnpackLimits::default() };
            assert!(error(name, bytes, none).contains("more than 0 entries"), "{name}");
            let exact = UnpackLimits { bytes: 3_000_000, entries: 1 };
            assert!(unpacked(name, bytes, exact).1.is_ok(), "{name}");
        }
    }

    #[test]
    fn names_cannot_fill_the_memory() {
        let name = vec![b'a'; 3_000_000];
        let entries = [("n", EntryType::GNULongName, &name[..]), ("x", EntryType::Regular, b"x")];
        let message = error("x.tar.gz", &gz(&tar(&entries)), UnpackLimits::default());
        assert!(message.contains("headers of more than"), "{message}");
    }

    #[test]
    fn truncated_and_foreign_files_are_errors() {
        let tar = tar(&[("a.png", EntryType::Regular, &[7; 3000])]);
        let gz = gz(&tar);
        let zip = zip(&[("a.png", &[7; 3000])]).finish().unwrap().into_inner();
        // The end of a tar archive is padding.
        for (name, bytes) in [("x.tar", &tar[..3500]), ("x.tar.gz", &gz), ("x.zip", &zip)] {
            for end in [bytes.len() / 2, bytes.len() - 7, 20, 1] {
                error(name, &bytes[..end], UnpackLimits::default());
            }
        }
        for name in ["x.tar", "x.tar.gz", "x.tar.zst", "x.zip"] {
            error(name, b"hello, this is no archive of any kind", UnpackLimits::default());
        }
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_utf8_are_kept() {
        use std::os::unix::ffi::OsStrExt;
        let mut bytes = tar(&[("x?.png", EntryType::Regular, b"1")]);
        bytes[1] = 0xff;
        let mut header = Header::from_byte_slice(&bytes[..512]).clone();
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        let (root, result) = unpacked("x.tar", &bytes, UnpackLimits::default());
        assert_eq!(result.unwrap().files(), 1);
        let target = root.path().join("target");
        assert!(target.join(OsStr::from_bytes(b"x\xff.png")).is_file());
        assert_eq!(crate::files::checksums::read_sums(&target).unwrap().unwrap().len(), 1);
    }
}

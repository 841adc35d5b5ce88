//! Compressed shards: recognised by their first bytes, and unpacked once.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::DataError;
use crate::files::archive::ZstdFrames;
use crate::files::positioned::PositionedFile;

/// A shard may unpack to this (tests write no gigabytes), or to
const FREE_BYTES: u64 = if cfg!(test) { 1 << 20 } else { 1 << 30 };
/// so many times its size. Images hardly shrink, so a shard that shrinks a thousandfold is a trap.
const MOST_TIMES: u64 = 20;

/// How a shard is packed, whatever its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
    /// The compression's name, and the command that unpacks it.
    Unread(&'static str, &'static str),
}

impl Packing {
    pub(super) fn of(first_bytes: &[u8]) -> Self {
        let kinds: [(&[u8], Self); 7] = [
            (b"\x1f\x8b", Self::Gzip),
            (b"\x28\xb5\x2f\xfd", Self::Zstd),
            (b"BZh", Self::Unread("bzip2", "bunzip2")),
            (b"\xfd7zXZ\0", Self::Unread("xz", "unxz")),
            (b"\x04\x22\x4d\x18", Self::Unread("lz4", "unlz4")),
            (b"7z\xbc\xaf", Self::Unread("7-Zip", "7z x")),
            (b"PK\x03\x04", Self::Unread("zip", "unzip")),
        ];
        // Parallel compressors write this before the first frame.
        let skippable = first_bytes.get(1..4) == Some(&b"\x2a\x4d\x18"[..])
            && first_bytes[0].wrapping_shr(4) == 5;
        let kind = kinds.into_iter().find(|(magic, _)| first_bytes.starts_with(magic));
        kind.map_or(if skippable { Self::Zstd } else { Self::Plain }, |(_, kind)| kind)
    }

    /// The packing of the next bytes of `reader`.
    pub(super) fn peek(reader: &mut impl BufRead) -> io::Result<Self> {
        reader.fill_buf().map(Self::of)
    }

    /// The unpacked content of `reader`. Nothing if the compression is not supported.
    pub(super) fn unpacked<'a>(self, reader: impl BufRead + 'a) -> Box<dyn Read + 'a> {
        match self {
            Self::Plain => Box::new(reader),
            Self::Gzip => Box::new(MultiGzDecoder::new(reader)),
            Self::Zstd => Box::new(ZstdFrames::new(reader)),
            Self::Unread(..) => Box::new(io::empty()),
        }
    }
}

/// The file that compressed shards are unpacked into, one after another. It vanishes when it is
/// closed. There is only one, since a process may hold about a thousand files.
#[derive(Default)]
pub(super) struct Room(Option<File>);

/// A shard that is unpacked.
pub(super) struct Unpacked {
    /// The file, at the beginning of the shard,
    pub(super) file: File,
    /// which is here.
    pub(super) base: u64,
    pub(super) length: u64,
    /// Why it is incomplete, if it is.
    pub(super) damage: Option<String>,
}

impl Room {
    /// Unpacks a shard, up to its damage or the limit.
    ///
    /// # Errors
    /// No room.
    pub(super) fn unpack(
        &mut self,
        path: &Path,
        packed: File,
        bytes: u64,
        packing: Packing,
    ) -> Result<Unpacked, DataError> {
        let no_room = |e: io::Error| {
            let (path, folder) = (path.display(), std::env::temp_dir());
            DataError::Request(format!(
                "{path} is compressed and cannot be unpacked in {}: {e}; make room, name another \
                 folder with TMPDIR=FOLDER, or unpack the shards beforehand",
                folder.display()
            ))
        };
        let mut packed = packing.unpacked(BufReader::with_capacity(1 << 20, packed));
        let most = most_unpacked(bytes);
        let mut write = || {
            let out = match &mut self.0 {
                Some(file) => file,
                none => none.insert(tempfile::tempfile()?),
            };
            let base = out.seek(SeekFrom::End(0))?;
            let (length, damage) = unpack(&mut *packed, most, out)?;
            out.seek(SeekFrom::Start(base))?;
            Ok(Unpacked { file: out.try_clone()?, base, length, damage })
        };
        write().map_err(no_room)
    }

    /// The file, if there is any.
    ///
    /// # Errors
    /// A reader of unknown length.
    pub(super) fn into_file(self) -> Result<Option<PositionedFile>, DataError> {
        self.0.map(|file| PositionedFile::of(file, &std::env::temp_dir())).transpose()
    }
}

/// The most that a compressed shard of so many bytes may hold. A bomb holds more.
pub(super) fn most_unpacked(bytes: u64) -> u64 {
    FREE_BYTES.saturating_add(bytes.saturating_mul(MOST_TIMES))
}

/// Writes `packed` to `out`, up to its damage or to `most` bytes. Returns the number of bytes, and
/// why it stopped early.
///
/// # Errors
/// Those of `out`.
fn unpack(
    packed: &mut dyn Read,
    most: u64,
    out: &mut dyn Write,
) -> io::Result<(u64, Option<String>)> {
    let mut buffer = vec![0; 256 << 10];
    let mut bytes = 0;
    loop {
        let damage = match packed.read(&mut buffer) {
            Ok(0) => None,
            Ok(n) if n as u64 > most - bytes => {
                Some(format!("it unpacks to more than {most} bytes, the limit for its size"))
            }
            Ok(n) => {
                out.write_all(&buffer[..n])?;
                bytes += n as u64;
                continue;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => continue,
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Some(format!("truncated: it ends after {bytes} unpacked bytes"))
            }
            // Not in the decoder's words: they may contain raw bytes.
            Err(_) => Some(format!("damaged compression after {bytes} unpacked bytes")),
        };
        return Ok((bytes, damage));
    }
}

/// A stream that can seek forwards, by reading.
pub(super) struct Forwards<R>(pub(super) R);

impl<R: Read> Read for Forwards<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.0.read(bytes)
    }
}

impl<R: Read> Seek for Forwards<R> {
    fn seek(&mut self, place: SeekFrom) -> io::Result<u64> {
        match place {
            SeekFrom::Current(bytes @ 0..) => {
                io::copy(&mut (&mut self.0).take(bytes.unsigned_abs()), &mut io::sink())
            }
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }
}

/// A shard in memory, unpacked up to `most` bytes, for the fuzzer.
pub(crate) fn unpacked_in_memory(bytes: &[u8], most: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let packed = Packing::of(bytes).unpacked(Cursor::new(bytes));
    // Writing to memory cannot fail.
    let _ = unpack(&mut { packed }, most, &mut out);
    out
}

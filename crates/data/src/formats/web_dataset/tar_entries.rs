//! The headers of a tar archive, one after another, with their places in the file.
//!
//! Only the headers of the `tar` crate are used. It does not know where the names of an entry
//! begin, and its messages contain the damaged bytes.

use std::io::{BufReader, ErrorKind, Read, Seek, SeekFrom};

use tar::{EntryType, Header, PaxExtensions};

/// Bytes of a header. Padding fills up to a multiple of it.
const BLOCK: u64 = 512;
/// The most bytes of a name that does not fit in a header.
pub(super) const MAX_NAME_BYTES: u64 = 64 << 10;
/// The most bytes of all headers of one entry, long names included.
const MAX_HEAD_BYTES: u64 = 1 << 20;
/// The most empty blocks between two headers: joined archives have the padding of the first in the
/// middle.
const MAX_ZERO_BYTES: u64 = 1 << 20;
/// A header, a label and the next header take one read.
const BUFFER_BYTES: usize = 4 << 10;

/// What the headers say about one entry. Places are bytes from the start of the archive.
pub(super) struct TarEntry {
    /// Empty if it is longer than [`MAX_NAME_BYTES`].
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryType,
    /// The place of its first header. A long name has a header of its own.
    pub(super) start: u64,
    /// The place of its content.
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// Reads the headers of an archive. It begins at the position of `reader`.
pub(super) struct TarEntries<R> {
    reader: BufReader<R>,
    /// The length of the archive, or [`u64::MAX`] if it is unknown.
    length: u64,
    at: u64,
    /// The place of the header after the current entry.
    next: u64,
}

impl<R: Read + Seek> TarEntries<R> {
    pub(super) fn new(reader: R, length: u64) -> Self {
        let reader = BufReader::with_capacity(BUFFER_BYTES, reader);
        Self { reader, length, at: 0, next: 0 }
    }

    /// The next entry with all its content. `None` at the end of the archive.
    ///
    /// # Errors
    /// The damage in words. Nothing can be read after it.
    pub(super) fn next(&mut self) -> Result<Option<TarEntry>, String> {
        let Some(entry) = self.head()? else { return Ok(None) };
        let end = entry.offset.checked_add(entry.size).filter(|end| *end <= self.length);
        let Some(end) = end else {
            let TarEntry { offset, size, .. } = entry;
            return Err(format!("truncated: {size} bytes at {offset} of {}", self.length));
        };
        // The padding of the last entry may be missing.
        self.next = end.checked_next_multiple_of(BLOCK).map_or(self.length, |n| n.min(self.length));
        Ok(Some(entry))
    }

    /// All headers of the next entry.
    pub(super) fn head(&mut self) -> Result<Option<TarEntry>, String> {
        self.skip_to(self.next)?;
        let (mut start, mut long_name, mut long_size) = (None, None, None);
        loop {
            let Some(block) = self.header()? else { return Ok(None) };
            let place = self.at - BLOCK;
            let header = Header::from_byte_slice(&block);
            let size = header
                .entry_size()
                .map_err(|_| format!("damaged archive: the header at byte {place} has no size"))?;
            let kind = header.entry_type();
            let begin = *start.get_or_insert(place);
            match kind {
                EntryType::GNULongName => {
                    let mut name = self.extension(size)?;
                    name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                    long_name = Some(name);
                }
                EntryType::XHeader => {
                    let records = self.extension(size)?;
                    if records.is_empty() && size > 0 {
                        long_name = Some(Vec::new());
                    }
                    for record in PaxExtensions::new(&records).flatten() {
                        match record.key_bytes() {
                            b"path" => long_name = Some(record.value_bytes().to_vec()),
                            b"size" => {
                                long_size = record.value().ok().and_then(|v| v.parse().ok());
                            }
                            _ => {}
                        }
                    }
                }
                EntryType::GNULongLink | EntryType::XGlobalHeader => {
                    self.extension(size)?;
                }
                _ => {
                    let name = long_name.unwrap_or_else(|| header.path_bytes().into_owned());
                    // No honest entry has so many headers. Its name is then that of the last one.
                    let lead = self.at - begin;
                    let start = if lead <= MAX_HEAD_BYTES { begin } else { place };
                    let size = long_size.unwrap_or(size);
                    return Ok(Some(TarEntry { name, kind, start, offset: self.at, size }));
                }
            }
        }
    }

    /// The content of a header that belongs to the next entry, or nothing if it is too long.
    fn extension(&mut self, size: u64) -> Result<Vec<u8>, String> {
        let end = self.at.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK));
        let Some(end) = end.filter(|end| *end <= self.length) else {
            return Err(format!("truncated: {size} bytes at {} of {}", self.at, self.length));
        };
        let bytes = if size > MAX_NAME_BYTES { Vec::new() } else { self.read(size)? };
        self.skip_to(end)?;
        Ok(bytes)
    }

    /// The content of the last entry of [`next`](Self::next). The caller has checked its length.
    pub(super) fn content(&mut self, entry: &TarEntry) -> Result<Vec<u8>, String> {
        self.read(entry.size)
    }

    /// Bytes anywhere in the archive, read after its last entry. `base` is the archive's place in
    /// its file.
    pub(super) fn read_again(
        &mut self,
        base: u64,
        offset: u64,
        size: u64,
    ) -> Result<Vec<u8>, String> {
        let place = SeekFrom::Start(base.saturating_add(offset));
        self.reader.seek(place).map_err(|e| format!("cannot read it: {e}"))?;
        self.at = offset;
        self.read(size)
    }

    fn read(&mut self, size: u64) -> Result<Vec<u8>, String> {
        let mut bytes = vec![0; size as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        let at = self.at;
        self.reader.read_exact(bytes).map_err(|e| match e.kind() {
            ErrorKind::UnexpectedEof => format!("truncated at byte {at}"),
            _ => format!("cannot read it at byte {at}: {e}"),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn skip_to(&mut self, place: u64) -> Result<(), String> {
        let bytes = place.saturating_sub(self.at);
        let damaged = |e: std::io::Error| format!("cannot read it at byte {place}: {e}");
        let bytes = i64::try_from(bytes).map_err(|_| format!("nothing is at byte {place}"))?;
        self.reader.seek_relative(bytes).map_err(damaged)?;
        self.at = self.at.max(place);
        Ok(())
    }

    /// The next block that is not padding.
    fn header(&mut self) -> Result<Option<[u8; BLOCK as usize]>, String> {
        let mut zeros = 0;
        loop {
            let place = self.at;
            let left = self.length - place;
            if left == 0 || (left < BLOCK && zeros > 0) {
                return Ok(None);
            }
            if left < BLOCK {
                return Err(no_header(place));
            }
            let mut block = [0; BLOCK as usize];
            match self.fill(&mut block) {
                // The length of a stream is not known.
                Err(_) if self.length == u64::MAX => return Ok(None),
                other => other?,
            }
            if block.iter().all(|byte| *byte == 0) {
                zeros += BLOCK;
                if zeros > MAX_ZERO_BYTES {
                    return Err(format!("damaged archive: zeros before byte {}", self.at));
                }
            } else if has_checksum(&block) {
                return Ok(Some(block));
            } else if zeros > BLOCK {
                // Two empty blocks are the end. What follows does not belong to the archive.
                return Ok(None);
            } else {
                return Err(no_header(place));
            }
        }
    }
}

fn no_header(place: u64) -> String {
    match place {
        0 => "not a tar archive".into(),
        place => format!("damaged archive: no header with a right checksum at byte {place}"),
    }
}

/// The sum of all bytes, with spaces in place of the sum itself.
fn has_checksum(block: &[u8; BLOCK as usize]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let rest = || block[..SUM.start].iter().chain(&block[SUM.end..]);
    let spaces = SUM.len() as u32 * u32::from(b' ');
    let unsigned: u32 = spaces + rest().map(|byte| u32::from(*byte)).sum::<u32>();
    // Some old programs added the bytes as signed numbers.
    let signed = spaces as i32 + rest().map(|byte| i32::from(byte.cast_signed())).sum::<i32>();
    let expected = Header::from_byte_slice(block).cksum();
    expected.is_ok_and(|sum| sum == unsigned || i64::from(sum) == i64::from(signed))
}

/// The name of an entry, from its headers.
pub(super) fn name_in(headers: &[u8]) -> Option<Vec<u8>> {
    let mut entries = TarEntries::new(std::io::Cursor::new(headers), headers.len() as u64);
    entries.head().ok().flatten().map(|entry| entry.name)
}

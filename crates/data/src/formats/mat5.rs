//! The numeric arrays of a MATLAB 5 file (*MAT-File Format*, The MathWorks), plain or compressed.

use std::io::{Read, sink};
use std::path::Path;

use flate2::read::ZlibDecoder;

use crate::DataError;

/// Bytes before the first element.
const HEADER: usize = 128;
/// Bytes of the header: text, a subsystem's offset, version and byte order.
const VERSION: [u8; 4] = [0x00, 0x01, b'I', b'M'];
/// The most bytes of a variable's name, and of its list of dimensions.
const MAX_SMALL: u64 = 256;

/// Types of elements.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const SINGLE: u32 = 7;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;

/// The classes of arrays of real numbers, from `double` to `uint64`.
const NUMERIC: std::ops::RangeInclusive<u8> = 6..=15;
const COMPLEX: u8 = 0x08;

/// A variable whose numbers are still to be read.
pub(crate) struct Variable<'a> {
    pub(crate) name: String,
    /// The first changes fastest.
    pub(crate) dims: Vec<u64>,
    /// How the numbers are stored. The type may be narrower than the class of the array.
    kind: u32,
    /// The size that its tag claims, not yet checked.
    bytes: u64,
    data: &'a mut dyn Read,
}

impl Variable<'_> {
    /// The count of numbers, if the dimensions agree with the bytes and stay within `limit`.
    pub(crate) fn count(&self, limit: u64) -> Result<u64, String> {
        let name = &self.name;
        let size = match self.kind {
            INT8 | UINT8 => 1,
            INT16 | UINT16 => 2,
            INT32 | UINT32 | SINGLE => 4,
            DOUBLE => 8,
            kind => return Err(format!("{name} is stored as type {kind}, not as numbers")),
        };
        let count = self.dims.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
        let count = count.filter(|n| *n <= limit).ok_or_else(|| {
            format!("{name} of dimensions {:?} is beyond the limit of {limit}", self.dims)
        })?;
        match count.checked_mul(size) == Some(self.bytes) {
            true => Ok(count),
            false => Err(format!("{name} of {count} numbers has {} bytes", self.bytes)),
        }
    }

    /// Whether the numbers are unsigned bytes, so that `data` can be read directly.
    pub(crate) fn is_bytes(&self) -> bool {
        self.kind == UINT8
    }

    /// The bytes of the numbers.
    pub(crate) fn data(&mut self) -> &mut dyn Read {
        self.data
    }

    /// All numbers, at most `limit`.
    pub(crate) fn numbers(&mut self, limit: u64) -> Result<Vec<f64>, String> {
        let count = self.count(limit)?;
        let mut bytes = Vec::new();
        let read = (&mut *self.data).take(self.bytes).read_to_end(&mut bytes);
        read.map_err(|e| format!("{} is damaged: {e}", self.name))?;
        if bytes.len() as u64 != self.bytes {
            return Err(format!("truncated in {}", self.name));
        }
        fn of<const N: usize>(bytes: &[u8], number: fn([u8; N]) -> f64) -> Vec<f64> {
            bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
        }
        let numbers = match self.kind {
            INT8 => of(&bytes, |b| f64::from(i8::from_le_bytes(b))),
            UINT8 => of(&bytes, |b| f64::from(u8::from_le_bytes(b))),
            INT16 => of(&bytes, |b| f64::from(i16::from_le_bytes(b))),
            UINT16 => of(&bytes, |b| f64::from(u16::from_le_bytes(b))),
            INT32 => of(&bytes, |b| f64::from(i32::from_le_bytes(b))),
            UINT32 => of(&bytes, |b| f64::from(u32::from_le_bytes(b))),
            SINGLE => of(&bytes, |b| f64::from(f32::from_le_bytes(b))),
            _ => of(&bytes, f64::from_le_bytes),
        };
        debug_assert_eq!(numbers.len() as u64, count);
        Ok(numbers)
    }
}

/// Calls `visit` with each real numeric array of a little-endian file, in the order of the file.
/// Other variables are passed over.
///
/// # Errors
/// A file of another version or byte order, a truncated or damaged one, and errors of `visit`.
pub(crate) fn for_each_array(
    reader: &mut dyn Read,
    path: &Path,
    visit: &mut dyn FnMut(&mut Variable<'_>) -> Result<(), String>,
) -> Result<(), DataError> {
    read_file(reader, visit).map_err(|reason| DataError::format(path, reason))
}

fn read_file(
    reader: &mut dyn Read,
    visit: &mut dyn FnMut(&mut Variable<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut header = [0; HEADER];
    reader.read_exact(&mut header).map_err(|e| format!("truncated in its header: {e}"))?;
    if header[HEADER - 4..] != VERSION {
        return Err("not a little-endian MATLAB 5 file (save with `-v7`, not `-v7.3`)".into());
    }
    while let Some(tag) = read_tag(reader)? {
        let mut element = (&mut *reader).take(tag.bytes);
        match tag.kind {
            MATRIX => read_matrix(&mut element, visit)?,
            COMPRESSED => {
                let mut inner = ZlibDecoder::new(&mut element);
                let tag = read_tag(&mut inner)?.ok_or("truncated: an element without a tag")?;
                if tag.kind == MATRIX {
                    read_matrix(&mut (&mut inner).take(tag.bytes), visit)?;
                    // The checksum follows the padding, if the array was read.
                    let end = std::io::copy(&mut inner.take(16), &mut sink());
                    end.map_err(|e| format!("damaged: {e}"))?;
                }
            }
            _ => {}
        }
        let left = element.limit();
        let passed = std::io::copy(&mut element, &mut sink())
            .map_err(|e| format!("cannot be read on: {e}"))?;
        if passed != left {
            return Err(format!("truncated: {} bytes of an element are missing", left - passed));
        }
    }
    Ok(())
}

fn read_matrix(
    reader: &mut dyn Read,
    visit: &mut dyn FnMut(&mut Variable<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let flags = read_small(reader, UINT32, "array flags")?;
    let [class, flags, ..] = flags[..] else { return Err("an array without flags".into()) };
    if !NUMERIC.contains(&class) || flags & COMPLEX != 0 {
        return Ok(());
    }
    let dims = read_small(reader, INT32, "dimensions")?;
    // A negative dimension becomes one that is beyond every limit.
    let dims = dims.as_chunks::<4>().0.iter().map(|d| u64::from(u32::from_le_bytes(*d))).collect();
    let name = read_small(reader, INT8, "a name")?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let tag = read_tag(reader)?.ok_or_else(|| format!("truncated before the data of {name}"))?;
    let mut inline: &[u8] = tag.inline.as_ref().map_or(&[], |data| data);
    let data: &mut dyn Read = if tag.inline.is_some() { &mut inline } else { reader };
    visit(&mut Variable { name, dims, kind: tag.kind, bytes: tag.bytes, data })
}

/// What precedes the data of an element.
struct Tag {
    kind: u32,
    /// The claimed size, without padding.
    bytes: u64,
    /// Data of up to four bytes, with their padding.
    inline: Option<[u8; 4]>,
}

/// `None` at the end of the file.
fn read_tag(reader: &mut dyn Read) -> Result<Option<Tag>, String> {
    let mut bytes = Vec::with_capacity(8);
    reader.take(8).read_to_end(&mut bytes).map_err(|e| format!("damaged: {e}"))?;
    let (first, second) = match bytes[..] {
        [] => return Ok(None),
        [a, b, c, d, e, f, g, h] => ([a, b, c, d], [e, f, g, h]),
        _ => return Err("truncated in the tag of an element".into()),
    };
    let word = u32::from_le_bytes(first);
    Ok(Some(match word >> 16 {
        0 => Tag { kind: word, bytes: u64::from(u32::from_le_bytes(second)), inline: None },
        bytes @ 1..=4 => Tag { kind: word & 0xffff, bytes: u64::from(bytes), inline: Some(second) },
        bytes => return Err(format!("a small element of {bytes} bytes")),
    }))
}

/// A short element of type `kind`. Its padding to eight bytes is read as well.
fn read_small(reader: &mut dyn Read, kind: u32, what: &str) -> Result<Vec<u8>, String> {
    let tag = read_tag(reader)?.ok_or_else(|| format!("truncated before {what}"))?;
    if tag.kind != kind || tag.bytes > MAX_SMALL {
        let (found, bytes) = (tag.kind, tag.bytes);
        return Err(format!("{bytes} bytes of type {found} instead of {what}"));
    }
    let length = tag.bytes as usize;
    if let Some(inline) = tag.inline {
        return Ok(inline[..length].to_vec());
    }
    let mut bytes = vec![0; length.next_multiple_of(8)];
    reader.read_exact(&mut bytes).map_err(|e| format!("truncated in {what}: {e}"))?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    pub(crate) fn header() -> Vec<u8> {
        let mut bytes = b"MATLAB 5.0 MAT-file".to_vec();
        bytes.resize(HEADER - VERSION.len(), b' ');
        bytes.extend(VERSION);
        bytes
    }

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    pub(crate) fn array(name: &str, dims: &[u32], kind: u32, data: &[u8]) -> Vec<u8> {
        // Class `uint8`: nothing depends on which numeric class it is.
        let mut inside = element(UINT32, &[9, 0, 0, 0, 0, 0, 0, 0]);
        inside
            .extend(element(INT32, &dims.iter().flat_map(|d| d.to_le_bytes()).collect::<Vec<_>>()));
        inside.extend(match name.len() {
            1..=4 => {
                let mut small = (INT8 | (name.len() as u32) << 16).to_le_bytes().to_vec();
                small.extend(name.bytes());
                small.resize(8, 0);
                small
            }
            _ => element(INT8, name.as_bytes()),
        });
        inside.extend(element(kind, data));
        element(MATRIX, &inside)
    }

    pub(crate) fn compressed(array: &[u8]) -> Vec<u8> {
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(array).unwrap();
        let data = zlib.finish().unwrap();
        // Compressed elements are not padded.
        let mut bytes = COMPRESSED.to_le_bytes().to_vec();
        bytes.extend((data.len() as u32).to_le_bytes());
        bytes.extend(data);
        bytes
    }

    /// Name, dimensions, numbers.
    type Array = (String, Vec<u64>, Vec<f64>);

    fn read(bytes: &[u8]) -> Result<Vec<Array>, String> {
        let mut found = Vec::new();
        read_file(&mut &*bytes, &mut |variable| {
            let numbers = variable.numbers(100)?;
            found.push((variable.name.clone(), variable.dims.clone(), numbers));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn arrays_of_every_number_type_plain_and_compressed() {
        let doubles: Vec<u8> = [1.5f64, -2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let words: Vec<u8> = [300u16, 7].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut text = element(UINT32, &[4, 0, 0, 0, 0, 0, 0, 0]);
        text.extend(element(INT32, &[0; 8]));
        let bytes = [
            header(),
            array("a", &[1, 2], DOUBLE, &doubles),
            compressed(&array("longer", &[2, 1], UINT16, &words)),
            // A character array is passed over.
            element(MATRIX, &text),
            compressed(&array("b", &[3], UINT8, &[1, 2, 255])),
        ]
        .concat();
        let expected = [
            ("a".to_owned(), vec![1, 2], vec![1.5, -2.0]),
            ("longer".to_owned(), vec![2, 1], vec![300.0, 7.0]),
            ("b".to_owned(), vec![3], vec![1.0, 2.0, 255.0]),
        ];
        assert_eq!(read(&bytes).unwrap(), expected);
    }

    #[test]
    fn data_of_up_to_four_bytes_may_stand_in_their_tag() {
        let mut inside = element(UINT32, &[6, 0, 0, 0, 0, 0, 0, 0]);
        inside.extend(element(INT32, &[3, 0, 0, 0, 1, 0, 0, 0]));
        inside.extend([1, 0, 1, 0, b'y', 0, 0, 0]);
        inside.extend([2, 0, 3, 0, 10, 1, 2, 0]);
        let bytes = [header(), element(MATRIX, &inside)].concat();
        assert_eq!(read(&bytes).unwrap()[0].2, [10.0, 1.0, 2.0]);
    }

    #[test]
    fn damage_is_one_clear_error() {
        let plain = [header(), array("a", &[2, 4], UINT8, &[0; 8])].concat();
        assert!(read(&plain[..100]).unwrap_err().contains("truncated in its header"));
        assert!(read(&plain[..132]).unwrap_err().contains("truncated in the tag"));
        assert!(read(&plain[..plain.len() - 1]).unwrap_err().contains("truncated in a"));
        let mut other = plain.clone();
        other[125] = 2;
        assert!(read(&other).unwrap_err().contains("not a little-endian MATLAB 5 file"));
        let lie = [header(), array("a", &[u32::MAX; 3], UINT8, &[0; 8])].concat();
        assert!(read(&lie).unwrap_err().contains("beyond the limit"));
        let short = [header(), array("a", &[9], UINT8, &[0; 8])].concat();
        assert!(read(&short).unwrap_err().contains("9 numbers has 8 bytes"));
        let mut damaged = [header(), compressed(&array("a", &[8], UINT8, &[7; 8]))].concat();
        let end = damaged.len();
        damaged[end - 1] ^= 1;
        assert!(read(&damaged).unwrap_err().contains("damaged"), "the checksum");
        assert!(read(&damaged[..end - 10]).is_err());
    }
}

//! PNG files as Pillow reads them: the decoder is too strict in some cases and misses data in
//! others.

use std::io::{ErrorKind, Read, copy, sink};

use image::metadata::Orientation;
use image::{DynamicImage, ImageFormat};

use super::{MAX_DECODE_BYTES, by_image};

const SIGNATURE: usize = 8;

/// Decodes a PNG file whose pixels are all there.
///
/// Like Pillow, this needs neither the end of the file nor the checksums from the pixels on: the
/// compressed pixels have a checksum of their own.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut image = by_image(bytes, ImageFormat::Png).or_else(|reason| {
        let (mended, pixels) = mend(bytes).ok_or_else(|| reason.clone())?;
        let image = by_image(&mended, ImageFormat::Png).map_err(|_| reason)?;
        if is_damaged(&pixels) {
            return Err(String::from("the PNG file is damaged"));
        }
        Ok(image)
    })?;
    if let Some(orientation) = hidden_orientation(bytes) {
        image.apply_orientation(orientation);
    }
    Ok(image)
}

struct Chunk<'a> {
    kind: &'a [u8],
    /// The chunk's data, as far as it is there.
    data: &'a [u8],
    /// With its length and its checksum.
    whole: Option<&'a [u8]>,
}

fn chunks(bytes: &[u8]) -> impl Iterator<Item = Chunk<'_>> {
    let mut rest = bytes.get(SIGNATURE..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk().filter(|(_, after)| after.len() >= 4)?;
        let (kind, after) = after.split_at(4);
        let length = u32::from_be_bytes(*length) as usize;
        let whole = rest.get(..length.saturating_add(12));
        rest = whole.map_or(&[], |whole| &rest[whole.len()..]);
        Some(Chunk { kind, data: &after[..length.min(after.len())], whole })
    })
}

/// A valid file of the header and the compressed pixels, and those pixels alone.
fn mend(bytes: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut mended = bytes.get(..SIGNATURE)?.to_vec();
    let mut pixels = Vec::new();
    for chunk in chunks(bytes) {
        if chunk.kind == b"IDAT" {
            pixels.extend(chunk.data);
        } else if pixels.is_empty() {
            mended.extend(chunk.whole?);
        } else {
            break;
        }
    }
    for (kind, data) in [(b"IDAT", &*pixels), (b"IEND", &[])] {
        mended.extend(u32::try_from(data.len()).ok()?.to_be_bytes());
        let start = mended.len();
        mended.extend(kind);
        mended.extend(data);
        mended.extend(crc32fast::hash(&mended[start..]).to_be_bytes());
    }
    Some((mended, pixels))
}

/// Whether the checksum of the compressed pixels is there and wrong.
fn is_damaged(pixels: &[u8]) -> bool {
    let decompressed = flate2::read::ZlibDecoder::new(pixels).take(2 * MAX_DECODE_BYTES);
    copy(&mut { decompressed }, &mut sink()).is_err_and(|e| e.kind() != ErrorKind::UnexpectedEof)
}

/// EXIF in places where the decoder does not look. ExifTool writes it behind the pixels, and
/// ImageMagick once wrote it as text. Pillow finds both.
fn hidden_orientation(bytes: &[u8]) -> Option<Orientation> {
    let whole = || chunks(bytes).filter(|chunk| chunk.whole.is_some());
    let before = whole().take_while(|chunk| chunk.kind != b"IDAT");
    if before.into_iter().any(|chunk| chunk.kind == b"eXIf") {
        return None;
    }
    if let Some(exif) = whole().find(|chunk| chunk.kind == b"eXIf") {
        return Orientation::from_exif_chunk(exif.data);
    }
    let exif = whole().find_map(|chunk| exif_from_text(&chunk))?;
    Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(&exif))
}

/// Three lines, and then bytes in hexadecimal.
fn exif_from_text(chunk: &Chunk) -> Option<Vec<u8>> {
    const MAX_BYTES: u64 = 1 << 20;
    let text = chunk.data.strip_prefix(b"Raw profile type exif\0")?;
    let mut unpacked = Vec::new();
    let text = match chunk.kind {
        b"tEXt" => text,
        b"zTXt" => {
            let packed = flate2::read::ZlibDecoder::new(text.get(1..)?);
            packed.take(MAX_BYTES).read_to_end(&mut unpacked).ok()?;
            &unpacked
        }
        _ => return None,
    };
    let lines = text.split(|byte| *byte == b'\n').skip(3);
    let digits: Option<Vec<u8>> =
        lines.flatten().map(|d| char::from(*d).to_digit(16).map(|d| d as u8)).collect();
    Some(digits?.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of 60 grey pixels, stored without compression. All chunks from the pixels on have
    /// wrong checksums.
    fn stored(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let row = [&[0], &[7; 60][..]].concat();
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(&*row, flate2::Compression::none())
            .read_to_end(&mut packed)
            .unwrap();
        change(&mut packed);
        let mut png = b"\x89PNG\r\n\x1a\n".to_vec();
        let header = [&[0, 0, 0, 60, 0, 0, 0, 1, 8][..], &[0; 4]].concat();
        for (kind, data) in [(b"IHDR", &header), (b"IDAT", &packed), (b"IEND", &vec![])] {
            png.extend((data.len() as u32).to_be_bytes());
            let start = png.len();
            png.extend(kind);
            png.extend(data);
            let checksum = crc32fast::hash(&png[start..]);
            png.extend((checksum ^ u32::from(kind != b"IHDR")).to_be_bytes());
        }
        png
    }

    #[test]
    fn whole_pixels_are_read_and_damaged_or_missing_ones_refused() {
        let grey = decode(&stored(|_| {})).unwrap().into_luma8();
        assert_eq!(grey.as_raw(), &[7; 60]);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| decode(&stored(change)).unwrap_err();
        assert_eq!(refused(&|packed| packed[30] ^= 1), "the PNG file is damaged");
        // Without the checksum, and a part of the last pixels.
        refused(&|packed| packed.truncate(packed.len() - 8));
        refused(&|packed| packed.clear());
    }

    #[test]
    fn text_that_is_no_exif_is_ignored() {
        for text in [&b"\nexif\n4\n0g"[..], b"\nexif\n4\n0", b"\n", b"", b"\nexif\n4\nff\xff"] {
            let data = [b"Raw profile type exif\0", text].concat();
            for kind in [b"tEXt", b"zTXt"] {
                let chunk = Chunk { kind, data: &data, whole: None };
                let exif = exif_from_text(&chunk).unwrap_or_default();
                assert_eq!(Orientation::from_exif_chunk(&exif), None);
            }
        }
    }
}

//! JPEG files with the pixels of libjpeg-turbo, as in Pillow, and checks that decoders do not make.

use std::borrow::Cow;
use std::io::Cursor;

use image::codecs::jpeg::JpegDecoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, RgbImage};
use libjpeg_turbo_rs::{ColorSpace, Decoder, PixelFormat};
use memchr::memchr;

use super::{by_image, check_size, reason};

/// Decodes a JPEG file, upright.
///
/// The pixels are libjpeg-turbo's to the last bit, by `libjpeg-turbo-rs`. It differs for a few
/// kinds of files. These go through the `image` crate, which is a few levels off.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let bytes = prepare(bytes)?;
    let Some(pixels) = exact(&bytes)? else { return by_image(&bytes, ImageFormat::Jpeg) };
    let mut header = JpegDecoder::new(Cursor::new(&*bytes)).map_err(reason)?;
    // Damaged metadata is no reason to refuse the image.
    let orientation = header.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from(pixels);
    image.apply_orientation(orientation);
    Ok(image)
}

/// `None` if the decoder refuses the file, or is known to differ from libjpeg-turbo.
fn exact(bytes: &[u8]) -> Result<Option<RgbImage>, String> {
    let Ok(decoder) = Decoder::new(bytes) else { return Ok(None) };
    let header = decoder.header();
    let (width, height) = (u32::from(header.width), u32::from(header.height));
    let parts = &header.components;
    // Counted as `image` does: one byte for each component, and three for a colour image.
    let bytes = u64::from(width) * u64::from(height) * parts.len().max(3) as u64;
    check_size(width, height, bytes)?;
    let ids: Vec<u8> = parts.iter().map(|part| part.id).collect();
    let sampling = |i: usize| (parts[i].horizontal_sampling, parts[i].vertical_sampling);
    // No decoder here agrees with libjpeg on these files, and some make stripes.
    let finer = |i: usize| sampling(i).0 > sampling(0).0 || sampling(i).1 > sampling(0).1;
    if (1..parts.len()).any(finer) {
        return Err("a JPEG whose colour is finer than its brightness is not read".into());
    }
    if (0..parts.len()).any(|i| sampling(i).0 == 3 || sampling(i).1 == 3) {
        return Err("a JPEG with a sampling factor of 3 is not read".into());
    }
    let pixels = match ids.len() {
        // To libjpeg, components named R, G and B are plain RGB. This decoder needs Adobe's marker
        // for it.
        3 if ids == *b"RGB" && decoder.jpeg_color_space() != ColorSpace::Rgb => return Ok(None),
        1 | 3 => {
            let decoded = decoder.with_output_format(PixelFormat::Rgb).decode_image();
            decoded.ok().map(|image| image.data)
        }
        // The decoder fails on reduced components.
        4 if (1..4).all(|i| sampling(i) == sampling(0)) => {
            let decoded = decoder.with_output_format(PixelFormat::Cmyk).decode_image();
            decoded.ok().map(|image| image.data.as_chunks().0.iter().flat_map(rgb).collect())
        }
        _ => return Ok(None),
    };
    Ok(pixels.and_then(|pixels| RgbImage::from_raw(width, height, pixels)))
}

/// Converts CMYK as Pillow does in JPEG files: it takes the values to be inverted.
fn rgb([c, m, y, k]: &[u8; 4]) -> [u8; 3] {
    let light = u32::from(*k);
    [c, m, y].map(|ink| {
        let product = (255 - u32::from(*ink)) * light + 128;
        light.saturating_sub(((product >> 8) + product) >> 8) as u8
    })
}

/// Walks through the segments of a JPEG file up to its end marker, which must be there. Corrects
/// the colour transform that the file declares.
///
/// Otherwise a truncated file would be filled up with grey. The decoder has to be lenient: its
/// strict mode refuses harmless bytes between segments, and cameras write such bytes. Pillow
/// refuses files without an end marker as well.
///
/// # Errors
/// What is missing.
fn prepare(bytes: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    const CUT: &str = "the JPEG file is cut off";
    let (mut at, mut components, mut transform_at) = (0, 0, None);
    loop {
        // In a scan, this skips the compressed data.
        at += memchr(0xFF, &bytes[at..]).ok_or(CUT)?;
        at += bytes[at..].iter().position(|b| *b != 0xFF).ok_or(CUT)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            END_OF_IMAGE => break,
            // A byte FF of compressed data, and markers without a segment.
            0x00 | 0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let [high, low] = *bytes.get(at..at + 2).ok_or(CUT)? else { return Err(CUT) };
        let content = at + 2..at + usize::from(u16::from_be_bytes([high, low])).max(2);
        let segment = bytes.get(content.clone()).ok_or(CUT)?;
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                match (marker, segment.first()) {
                    (0xC9.., _) => return Err("a JPEG with arithmetic coding is not read"),
                    (0xC3.., _) => return Err("a lossless or hierarchical JPEG is not read"),
                    (_, Some(8)) => {}
                    _ => return Err("a JPEG with other than 8 bits is not read"),
                }
                components = *segment.get(5).ok_or(CUT)?;
            }
            APP14 if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                transform_at = Some(content.start + 11);
            }
            _ => {}
        }
        at = content.end;
    }
    let Some(transform_at) = transform_at else { return Ok(Cow::Borrowed(bytes)) };
    // To libjpeg, any transform means YCbCr or YCCK, by the number of components. The decoder
    // refuses numbers that Adobe has not defined, and takes YCbCr with a fourth component for CMYK.
    let transform = match (bytes[transform_at], components) {
        (0, _) => 0,
        (_, 4) => 2,
        _ => 1,
    };
    if bytes[transform_at] == transform {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut bytes = bytes.to_vec();
    bytes[transform_at] = transform;
    Ok(Cow::Owned(bytes))
}

const END_OF_IMAGE: u8 = 0xD9;
const APP14: u8 = 0xEE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let frame =
            |marker, bits| [0xFF, 0xD8, 0xFF, marker, 0, 8, bits, 0, 1, 0, 1, 1, 0xFF, 0xD9];
        for (marker, bits, words) in [
            (0xC9, 8, "arithmetic"),
            (0xCA, 8, "arithmetic"),
            (0xC3, 8, "lossless"),
            (0xC7, 8, "hierarchical"),
            (0xC1, 12, "8 bits"),
        ] {
            let said = prepare(&frame(marker, bits)).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        assert!((0xC0..=0xC2).all(|marker| prepare(&frame(marker, 8)).is_ok()));
    }
}

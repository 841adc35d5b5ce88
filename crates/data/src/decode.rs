//! Decodes image files into RGB pixels, within limits.
//!
//! [`open_image_folder`](crate::open_image_folder) says what is read and how it becomes RGB. A
//! truncated file is refused, even if much of it could be shown.

mod jpeg;
mod png;
mod pnm;
mod tiff;

use std::io::{Cursor, ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use image::error::ImageFormatHint;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

use crate::DataError;

/// No single file may be larger than this,
const MAX_FILE_BYTES: u64 = 512 << 20;
/// nor its image wider or higher than this,
const MAX_SIDE: u32 = 32_768;
/// nor have more pixels than this: beyond it Pillow reports a decompression bomb,
const MAX_PIXELS: u64 = 178_956_970;
/// nor may its pixels take more memory than this as they come from the decoder.
const MAX_DECODE_BYTES: u64 = 1 << 30;
/// Comments and profiles inside a PNG file are compressed too.
const MAX_PNG_METADATA_BYTES: u64 = 64 << 20;

/// Decodes one file into RGB. The content decides on the format, not the extension. The image is
/// turned upright by its EXIF orientation.
///
/// # Errors
/// A file that is missing, damaged, of an unknown kind, or beyond the limits on size.
pub fn decode_file(path: &Path) -> Result<RgbImage, DataError> {
    // Checked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(DataError::io("read", path))?;
    if !metadata.is_file() {
        return Err(DataError::format(path, "not a regular file"));
    }
    let size = metadata.len();
    if size > MAX_FILE_BYTES {
        let reason = format!("{size} bytes are beyond the limit of {MAX_FILE_BYTES}");
        return Err(DataError::format(path, reason));
    }
    let mut bytes = Vec::with_capacity(size as usize);
    std::fs::File::open(path)
        // It may have grown since.
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_end(&mut bytes))
        .map_err(DataError::io("read", path))?;
    decode_bytes(path, &bytes)
}

/// The same for the bytes of a file. Errors name `path` as their origin.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<RgbImage, DataError> {
    // Decoders are fuzzed, and yet one damaged file in millions may fail an assertion and end a run
    // of days. A decoder works on its own memory, so a panic leaves nothing half done. Its message
    // is printed once for each such file.
    catch_unwind(AssertUnwindSafe(|| decode(bytes)))
        .unwrap_or_else(|_| Err("the decoder failed on this file".into()))
        .map_err(|reason| DataError::format(path, reason))
}

/// Errors are reasons in plain words.
fn decode(bytes: &[u8]) -> Result<RgbImage, String> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Pnm, Tiff, WebP};
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let big_tiff = [b"II\x2b\0", b"MM\0\x2b"].iter().any(|start| bytes.starts_with(*start));
    let image = match image::guess_format(bytes) {
        _ if big_tiff => tiff::decode(bytes),
        Ok(Jpeg) => jpeg::decode(bytes),
        Ok(Png) => png::decode(bytes),
        Ok(Pnm) => pnm::decode(bytes),
        Ok(Tiff) => tiff::decode(bytes),
        Ok(WebP) if !webp_is_whole(bytes) => Err("the WebP file is cut off".into()),
        Ok(format @ (Bmp | Gif | WebP)) => by_image(bytes, format),
        _ => Err("not an image of a format that is read".into()),
    };
    Ok(image?.into_rgb8())
}

/// Decodes with the `image` crate and turns the image upright.
fn by_image(bytes: &[u8], format: ImageFormat) -> Result<DynamicImage, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    let is_png = format == ImageFormat::Png;
    limits.max_alloc = Some(if is_png { MAX_PNG_METADATA_BYTES } else { MAX_DECODE_BYTES });
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(reason)?;
    let (width, height) = decoder.dimensions();
    // Of the limits above, the decoders of JPEG, BMP, WebP and GIF observe only width and height.
    check_size(width, height, decoder.total_bytes())?;
    // Damaged metadata is no reason to refuse the image.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(reason)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Checks an image's size before its memory is taken. `bytes`: those of the pixels from the
/// decoder.
fn check_size(width: u32, height: u32, bytes: u64) -> Result<(), String> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels == 0 {
        return Err("the image has no pixels".into());
    }
    if width.max(height) > MAX_SIDE {
        return Err(format!("{width} × {height} pixels are beyond the limit of {MAX_SIDE}"));
    }
    if pixels > MAX_PIXELS || bytes > MAX_DECODE_BYTES {
        return Err(format!(
            "{width} × {height} pixels in {bytes} bytes are beyond the limits of {MAX_PIXELS} \
             pixels and {MAX_DECODE_BYTES} bytes"
        ));
    }
    Ok(())
}

/// The reason in plain words. Decoders' messages are for programmers.
fn reason(error: ImageError) -> String {
    let name = |hint: ImageFormatHint| match hint {
        ImageFormatHint::Exact(ImageFormat::Jpeg) => "JPEG",
        ImageFormatHint::Exact(ImageFormat::Png) => "PNG",
        ImageFormatHint::Exact(ImageFormat::Gif) => "GIF",
        ImageFormatHint::Exact(ImageFormat::WebP) => "WebP",
        ImageFormatHint::Exact(ImageFormat::Bmp) => "BMP",
        ImageFormatHint::Exact(ImageFormat::Pnm) => "PNM",
        _ => "image",
    };
    match error {
        ImageError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => {
            "the file is cut off".into()
        }
        ImageError::Limits(_) => {
            "the image, or what is stored beside it, is beyond the limits on size".into()
        }
        ImageError::Decoding(e) => format!("the {} file is damaged", name(e.format_hint())),
        ImageError::Unsupported(e) => {
            format!("a {} file of this kind is not read", name(e.format_hint()))
        }
        _ => "the file is damaged".into(),
    }
}

/// The decoder does not notice missing chunks at the end, and the orientation may be there.
fn webp_is_whole(bytes: &[u8]) -> bool {
    let length = bytes.get(4..8).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    length.is_some_and(|length| bytes.len() as u64 >= 8 + u64::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixtures() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let cases = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
        cases
            .lines()
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .map(|name| (name.clone(), std::fs::read(folder.join(name)).unwrap()))
            .collect()
    }

    /// Files with the orientation behind the pixels: nothing tells that it is missing.
    const TURNED_BY_THE_END: [&str; 2] = ["exif-behind.png", "exif-packed-text.png"];

    /// Each file is cut at enough places to meet every kind of segment.
    #[test]
    fn a_cut_file_is_refused_or_whole() {
        for (name, bytes) in fixtures() {
            let path = Path::new(&name);
            let whole = decode_bytes(path, &bytes).unwrap();
            for length in 0..bytes.len() {
                if let Ok(image) = decode_bytes(path, &bytes[..length]) {
                    let is_whole = image == whole
                        || TURNED_BY_THE_END.contains(&&*name)
                            && DynamicImage::from(image).rotate90().into_rgb8() == whole;
                    assert!(is_whole, "{name} cut at {length}");
                }
            }
        }
    }

    #[test]
    fn damage_is_an_error_or_an_image_but_never_a_panic() {
        // A multiplicative generator is random enough to damage files.
        let mut state = 1u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        for (name, bytes) in fixtures() {
            for _ in 0..50 {
                let mut damaged = bytes.clone();
                for _ in 0..=random(4) {
                    damaged[random(bytes.len())] = random(256) as u8;
                }
                match decode_bytes(Path::new(&name), &damaged) {
                    Ok(image) => assert!(!image.as_raw().is_empty(), "{name}"),
                    Err(error) => assert!(is_plain(&error.reason()), "{name}"),
                }
            }
        }
    }

    /// The message needs no programmer to understand it.
    fn is_plain(reason: &str) -> bool {
        let signs = ["::", "{", "(", "`", "Error", "error", "Some", "None", "decoder for", "UTF"];
        !reason.is_empty() && !signs.iter().any(|sign| reason.contains(sign))
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_before_memory_is_taken() {
        let (_, mut bmp) = fixtures().into_iter().find(|(name, _)| name == "rgb.bmp").unwrap();
        // Width and height.
        for side in [15_000u32, 40_000] {
            bmp[18..22].copy_from_slice(&side.to_le_bytes());
            bmp[22..26].copy_from_slice(&side.to_le_bytes());
            let reason = decode(&bmp).unwrap_err();
            assert!(reason.contains("beyond the limits"), "{reason}");
        }
    }
}

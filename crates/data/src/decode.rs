//! Image files become RGB pixels, within limits.

use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

use crate::DataError;

/// No single file may be larger than this,
const MAX_FILE_BYTES: u64 = 512 << 20;
/// nor its image wider or higher than this,
const MAX_SIDE: u32 = 32_768;
/// nor may decoding it take more memory than this.
const MAX_DECODE_BYTES: u64 = 1 << 30;

/// Decodes one file by its content, whatever its extension says, turned upright by its EXIF
/// orientation, in RGB.
pub(crate) fn decode_file(path: &Path) -> Result<RgbImage, DataError> {
    let file = std::fs::File::open(path).map_err(DataError::io("open", path))?;
    let size = file.metadata().map_err(DataError::io("read", path))?.len();
    decode(path, BufReader::new(file), size)
}

/// The same for the bytes of a file; `path` says in errors where they come from.
pub(crate) fn decode_bytes(path: &Path, bytes: &[u8]) -> Result<RgbImage, DataError> {
    decode(path, Cursor::new(bytes), bytes.len() as u64)
}

fn decode(path: &Path, from: impl BufRead + Seek, size: u64) -> Result<RgbImage, DataError> {
    let failed = |e: image::ImageError| DataError::format(path, e.to_string());
    if size > MAX_FILE_BYTES {
        let reason = format!("{size} bytes are beyond the limit of {MAX_FILE_BYTES}");
        return Err(DataError::format(path, reason));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODE_BYTES);
    let mut reader =
        ImageReader::new(from).with_guessed_format().map_err(DataError::io("read", path))?;
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let orientation = decoder.orientation().map_err(failed)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    if image.as_raw().is_empty() {
        return Err(DataError::format(path, "the image has no pixels"));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_promises_too_much_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("bomb.bmp");
        RgbImage::from_pixel(3, 2, image::Rgb([0; 3])).save(&path).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // Width and height in the BMP header.
        bytes[18..22].copy_from_slice(&30_000u32.to_le_bytes());
        bytes[22..26].copy_from_slice(&30_000u32.to_le_bytes());
        std::fs::write(&path, bytes).unwrap();
        assert!(decode_file(&path).is_err());
    }
}

//! The image that views are made of, borrowed and checked once.

use image::RgbImage;

use crate::AugmentError;

/// A borrowed image: interleaved RGB8, row by row, at least 1×1.
#[derive(Debug, Clone, Copy)]
pub struct RgbSource<'a> {
    pixels: &'a [u8],
    width: u32,
    height: u32,
}

impl<'a> RgbSource<'a> {
    /// Borrows `3 · width · height` bytes.
    ///
    /// # Errors
    /// An empty image, or a buffer of another length.
    pub fn new(pixels: &'a [u8], width: u32, height: u32) -> Result<Self, AugmentError> {
        if width == 0 || height == 0 {
            return Err(AugmentError::Empty { width, height });
        }
        let expected = (width as usize)
            .checked_mul(height as usize)
            .and_then(|n| n.checked_mul(3))
            .unwrap_or(usize::MAX);
        if pixels.len() != expected {
            let found = pixels.len();
            return Err(AugmentError::Length { what: "the pixel buffer", found, expected });
        }
        Ok(Self { pixels, width, height })
    }

    /// In pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// In pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// `3 · width · height` bytes.
    pub fn pixels(&self) -> &'a [u8] {
        self.pixels
    }
}

impl<'a> TryFrom<&'a RgbImage> for RgbSource<'a> {
    type Error = AugmentError;

    fn try_from(image: &'a RgbImage) -> Result<Self, AugmentError> {
        Self::new(image.as_raw(), image.width(), image.height())
    }
}

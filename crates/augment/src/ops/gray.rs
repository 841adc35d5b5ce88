//! Grayscale.

use crate::Image;
use crate::pixels::{self, PixelOp};

/// Replaces all three channels by the luma.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grayscale;

impl Grayscale {
    /// Takes the colour out of `image`.
    pub fn convert(image: &mut Image) {
        pixels::apply(image, &[PixelOp::Grayscale], |_, _| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luma_weights() {
        let mut image = Image::filled(1, 1, [1.0, 0.5, 0.25]);
        Grayscale::convert(&mut image);
        let y = 0.299 + 0.2935 + 0.0285;
        assert!(image.data().iter().all(|v| (v - y).abs() < 1e-6), "{:?}", image.data());
    }
}

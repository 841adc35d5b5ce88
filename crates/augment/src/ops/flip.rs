//! Mirroring left and right.

use crate::Image;

/// Mirrors left and right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HorizontalFlip;

impl HorizontalFlip {
    /// Mirrors `image`.
    pub fn flip(image: &mut Image) {
        let width = image.width().max(1);
        for row in image.data_mut().chunks_exact_mut(width) {
            row.reverse();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_stays_nothing() {
        let mut image = Image::default();
        HorizontalFlip::flip(&mut image);
        crate::GaussianBlur::blur(&mut image, 1.0, 3);
        crate::Grayscale::convert(&mut image);
        assert_eq!(image, Image::default());
    }

    #[test]
    fn twice_is_the_identity_and_once_is_not() {
        let mut image = Image::filled(3, 2, [0.0; 3]);
        image.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 / 18.0);
        let before = image.clone();
        HorizontalFlip::flip(&mut image);
        assert_eq!(image.planes()[0][..3], [2.0 / 18.0, 1.0 / 18.0, 0.0]);
        HorizontalFlip::flip(&mut image);
        assert_eq!(image, before);
    }
}

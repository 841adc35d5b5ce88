//! Solarisation.

use crate::Image;
use crate::pixels::{self, PixelOp};

/// Inverts every value at or above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solarize {
    /// In `[0, 1]`; 128/255 in the published pairs.
    pub threshold: f32,
}

impl Solarize {
    /// Solarises `image`.
    pub fn solarize(&self, image: &mut Image) {
        pixels::apply(image, &[PixelOp::Solarize(self.threshold)], |_, _| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverts_from_the_threshold_on() {
        let solarize = Solarize { threshold: 0.5 };
        let mut image = Image::filled(1, 1, [0.4, 0.5, 0.75]);
        solarize.solarize(&mut image);
        assert_eq!(image.data(), [0.4, 0.5, 0.25]);
    }
}

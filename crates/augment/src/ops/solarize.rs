use super::{Transform, happens};
use crate::pixels::{self, PixelOp};
use crate::{Image, ViewRng};

/// Inverts every value at or above a threshold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Solarize {
    /// 0 in the first view and 0.2 in the second of the published pairs.
    pub probability: f32,
    /// In `[0, 1]`; 128/255 in the published pairs.
    pub threshold: f32,
}

impl Solarize {
    /// Without chance.
    pub fn solarize(&self, image: &mut Image) {
        pixels::apply(image, &[PixelOp::Solarize(self.threshold)], |_, _| ());
    }
}

impl Transform for Solarize {
    fn apply(&self, image: &mut Image, rng: &mut ViewRng) {
        if happens(self.probability, rng) {
            self.solarize(image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverts_from_the_threshold_on() {
        let solarize = Solarize { probability: 1.0, threshold: 0.5 };
        let mut image = Image::filled(1, 1, [0.4, 0.5, 0.75]);
        solarize.solarize(&mut image);
        assert_eq!(image.data(), [0.4, 0.5, 0.25]);
    }
}

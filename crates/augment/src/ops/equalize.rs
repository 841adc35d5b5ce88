use super::{Transform, check_probability, from_level, happens, level};
use crate::{AugmentError, Image, ViewRng};

/// Histogram equalisation of each channel on its own, as PIL's `ImageOps.equalize` does it and
/// torchvision on 8-bit images after it.
///
/// Values are first rounded to 8 bits, so the result consists of multiples of 1/255. A channel of
/// one level, or of fewer than 255 pixels below its brightest level, has no histogram to speak of
/// and is only rounded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equalize {
    /// 0 in the published pairs.
    pub probability: f32,
}

impl Equalize {
    /// Checks the probability.
    ///
    /// # Errors
    /// A probability outside `[0, 1]`.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check_probability(self.probability)
    }

    /// Without chance.
    pub fn equalize(image: &mut Image) {
        for plane in image.planes_mut() {
            let mut histogram = [0usize; 256];
            for value in plane.iter() {
                histogram[usize::from(level(*value))] += 1;
            }
            let levels = lookup(&histogram);
            for value in plane {
                *value = from_level(levels[usize::from(level(*value))]);
            }
        }
    }
}

impl Transform for Equalize {
    fn apply(&self, image: &mut Image, rng: &mut ViewRng) {
        if happens(self.probability, rng) {
            Self::equalize(image);
        }
    }
}

/// Where each level goes: to the share of pixels below it, counted in steps of which the pixels
/// below the brightest level make 255.
fn lookup(histogram: &[usize; 256]) -> [u8; 256] {
    let mut levels = std::array::from_fn(|i| i as u8);
    let brightest = histogram.iter().rev().find(|n| **n > 0).unwrap_or(&0);
    let step = (histogram.iter().sum::<usize>() - brightest) / 255;
    if step > 0 {
        let mut below = step / 2;
        for (to, count) in levels.iter_mut().zip(histogram) {
            *to = (below / step).min(255) as u8;
            below += count;
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_levels_go_to_the_ends() {
        // 510 pixels of 100/255 and 90 of 130/255: a step is 2, the first level goes to 1/2 = 0
        // and the second to (1 + 510)/2 = 255.
        let mut image = Image::filled(600, 1, [100.0 / 255.0; 3]);
        for plane in image.planes_mut() {
            plane[510..].fill(130.0 / 255.0);
        }
        Equalize::equalize(&mut image);
        for plane in image.planes() {
            assert!(plane[..510].iter().all(|v| *v == 0.0));
            assert!(plane[510..].iter().all(|v| *v == 1.0));
        }
    }

    #[test]
    fn an_even_ramp_keeps_its_levels() {
        let mut image = Image::filled(256, 4, [0.0; 3]);
        image.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = (i % 256) as f32 / 255.0);
        let before = image.clone();
        Equalize::equalize(&mut image);
        assert_eq!(image, before);
    }

    #[test]
    fn few_pixels_or_one_level_are_only_rounded() {
        for (width, height) in [(1, 1), (3, 2), (40, 40)] {
            let mut image = Image::filled(width, height, [0.3001, f32::NAN, 7.0]);
            Equalize::equalize(&mut image);
            let expected = [77.0 / 255.0, 0.0, 1.0];
            assert_eq!(image, Image::filled(width, height, expected));
        }
    }

    #[test]
    fn a_bad_probability_is_an_error() {
        Equalize { probability: 1.0 }.validate().unwrap();
        assert!(Equalize { probability: f32::NAN }.validate().is_err());
        assert!(Equalize { probability: -0.1 }.validate().is_err());
    }
}

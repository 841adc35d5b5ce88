use super::{Transform, check, check_probability, from_level, happens, level};
use crate::{AugmentError, Image, ViewRng};

/// Keeps the high bits of each 8-bit value, as PIL's `ImageOps.posterize` does (from 1 bit on) and
/// torchvision on 8-bit images.
///
/// Values are first rounded to 8 bits, so the result consists of multiples of 1/255 and white
/// darkens: 3 bits take 1 to 224/255. torchvision has another rule on float images,
/// `floor(v · 2^bits) / 2^bits`, which is not this one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posterize {
    /// 0 in the published pairs.
    pub probability: f32,
    /// How many bits stay, from 0 (all black) to 8 (none is lost); more are taken as 8.
    pub bits: u8,
}

impl Posterize {
    /// Checks every field.
    ///
    /// # Errors
    /// A probability outside `[0, 1]`, or more than 8 bits.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check_probability(self.probability)?;
        check(self.bits <= 8, "bits", self.bits, "from 0 to 8")
    }

    /// Without chance.
    pub fn posterize(&self, image: &mut Image) {
        let mask = !(0xFF_u8.checked_shr(u32::from(self.bits)).unwrap_or(0));
        for value in image.data_mut() {
            *value = from_level(level(*value) & mask);
        }
    }
}

impl Transform for Posterize {
    fn apply(&self, image: &mut Image, rng: &mut ViewRng) {
        if happens(self.probability, rng) {
            self.posterize(image);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_bits_go_and_high_bits_stay() {
        for (bits, expected) in
            [(0, [0, 0, 0]), (1, [128, 0, 128]), (3, [224, 64, 160]), (8, [255, 77, 171])]
        {
            let mut image = Image::filled(1, 1, [1.0, 77.3 / 255.0, 170.6 / 255.0]);
            Posterize { probability: 1.0, bits }.posterize(&mut image);
            assert_eq!(image.data(), expected.map(|v| v as f32 / 255.0), "{bits} bits");
        }
    }

    #[test]
    fn bad_settings_are_errors_and_do_no_harm() {
        let wrong = Posterize { probability: 1.0, bits: 200 };
        assert!(wrong.validate().unwrap_err().to_string().starts_with("bits: "));
        let mut image = Image::filled(2, 1, [f32::NAN, -3.0, f32::INFINITY]);
        wrong.posterize(&mut image);
        assert_eq!(image, Image::filled(2, 1, [0.0, 0.0, 1.0]));
        assert!(Posterize { probability: 1.5, bits: 4 }.validate().is_err());
        Posterize { probability: 0.5, bits: 0 }.validate().unwrap();
    }
}

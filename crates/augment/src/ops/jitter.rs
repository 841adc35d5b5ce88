//! Random brightness, contrast, saturation and hue.

use std::fmt;

use rand::seq::SliceRandom;

use super::uniform;
use crate::pixels::{self, PixelOp};
use crate::{Image, ViewRng};

/// Random brightness, contrast, saturation and hue in a random order, as in torchvision. Each
/// factor is uniform in `[max(0, 1 − x), 1 + x]` and blends multiplicatively. The hue turns by a
/// uniform share in `[−hue, hue]` of the circle. Values are clamped after each.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ColorJitter {
    /// Probability that the jitter happens.
    pub probability: f32,
    /// Strength, at least 0.
    pub brightness: f32,
    /// Strength, at least 0.
    pub contrast: f32,
    /// Strength, at least 0.
    pub saturation: f32,
    /// Strength in turns, in `[0, 0.5]`.
    pub hue: f32,
}

/// One of the four parts of a jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Brightness,
    Contrast,
    Saturation,
    Hue,
}

/// What a [`ColorJitter`] has drawn for one image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JitterParams {
    /// Blend with black.
    pub brightness: f32,
    /// Blend with the mean luma.
    pub contrast: f32,
    /// Blend with the grayscale image.
    pub saturation: f32,
    /// Turn of the hue.
    pub hue: f32,
    order: [Part; 4],
}

impl ColorJitter {
    /// Draws factors and order, whatever the probability.
    pub fn sample(&self, rng: &mut ViewRng) -> JitterParams {
        let mut order = [Part::Brightness, Part::Contrast, Part::Saturation, Part::Hue];
        order.shuffle(rng);
        let mut factor = |strength: f32| uniform([(1.0 - strength).max(0.0), 1.0 + strength], rng);
        JitterParams {
            brightness: factor(self.brightness),
            contrast: factor(self.contrast),
            saturation: factor(self.saturation),
            hue: uniform([-self.hue, self.hue], rng),
            order,
        }
    }
}

impl JitterParams {
    /// Brightness, contrast, saturation and hue in that order.
    pub fn in_fixed_order(brightness: f32, contrast: f32, saturation: f32, hue: f32) -> Self {
        let order = [Part::Brightness, Part::Contrast, Part::Saturation, Part::Hue];
        Self { brightness, contrast, saturation, hue, order }
    }

    /// The order of the parts, by torchvision's numbers: 0 brightness, 1 contrast, 2 saturation, 3
    /// hue.
    pub fn order(&self) -> [usize; 4] {
        self.order.map(|part| part as usize)
    }

    /// Changes `image` by what was drawn.
    pub fn apply(&self, image: &mut Image) {
        pixels::apply(image, &self.pixel_ops(), |_, _| ());
    }

    /// The four in their order. A factor of 1, or a turn of 0, changes nothing.
    pub(crate) fn pixel_ops(&self) -> [PixelOp; 4] {
        self.order.map(|part| match part {
            Part::Brightness => PixelOp::Brightness(self.brightness),
            Part::Contrast => PixelOp::Contrast(self.contrast),
            Part::Saturation => PixelOp::Saturation(self.saturation),
            Part::Hue => PixelOp::Hue(self.hue),
        })
    }
}

impl fmt::Display for JitterParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, part) in self.order.into_iter().enumerate() {
            let gap = if i > 0 { ", " } else { "" };
            match part {
                Part::Brightness => write!(f, "{gap}brightness {:.2}", self.brightness)?,
                Part::Contrast => write!(f, "{gap}contrast {:.2}", self.contrast)?,
                Part::Saturation => write!(f, "{gap}saturation {:.2}", self.saturation)?,
                Part::Hue => write!(f, "{gap}hue {:+.3}", self.hue)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ViewKey;

    fn close(image: &Image, expected: &[f32]) {
        let same = image.data().iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(same, "{:?} {expected:?}", image.data());
    }

    #[test]
    fn each_part_by_hand() {
        // Two pixels: one grey of 0.2, one of (0.8, 0.4, 0.4).
        let image = || {
            let mut image = Image::filled(2, 1, [0.2; 3]);
            for (plane, v) in image.planes_mut().into_iter().zip([0.8, 0.4, 0.4]) {
                plane[1] = v;
            }
            image
        };
        let mut bright = image();
        JitterParams::in_fixed_order(1.5, 1.0, 1.0, 0.0).apply(&mut bright);
        close(&bright, &[0.3, 1.0, 0.3, 0.6, 0.3, 0.6]);

        let mut flat = image();
        JitterParams::in_fixed_order(1.0, 0.0, 1.0, 0.0).apply(&mut flat);
        let mean = (0.2 + 0.4 + 0.4 * 0.299) / 2.0;
        close(&flat, &[mean; 6]);

        let mut grey = image();
        JitterParams::in_fixed_order(1.0, 1.0, 0.0, 0.0).apply(&mut grey);
        let y = 0.4 + 0.4 * 0.299;
        close(&grey, &[0.2, y, 0.2, y, 0.2, y]);

        let mut green = image();
        JitterParams::in_fixed_order(1.0, 1.0, 1.0, 1.0 / 3.0).apply(&mut green);
        close(&green, &[0.2, 0.4, 0.2, 0.8, 0.2, 0.4]);
    }

    #[test]
    fn all_orders_are_equally_likely() {
        let jitter = ColorJitter {
            probability: 1.0,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.2,
            hue: 0.1,
        };
        let mut counts: HashMap<String, u32> = HashMap::new();
        for image in 0..4800 {
            let mut rng = ViewKey { seed: 0, epoch: 0, image, view: 0 }.rng();
            let params = jitter.sample(&mut rng);
            assert!((0.6..=1.4).contains(&params.brightness));
            assert!((-0.1..=0.1).contains(&params.hue));
            *counts.entry(format!("{:?}", params.order)).or_default() += 1;
        }
        assert_eq!(counts.len(), 24);
        // 200 expected, standard deviation 14.
        assert!(counts.values().all(|n| (130..270).contains(n)), "{counts:?}");
    }
}

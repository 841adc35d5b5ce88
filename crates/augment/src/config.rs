//! The settings of one view, checked.

use serde::{Deserialize, Serialize};

use crate::ops::check;
use crate::{AugmentError, Interpolation};

/// All settings of one view. [`Default`] is the first view of BYOL's pair at 224 pixels with
/// ImageNet's statistics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewConfig {
    /// Side of the square view in pixels.
    pub size: u32,
    /// Smallest and largest share of the image's area in a crop.
    pub crop_scale: [f32; 2],
    /// Smallest and largest width over height of a crop.
    pub crop_ratio: [f32; 2],
    /// Kernel of the resize.
    pub interpolation: Interpolation,
    /// Probability of a horizontal flip.
    pub flip_probability: f32,
    /// Probability of colour jitter.
    pub jitter_probability: f32,
    /// Strength of the brightness jitter.
    pub brightness: f32,
    /// Strength of the contrast jitter.
    pub contrast: f32,
    /// Strength of the saturation jitter.
    pub saturation: f32,
    /// Strength of the hue jitter in turns, at most 0.5.
    pub hue: f32,
    /// Probability of losing all colour.
    pub grayscale_probability: f32,
    /// Probability of Gaussian blur.
    pub blur_probability: f32,
    /// Smallest and largest σ of the blur in pixels.
    pub blur_sigma: [f32; 2],
    /// Probability of solarisation.
    pub solarize_probability: f32,
    /// Values at or above this, in `[0, 1]`, are inverted.
    pub solarize_threshold: f32,
    /// Per channel, subtracted from values in `[0, 1]`.
    pub mean: [f32; 3],
    /// Per channel, the divisor after the subtraction.
    pub std: [f32; 3],
}

impl Default for ViewConfig {
    fn default() -> Self {
        Self {
            size: 224,
            crop_scale: [0.08, 1.0],
            crop_ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bicubic,
            flip_probability: 0.5,
            jitter_probability: 0.8,
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.2,
            hue: 0.1,
            grayscale_probability: 0.2,
            blur_probability: 1.0,
            blur_sigma: [0.1, 2.0],
            solarize_probability: 0.0,
            solarize_threshold: 128.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }
}

/// A recipe as its paper's appendix lists it:
///
/// ```
/// use selfsame_augment::ViewConfig;
///
/// let view = ViewConfig::plain(224)
///     .random_resized_crop([0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0])
///     .horizontal_flip(0.5)
///     .color_jitter(0.8, [0.4, 0.4, 0.2, 0.1])
///     .grayscale(0.2)
///     .gaussian_blur(0.1, [0.1, 2.0])
///     .solarize(0.2, 128.0 / 255.0)
///     .normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
/// view.validate()?;
/// # Ok::<(), selfsame_augment::AugmentError>(())
/// ```
impl ViewConfig {
    /// The whole image resized to a square of `size` pixels (bicubic). Nothing is random, and
    /// values are in `[0, 1]`.
    pub fn plain(size: u32) -> Self {
        Self {
            size,
            crop_scale: [1.0, 1.0],
            crop_ratio: [1e-3, 1e3],
            interpolation: Interpolation::Bicubic,
            flip_probability: 0.0,
            jitter_probability: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            grayscale_probability: 0.0,
            blur_probability: 0.0,
            blur_sigma: [0.1, 2.0],
            solarize_probability: 0.0,
            solarize_threshold: 128.0 / 255.0,
            mean: [0.0; 3],
            std: [1.0; 3],
        }
    }

    /// Crops with an area uniform in `scale` (shares of the image) and an aspect ratio log-uniform
    /// in `ratio` (width over height).
    #[must_use]
    pub fn random_resized_crop(self, scale: [f32; 2], ratio: [f32; 2]) -> Self {
        Self { crop_scale: scale, crop_ratio: ratio, ..self }
    }

    /// The kernel of the resize.
    #[must_use]
    pub fn interpolation(self, interpolation: Interpolation) -> Self {
        Self { interpolation, ..self }
    }

    /// Mirrors left and right.
    #[must_use]
    pub fn horizontal_flip(self, probability: f32) -> Self {
        Self { flip_probability: probability, ..self }
    }

    /// Jitters brightness, contrast, saturation and hue in a random order, by these strengths.
    #[must_use]
    pub fn color_jitter(
        self,
        probability: f32,
        [brightness, contrast, saturation, hue]: [f32; 4],
    ) -> Self {
        Self { jitter_probability: probability, brightness, contrast, saturation, hue, ..self }
    }

    /// Loses all colour.
    #[must_use]
    pub fn grayscale(self, probability: f32) -> Self {
        Self { grayscale_probability: probability, ..self }
    }

    /// Blurs with σ uniform in `sigma`, in pixels of the view.
    #[must_use]
    pub fn gaussian_blur(self, probability: f32, sigma: [f32; 2]) -> Self {
        Self { blur_probability: probability, blur_sigma: sigma, ..self }
    }

    /// Inverts values at or above `threshold`, which is in `[0, 1]`.
    #[must_use]
    pub fn solarize(self, probability: f32, threshold: f32) -> Self {
        Self { solarize_probability: probability, solarize_threshold: threshold, ..self }
    }

    /// Subtracts the mean and divides by the deviation, per channel, of values in `[0, 1]`.
    #[must_use]
    pub fn normalize(self, mean: [f32; 3], std: [f32; 3]) -> Self {
        Self { mean, std, ..self }
    }

    /// The largest side of a view, so that no configuration can ask for absurd memory.
    const MAX_SIZE: u32 = 4096;

    /// Checks every field.
    ///
    /// # Errors
    /// The first field out of its range, with the range.
    pub fn validate(&self) -> Result<(), AugmentError> {
        let size = (1..=Self::MAX_SIZE).contains(&self.size);
        check(size, "size", self.size, "from 1 to 4096 pixels")?;
        for (field, range, top) in [
            ("crop_scale", self.crop_scale, 1.0),
            ("crop_ratio", self.crop_ratio, 1e3),
            ("blur_sigma", self.blur_sigma, 1e3),
        ] {
            let ok = range[0] >= 1e-3 && range[0] <= range[1] && range[1] <= top;
            let allowed = format!("a range [low, high] within [0.001, {top}]");
            check(ok, field, format!("{range:?}"), &allowed)?;
        }
        for (field, p) in [
            ("flip_probability", self.flip_probability),
            ("jitter_probability", self.jitter_probability),
            ("grayscale_probability", self.grayscale_probability),
            ("blur_probability", self.blur_probability),
            ("solarize_probability", self.solarize_probability),
            ("solarize_threshold", self.solarize_threshold),
        ] {
            check((0.0..=1.0).contains(&p), field, p, "from 0 to 1")?;
        }
        for (field, strength, top) in [
            ("brightness", self.brightness, 10.0),
            ("contrast", self.contrast, 10.0),
            ("saturation", self.saturation, 10.0),
            ("hue", self.hue, 0.5),
        ] {
            let ok = (0.0..=top).contains(&strength);
            check(ok, field, strength, &format!("from 0 to {top}"))?;
        }
        // Within these bounds no view can overflow f32.
        let mean = self.mean.iter().all(|m| m.abs() <= 1e6);
        check(mean, "mean", format!("{:?}", self.mean), "within ±1000000 in every channel")?;
        let std = self.std.iter().all(|s| *s >= 1e-6 && s.is_finite());
        check(std, "std", format!("{:?}", self.std), "at least 0.000001 in every channel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_field_is_named() {
        ViewConfig::default().validate().unwrap();
        let good = ViewConfig::default;
        for (bad, field) in [
            (ViewConfig { size: 0, ..good() }, "size"),
            (ViewConfig { crop_scale: [0.5, 0.2], ..good() }, "crop_scale"),
            (ViewConfig { crop_scale: [0.5, f32::NAN], ..good() }, "crop_scale"),
            (ViewConfig { crop_ratio: [0.0, 1.0], ..good() }, "crop_ratio"),
            (ViewConfig { blur_sigma: [0.0, 1.0], ..good() }, "blur_sigma"),
            (ViewConfig { flip_probability: 1.5, ..good() }, "flip_probability"),
            (ViewConfig { hue: 0.6, ..good() }, "hue"),
            (ViewConfig { contrast: f32::NAN, ..good() }, "contrast"),
            (ViewConfig { mean: [0.0, f32::NAN, 0.0], ..good() }, "mean"),
            (ViewConfig { mean: [0.0, 1e30, 0.0], ..good() }, "mean"),
            (ViewConfig { std: [1.0, 0.0, 1.0], ..good() }, "std"),
        ] {
            let error = bad.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }
}

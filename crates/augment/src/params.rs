//! One view drawn at random, then rendered without chance.

use std::cell::RefCell;
use std::fmt;

use crate::buffer::{Statistics, ViewBuffer};
use crate::ops::happens;
use crate::pixels::{self, PixelOp};
use crate::resample::resize_and_flip;
use crate::{
    AugmentError, ColorJitter, CropWindow, GaussianBlur, Image, JitterParams, RandomResizedCrop,
    RgbSource, ViewConfig, ViewRng,
};

/// What was drawn for one view. It determines the view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ViewParams {
    /// Part of the image that becomes the view.
    pub crop: CropWindow,
    /// Mirrored left and right.
    pub flip: bool,
    /// Factors and their order.
    pub jitter: Option<JitterParams>,
    /// All colour lost.
    pub grayscale: bool,
    /// σ in pixels of the view.
    pub blur: Option<f32>,
    /// Bright values inverted.
    pub solarize: bool,
}

impl fmt::Display for ViewParams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CropWindow { x, y, width, height } = self.crop;
        write!(f, "crop {width}×{height} at ({x}, {y})")?;
        if self.flip {
            write!(f, ", flipped")?;
        }
        if let Some(jitter) = self.jitter {
            write!(f, ", {jitter}")?;
        }
        if self.grayscale {
            write!(f, ", grayscale")?;
        }
        if let Some(sigma) = self.blur {
            write!(f, ", blur σ {sigma:.2}")?;
        }
        if self.solarize {
            write!(f, ", solarised")?;
        }
        Ok(())
    }
}

thread_local! {
    static IMAGE: RefCell<Image> = RefCell::default();
}

impl ViewConfig {
    /// Draws a view of an image of `width × height` pixels.
    pub fn draw(&self, width: u32, height: u32, rng: &mut ViewRng) -> ViewParams {
        let crop = RandomResizedCrop { scale: self.crop_scale, ratio: self.crop_ratio };
        let jitter = ColorJitter {
            probability: self.jitter_probability,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
        };
        let blur = GaussianBlur { probability: self.blur_probability, sigma: self.blur_sigma };
        ViewParams {
            crop: crop.sample(width, height, rng),
            flip: happens(self.flip_probability, rng),
            jitter: happens(jitter.probability, rng).then(|| jitter.sample(rng)),
            grayscale: happens(self.grayscale_probability, rng),
            blur: happens(blur.probability, rng).then(|| blur.sample(rng)),
            solarize: happens(self.solarize_probability, rng),
        }
    }

    /// Makes the view that was drawn. Crop and flip take one pass over the crop's pixels. The
    /// operations on single pixels take one more (two with contrast), and the blur two. The last
    /// operations run together with the normalisation. A thread allocates nothing once it has made
    /// a view as large, from a crop as large, with a blur as wide.
    ///
    /// # Errors
    /// A buffer of another length than `3 · size · size`.
    pub fn render(
        &self,
        source: RgbSource<'_>,
        params: &ViewParams,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        let side = self.size as usize;
        let statistics = Statistics { mean: self.mean, std: self.std };
        IMAGE.with_borrow_mut(|image| {
            let ViewParams { crop, flip, jitter, grayscale, blur, solarize } = *params;
            resize_and_flip(source, crop, (side, side), self.interpolation, flip, image);
            let mut before = OpList::default();
            jitter.iter().flat_map(JitterParams::pixel_ops).for_each(|op| before.push(op));
            if grayscale {
                before.push(PixelOp::Grayscale);
            }
            let solarize = solarize.then_some(PixelOp::Solarize(self.solarize_threshold));
            let Some(sigma) = blur else {
                solarize.into_iter().for_each(|op| before.push(op));
                return out.write(image, before.all(), statistics);
            };
            pixels::apply(image, before.all(), |_, _| ());
            GaussianBlur::blur(image, sigma, GaussianBlur::radius(sigma));
            out.write(image, solarize.as_slice(), statistics)
        })
    }
}

/// At most six operations: four of a jitter, grayscale and solarise.
struct OpList {
    ops: [PixelOp; 6],
    len: usize,
}

impl Default for OpList {
    fn default() -> Self {
        Self { ops: [PixelOp::Grayscale; 6], len: 0 }
    }
}

impl OpList {
    fn push(&mut self, op: PixelOp) {
        self.ops[self.len] = op;
        self.len += 1;
    }

    fn all(&self) -> &[PixelOp] {
        &self.ops[..self.len]
    }
}

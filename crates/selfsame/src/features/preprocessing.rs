//! The preparation of an image for the encoder, in words and numbers for other programs.

use serde::{Deserialize, Serialize};

use crate::folder::{PREPROCESSING, RunFolder};
use crate::settings::RunConfig;

/// A page for users without this repository.
const RULES: &str = concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/PREPROCESSING.md");

/// `preprocessing.json` in a run's folder: how evaluation, `embed` and `search` prepare an image.
/// It is also in the metadata of the weights. `docs/PREPROCESSING.md` has the rules, and
/// `docs/preprocess.py` follows them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    pub about: String,
    pub decoder: String,
    pub orientation: String,
    pub color: String,
    pub crop: String,
    /// Side of the square, in pixels.
    pub size: u32,
    pub interpolation: String,
    pub antialias: bool,
    pub rounding: String,
    /// The divisor of 8-bit pixels.
    pub divide_by: f64,
    /// Subtracted from each channel then,
    pub mean: [f64; 3],
    /// and what it is divided by in the end.
    pub std: [f64; 3],
    pub layout: String,
}

impl Preprocessing {
    pub fn of(config: &RunConfig) -> Self {
        let views = config.views.view(0);
        let text = str::to_owned;
        // The shortest decimals for the same f32.
        let decimals =
            |values: [f32; 3]| values.map(|v| v.to_string().parse().unwrap_or(f64::from(v)));
        Self {
            about: format!(
                "how evaluation, embed and search prepare an image: decode, turn upright, make RGB, \
                 crop, resize to size × size, divide by divide_by, subtract mean, divide by std; \
                 training views are random, their settings are in config.toml; the rules again, \
                 and a program in Python: {RULES}"
            ),
            decoder: text(
                "Pillow's pixels (JPEG as libjpeg-turbo); colour profiles are not applied; \
                 16 bits become 8 as v / 257, rounded",
            ),
            orientation: text("turned upright by EXIF"),
            color: text("RGB; grey is repeated; transparency is dropped, not blended"),
            crop: text(
                "the largest central square, before resizing: \
                 side = min(width, height), left = (width - side) / 2 and top = (height - side) / 2, rounded down",
            ),
            size: views.size,
            interpolation: text("bilinear"),
            antialias: true,
            rounding: text("none: pixels are floats from the first resizing pass on"),
            divide_by: 255.0,
            mean: decimals(views.mean),
            std: decimals(views.std),
            layout: text("channels red, green, blue; [images, channels, height, width]; f32"),
        }
    }

    pub fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        folder.write(PREPROCESSING, serde_json::to_string_pretty(self)?.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use image::{Rgb, RgbImage};
    use selfsame_data::InMemory;
    use selfsame_eval::LabelledImages;

    use super::*;
    use crate::features::images::PlainImages;
    use crate::settings::Method;

    /// Weights of the source pixels for one pixel of `out`, from the definition.
    fn weights(side: usize, out: usize, i: usize) -> Vec<f64> {
        let scale = side as f64 / out as f64;
        let centre = (i as f64 + 0.5) * scale;
        let reach = scale.max(1.0);
        let raw = (0..side).map(|s| (1.0 - ((s as f64 + 0.5 - centre) / reach).abs()).max(0.0));
        let raw: Vec<f64> = raw.collect();
        let sum: f64 = raw.iter().sum();
        raw.into_iter().map(|w| w / sum).collect()
    }

    /// Following the file exactly, in f64, gives the same result as evaluation.
    #[test]
    fn the_file_says_what_evaluation_does() {
        let (width, height) = (37u32, 24u32);
        let pixel = |x: u32, y: u32| {
            Rgb([(x * 53 + y * 101) as u8, (x * y * 7) as u8, (x * 11 + y * y * 3) as u8])
        };
        let image = RgbImage::from_fn(width, height, pixel);
        for size in [9, 24, 30] {
            let mut config = crate::settings::defaults::config(Method::Byol, None);
            config.views.size = Some(size);
            config.views.mean = Some([0.4, 0.5, 0.6]);
            config.views.std = Some([0.2, 0.25, 0.3]);
            let set = Arc::new(InMemory::new(vec![image.clone()], vec![None], Vec::new()).unwrap());
            let images = PlainImages::new(set, &config).unwrap();
            let mut found = Vec::new();
            let shape = images.read(0..1, &mut found).unwrap();

            let written = serde_json::to_string(&Preprocessing::of(&config)).unwrap();
            let said: Preprocessing = serde_json::from_str(&written).unwrap();
            assert!(said.crop.starts_with("the largest central square, before resizing"));
            assert_eq!((&*said.interpolation, said.antialias), ("bilinear", true));
            let n = said.size as usize;
            assert_eq!(shape, [3, n, n]);
            let side = width.min(height) as usize;
            let (left, top) = ((width as usize - side) / 2, (height as usize - side) / 2);
            for y in 0..n {
                let rows = weights(side, n, y);
                for x in 0..n {
                    let columns = weights(side, n, x);
                    for channel in 0..3 {
                        let mut sum = 0.0;
                        for (sy, v) in rows.iter().enumerate() {
                            for (sx, h) in columns.iter().enumerate() {
                                let at = image.get_pixel((left + sx) as u32, (top + sy) as u32);
                                sum += v * h * f64::from(at.0[channel]);
                            }
                        }
                        let value = sum / said.divide_by;
                        let expected = (value - said.mean[channel]) / said.std[channel];
                        let got = f64::from(found[channel * n * n + y * n + x]);
                        assert!((got - expected).abs() < 2e-5, "{size}: {got} {expected}");
                    }
                }
            }
        }
    }
}

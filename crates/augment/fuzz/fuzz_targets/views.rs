//! Any configuration that `ViewPair::new` accepts renders any image to finite values. Without
//! normalisation they are within `[0, 1]`.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use selfsame_augment::{
    Interpolation, RgbSource, ViewBuffer, ViewConfig, ViewGenerator, ViewKey, ViewPair,
};

/// The view and the σ are small, so that a case takes little time.
const MAX_SIZE: u32 = 48;
const MAX_SIGMA: f32 = 100.0;

#[derive(Debug, Arbitrary)]
struct Case {
    configs: [Config; 2],
    same_size: bool,
    width: u8,
    height: u8,
    pixels: Vec<u8>,
    seed: u64,
    image: u64,
}

#[derive(Debug, Arbitrary)]
struct Config {
    size: u32,
    crop_scale: [Number; 2],
    crop_ratio: [Number; 2],
    bicubic: bool,
    probabilities: [Number; 5],
    strengths: [Number; 4],
    blur_sigma: [Number; 2],
    solarize_threshold: Number,
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

/// Mostly a number that some field allows, since almost no random bits are such a number.
#[derive(Debug, Arbitrary)]
enum Number {
    Zero,
    One,
    Share(u16),
    Small(u16),
    Large(u16),
    Any(f32),
}

impl Number {
    fn value(&self) -> f32 {
        match *self {
            Self::Zero => 0.0,
            Self::One => 1.0,
            Self::Share(n) => f32::from(n) / f32::from(u16::MAX),
            Self::Small(n) => 1e-3 + f32::from(n) * 1e-6,
            Self::Large(n) => f32::from(n) * (1000.0 / 65535.0),
            Self::Any(value) => value,
        }
    }
}

impl Config {
    fn view(&self) -> ViewConfig {
        let [flip, jitter, grayscale, blur, solarize] =
            self.probabilities.each_ref().map(Number::value);
        let [brightness, contrast, saturation, hue] = self.strengths.each_ref().map(Number::value);
        ViewConfig {
            // Sizes that are too large must still be refused.
            size: if self.size > u32::MAX / 2 { self.size } else { self.size % (MAX_SIZE + 1) },
            crop_scale: self.crop_scale.each_ref().map(Number::value),
            crop_ratio: self.crop_ratio.each_ref().map(Number::value),
            interpolation: match self.bicubic {
                true => Interpolation::Bicubic,
                false => Interpolation::Bilinear,
            },
            flip_probability: flip,
            jitter_probability: jitter,
            brightness,
            contrast,
            saturation,
            hue,
            grayscale_probability: grayscale,
            blur_probability: blur,
            blur_sigma: self.blur_sigma.each_ref().map(Number::value),
            solarize_probability: solarize,
            solarize_threshold: self.solarize_threshold.value(),
            mean: self.mean.unwrap_or([0.0; 3]),
            std: self.std.unwrap_or([1.0; 3]),
        }
    }
}

fuzz_target!(|case: Case| {
    let mut configs = case.configs.each_ref().map(Config::view);
    if case.same_size {
        configs[1].size = configs[0].size;
    }
    let (width, height) = (u32::from(case.width), u32::from(case.height));
    let mut pixels = case.pixels;
    if width <= 64 && height <= 64 {
        pixels.resize((3 * width * height) as usize, 128);
    }
    let source = RgbSource::new(&pixels, width, height);
    let [first, second] = configs.clone();
    let (Ok(source), Ok(pair)) = (source, ViewPair::new(first, second)) else { return };
    if configs.iter().any(|c| c.blur_sigma[1] > MAX_SIGMA) {
        return;
    }
    let size = pair.view_size(0);
    let mut out = vec![f32::NAN; 3 * size * size];
    for (view, config) in configs.iter().enumerate() {
        let key = ViewKey { seed: case.seed, epoch: 0, image: case.image, view: view as u64 };
        pair.render(source, view, &mut key.rng(), ViewBuffer::Planar(&mut out))
            .expect("the buffer has the view's size");
        let plain = config.mean == [0.0; 3] && config.std == [1.0; 3];
        for value in &out {
            assert!(value.is_finite(), "{value} with {config:?}");
            assert!(!plain || (0.0..=1.0).contains(value), "{value} with {config:?}");
        }
    }
});

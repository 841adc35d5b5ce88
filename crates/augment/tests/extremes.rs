//! Drawing and rendering at the ends of what is allowed.
//!
//! A hundred thousand draws by default; ten million with `SELFSAME_LONG_TESTS` set.

use rand::RngExt;
use selfsame_augment::{
    ColorJitter, CropWindow, GaussianBlur, Image, Interpolation, RandomResizedCrop, RgbSource,
    ViewBuffer, ViewConfig, ViewGenerator, ViewKey, ViewPair, ViewRng, resize,
};

fn draws() -> u64 {
    match std::env::var_os("SELFSAME_LONG_TESTS") {
        Some(_) => 10_000_000,
        None => 100_000,
    }
}

fn rng(image: u64) -> ViewRng {
    ViewKey { seed: 23, epoch: 0, image, view: 0 }.rng()
}

/// Log-uniform in `[low, high]`, so that small values come as often as large ones.
fn log_uniform(low: f32, high: f32, rng: &mut ViewRng) -> f32 {
    (low.ln() + (high.ln() - low.ln()) * rng.random::<f32>()).exp().clamp(low, high)
}

/// `[low, high]` within the limits: a single value in a quarter of the cases, the whole range in
/// another.
fn range(low: f32, high: f32, rng: &mut ViewRng) -> [f32; 2] {
    let (a, b) = (log_uniform(low, high, rng), log_uniform(low, high, rng));
    match rng.random_range(0..4) {
        0 => [a, a],
        1 => [low, high],
        _ => [a.min(b), a.max(b)],
    }
}

fn side(rng: &mut ViewRng) -> u32 {
    match rng.random_range(0..4) {
        0 => rng.random_range(1..=4),
        1 => 3000,
        _ => rng.random_range(1..=3000),
    }
}

fn noise(width: u32, height: u32, rng: &mut ViewRng) -> Vec<u8> {
    (0..3 * width * height).map(|_| rng.random()).collect()
}

/// Scales and ratios reach to the ends of what [`ViewConfig::validate`] allows.
#[test]
fn a_window_lies_within_its_image() {
    for i in 0..draws() {
        let rng = &mut rng(i);
        let (width, height) = (side(rng), side(rng));
        let scale = range(1e-3, 1.0, rng);
        let ratio = range(1e-3, 1e3, rng);
        let w = RandomResizedCrop { scale, ratio }.sample(width, height, rng);
        let inside = w.width >= 1
            && w.height >= 1
            && u64::from(w.x) + u64::from(w.width) <= u64::from(width)
            && u64::from(w.y) + u64::from(w.height) <= u64::from(height);
        assert!(inside, "draw {i}: {w:?} of {width}×{height}, scale {scale:?}, ratio {ratio:?}");
    }
}

#[test]
fn factors_lie_within_their_ranges() {
    for i in 0..draws() {
        let rng = &mut rng(i);
        let strength = |rng: &mut ViewRng| match rng.random_range(0..3) {
            0 => 0.0,
            1 => 10.0,
            _ => rng.random::<f32>() * 10.0,
        };
        let (brightness, contrast, saturation) = (strength(rng), strength(rng), strength(rng));
        let hue = rng.random::<f32>() * 0.5;
        let jitter = ColorJitter { probability: 1.0, brightness, contrast, saturation, hue };
        let drawn = jitter.sample(rng);
        for (factor, strength) in [
            (drawn.brightness, brightness),
            (drawn.contrast, contrast),
            (drawn.saturation, saturation),
        ] {
            // One unit in the last place of the largest factor, for the rounding of the blend.
            let (low, high) = ((1.0 - strength).max(0.0), 1.0 + strength);
            assert!((low..=high + 1e-6).contains(&factor), "draw {i}: {factor} of {strength}");
        }
        assert!(drawn.hue.abs() <= hue + 1e-7, "draw {i}: {} of {hue}", drawn.hue);

        let sigma = range(1e-3, 1e3, rng);
        let found = GaussianBlur { probability: 1.0, sigma }.sample(rng);
        let allowed = sigma[0]..=sigma[1] * (1.0 + 1e-6);
        assert!(allowed.contains(&found), "draw {i}: {found} of {sigma:?}");
    }
}

/// Windows of any kind, also ones that reach beyond the image, at any small size.
#[test]
fn any_window_resizes_into_range() {
    let mut image = Image::default();
    for i in 0..draws() / 100 {
        let rng = &mut rng(i);
        let (width, height) = (rng.random_range(1..=24), rng.random_range(1..=24));
        let pixels = noise(width, height, rng);
        let source = RgbSource::new(&pixels, width, height).unwrap();
        let mut any = || match rng.random_range(0..4) {
            0 => u32::MAX,
            _ => rng.random_range(0..=30),
        };
        let window = CropWindow { x: any(), y: any(), width: any(), height: any() };
        let (to_width, to_height) = (rng.random_range(0..=40), rng.random_range(0..=40));
        let kernel = match rng.random() {
            true => Interpolation::Bicubic,
            false => Interpolation::Bilinear,
        };
        resize(source, window, to_width, to_height, kernel, &mut image);
        assert_eq!((image.width(), image.height()), (to_width.max(1), to_height.max(1)));
        let in_range = image.data().iter().all(|v| (0.0..=1.0).contains(v));
        assert!(in_range, "case {i}: {window:?} of {width}×{height} to {to_width}×{to_height}");
    }
}

/// Everything at once and at full strength, on images down to one pixel.
#[test]
fn any_render_is_in_range() {
    let mut out = Vec::new();
    for i in 0..draws() / 100 {
        let rng = &mut rng(i);
        let size = rng.random_range(1..=24);
        let mut probability = || match rng.random_range(0..3) {
            0 => 0.0,
            _ => 1.0,
        };
        let config = ViewConfig {
            size,
            flip_probability: probability(),
            jitter_probability: probability(),
            grayscale_probability: probability(),
            blur_probability: probability(),
            solarize_probability: probability(),
            brightness: 10.0 * probability(),
            contrast: 10.0 * probability(),
            saturation: 10.0 * probability(),
            hue: 0.5 * probability(),
            solarize_threshold: probability(),
            crop_scale: range(1e-3, 1.0, rng),
            crop_ratio: range(1e-3, 1e3, rng),
            blur_sigma: range(1e-3, 50.0, rng),
            mean: [0.0; 3],
            std: [1.0; 3],
            ..ViewConfig::default()
        };
        let pair = ViewPair::new(config.clone(), config).unwrap();
        let (width, height) = (rng.random_range(1..=24), rng.random_range(1..=24));
        let pixels = noise(width, height, rng);
        let source = RgbSource::new(&pixels, width, height).unwrap();
        out.resize(3 * (size * size) as usize, 0.0);
        pair.render(source, 0, rng, ViewBuffer::Planar(&mut out)).unwrap();
        let in_range = out.iter().all(|v| (0.0..=1.0).contains(v));
        assert!(in_range, "case {i}: {width}×{height}, {:?}", pair.configs()[0]);
    }
}

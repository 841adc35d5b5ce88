//! Every operation against torchvision, value by value.
//!
//! `tests/reference/augmentation.py` made the file and says which torchvision. There are two
//! references: `torchvision.transforms.v2.functional` on f32 tensors in `[0, 1]`, and the same
//! functions on PIL images, if PIL differs only by its rounding to 8 bits.
//!
//! An operation passes if at least 99.9 % of its values are within 1/255 of the reference and all
//! within 2/255, on pictures from 1×1 up and at the ends of the parameters' ranges.
//! `cargo test -p selfsame-augment --test torchvision -- --nocapture` prints the errors.

#![allow(clippy::print_stdout, reason = "the errors are what one runs it for")]

use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use selfsame_augment::{
    CropWindow, GaussianBlur, Grayscale, HorizontalFlip, Image, Interpolation, JitterParams,
    RgbSource, Solarize, resize,
};

/// How far an operation is from its reference, in levels of 1/255.
#[derive(Default)]
struct Errors {
    cases: usize,
    values: usize,
    beyond_one: usize,
    worst: f32,
    worst_case: String,
}

impl Errors {
    fn add(&mut self, case: &str, found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len(), "{case}");
        self.cases += 1;
        self.values += found.len();
        for (found, expected) in found.iter().zip(expected) {
            let error = (found - expected).abs() * 255.0;
            assert!(error.is_finite(), "{case}: {found}");
            self.beyond_one += usize::from(error > 1.0);
            if error > self.worst {
                self.worst = error;
                self.worst_case = case.to_string();
            }
        }
    }

    fn check(&self, name: &str) {
        println!(
            "{name}: worst {:.4}/255 in {}; {} of {} values in {} cases beyond 1/255",
            self.worst, self.worst_case, self.beyond_one, self.values, self.cases
        );
        self.record(name);
        assert!(self.worst <= 2.0, "{name}: {}/255 in {}", self.worst, self.worst_case);
        let allowed = self.values / 1000;
        assert!(self.beyond_one <= allowed, "{name}: {} values beyond 1/255", self.beyond_one);
    }
}

impl Errors {
    /// Leaves the measurement where `cargo xtask fidelity` collects them.
    fn record(&self, name: &str) {
        let Some(folder) = std::env::var_os("SELFSAME_FIDELITY") else { return };
        let (operation, api) = name.trim_end_matches('/').split_once('/').unwrap();
        let reference = match api {
            "pil" => "torchvision on PIL images",
            _ => "torchvision on f32 tensors",
        };
        let item = serde_json::json!({
            "name": format!("views: {operation}, {api}"),
            "reference": reference,
            "cases": self.cases,
            "worst": self.worst / 255.0,
            "worst_case": self.worst_case,
            "bound": 2.0 / 255.0,
            "note": format!(
                "of values in [0, 1]; {} of {} are beyond 1/255", self.beyond_one, self.values
            ),
        });
        let path = Path::new(&folder).join(format!("views-{operation}-{api}.json"));
        std::fs::write(path, item.to_string()).unwrap();
    }
}

/// One case of the file: the picture and the parameters, in the order of its name.
struct Case<'a> {
    picture: Picture,
    parameters: Vec<&'a str>,
}

impl Case<'_> {
    fn number(&self, i: usize) -> f32 {
        self.parameters[i].parse().unwrap()
    }
}

/// Interleaved RGB8, the same bytes as `picture` in `augmentation.py` gives.
struct Picture {
    pixels: Vec<u8>,
    width: usize,
    height: usize,
}

impl Picture {
    fn named(name: &str) -> Self {
        let (kind, size) = name.split_once('-').unwrap();
        let [width, height] = numbers(size);
        let noise = || noise((width * 1000 + height) as u64, width * height * 3);
        let pixels = if kind == "noise" {
            noise()
        } else if kind == "mild" {
            noise().into_iter().map(|v| 64 + v / 2).collect()
        } else {
            let at = |i: usize| ((i / 3 % width) as i64, (i / 3 / width) as i64, (i % 3) as i64);
            let value = |(x, y, c): (i64, i64, i64)| match kind {
                "smooth" => {
                    let phase = x * (5 + 2 * c) + y * (7 - 3 * c) + 90 * c;
                    (phase.rem_euclid(510) - 255).abs()
                }
                "grey" => (x * 17 + y * 40) % 256,
                "constant" => 77 + 60 * c,
                "black" => 0,
                "white" => 255,
                other => panic!("no picture {other}"),
            };
            (0..width * height * 3).map(|i| value(at(i)) as u8).collect()
        };
        Self { pixels, width, height }
    }

    fn source(&self) -> RgbSource<'_> {
        RgbSource::new(&self.pixels, self.width as u32, self.height as u32).unwrap()
    }

    /// As torchvision makes a tensor of it: `v / 255`.
    fn image(&self) -> Image {
        let mut image = Image::filled(self.width, self.height, [0.0; 3]);
        for (c, plane) in image.planes_mut().into_iter().enumerate() {
            for (value, rgb) in plane.iter_mut().zip(self.pixels.chunks_exact(3)) {
                *value = f32::from(rgb[c]) / 255.0;
            }
        }
        image
    }
}

/// SplitMix64 of (seed, index), the upper bits as a byte.
fn noise(seed: u64, count: usize) -> Vec<u8> {
    (1..=count as u64)
        .map(|i| {
            let mut x = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(i);
            x = x.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ (x >> 31)) >> 56) as u8
        })
        .collect()
}

/// Numbers such as 96x64.
fn numbers<const N: usize>(text: &str) -> [usize; N] {
    let numbers: Vec<usize> = text.split('x').map(|n| n.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

/// The values that the file keeps of so many: nine hundred, at a stride prime to their number.
fn thinned(values: &[f32]) -> Vec<f32> {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let mut stride = values.len().div_ceil(900);
    while gcd(stride, values.len()) != 1 {
        stride += 1;
    }
    values.iter().copied().step_by(stride).collect()
}

/// Runs all cases of an operation against one reference.
fn compare(
    operation: &str,
    reference: &str,
    at_least: usize,
    ours: impl Fn(&Case<'_>, &mut Image),
) -> Errors {
    let path =
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/augmentation.safetensors");
    let bytes = std::fs::read(Path::new(path)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let prefix = format!("{operation}/{reference}/");
    let mut errors = Errors::default();
    for (name, view) in file.iter() {
        let Some(case) = name.strip_prefix(&prefix) else { continue };
        let mut parts = case.split('/');
        let picture = Picture::named(parts.next().unwrap());
        let mut image = picture.image();
        ours(&Case { picture, parameters: parts.collect() }, &mut image);
        let expected: Vec<f32> = match view.dtype() {
            Dtype::U8 => view.data().iter().map(|v| f32::from(*v) / 255.0).collect(),
            Dtype::U16 => {
                let level = |b: &[u8]| f32::from(u16::from_le_bytes([b[0], b[1]]));
                view.data().chunks_exact(2).map(|b| level(b) / 65535.0).collect()
            }
            other => panic!("{name} is {other:?}"),
        };
        errors.add(name, &thinned(image.data()), &expected);
    }
    assert!(errors.cases >= at_least, "{prefix}: only {} cases", errors.cases);
    errors.check(&prefix);
    errors
}

fn resized(case: &Case<'_>, image: &mut Image) {
    let [x, y, width, height] = numbers(case.parameters[0]).map(|n: usize| n as u32);
    let [to_width, to_height] = numbers(case.parameters[1]);
    let kernel = match case.parameters[2] {
        "bilinear" => Interpolation::Bilinear,
        "bicubic" => Interpolation::Bicubic,
        other => panic!("no kernel {other}"),
    };
    let window = CropWindow { x, y, width, height };
    resize(case.picture.source(), window, to_width, to_height, kernel, image);
}

/// `resized_crop`, antialiased. The float reference is clamped, since torchvision lets bicubic
/// overshoot in floats.
#[test]
fn resize_agrees() {
    compare("resize", "tensor", 114, resized);
}

/// PIL rounds and clips to 8 bits after each of the two passes. If bicubic overshoots in the first
/// pass, that is more than rounding. At full contrast PIL is up to 19.2/255 from torchvision's own
/// float result, with 0.8 % of the values beyond 1/255 (the generator prints it). So bicubic is
/// compared on noise of half the contrast, bilinear on every picture.
#[test]
fn resize_agrees_with_pil() {
    compare("resize", "pil", 74, resized);
}

#[test]
fn flip_agrees() {
    for reference in ["tensor", "pil"] {
        let errors = compare("flip", reference, 24, |_, image| HorizontalFlip::flip(image));
        assert!(errors.worst < 0.01);
    }
}

/// torchvision weighs red by 0.2989 on tensors, PIL and we by 0.299. The same ten-thousandth is
/// the largest error of contrast and saturation: at a factor of 10, nine times 0.0255/255.
#[test]
fn grayscale_agrees() {
    for reference in ["tensor", "pil"] {
        compare("grayscale", reference, 24, |_, image| Grayscale::convert(image));
    }
}

#[test]
fn solarize_agrees() {
    for reference in ["tensor", "pil"] {
        let errors = compare("solarize", reference, 96, |case, image| {
            Solarize { threshold: case.number(0) }.solarize(image);
        });
        assert!(errors.worst < 0.01);
    }
}

#[test]
fn brightness_agrees() {
    compare("brightness", "tensor", 96, |case, image| {
        JitterParams::in_fixed_order(case.number(0), 1.0, 1.0, 0.0).apply(image);
    });
}

#[test]
fn contrast_agrees() {
    compare("contrast", "tensor", 96, |case, image| {
        JitterParams::in_fixed_order(1.0, case.number(0), 1.0, 0.0).apply(image);
    });
}

#[test]
fn saturation_agrees() {
    compare("saturation", "tensor", 96, |case, image| {
        JitterParams::in_fixed_order(1.0, 1.0, case.number(0), 0.0).apply(image);
    });
}

/// Against tensors only: PIL has 256 hues, and its result is up to 15.5/255 from torchvision's own
/// float one, with 17 to 37 % of the values beyond 1/255 (turns of −0.5, −0.1, 0.25 and 0.5 on the
/// noise and the smooth picture of 96 × 64; the generator prints it).
#[test]
fn hue_agrees() {
    compare("hue", "tensor", 96, |case, image| {
        JitterParams::in_fixed_order(1.0, 1.0, 1.0, case.number(0)).apply(image);
    });
}

#[test]
fn blur_agrees() {
    compare("blur", "tensor", 50, |case, image| {
        GaussianBlur::blur(image, case.number(0), case.number(1) as usize);
    });
}

/// torchvision refuses a radius of the image's side or more. Ours reflects as often as needed, so
/// values stay averages of the image's own.
#[test]
fn blur_of_images_smaller_than_the_kernel_is_an_average() {
    for name in ["noise-1x1", "noise-1x7", "noise-5x1", "noise-2x3"] {
        let picture = Picture::named(name);
        for (sigma, radius) in [(0.1, 1), (2.0, 6), (5.0, 15), (1000.0, 50)] {
            let mut image = picture.image();
            let before = image.clone();
            GaussianBlur::blur(&mut image, sigma, radius);
            for (blurred, plane) in image.planes().into_iter().zip(before.planes()) {
                let low = plane.iter().copied().fold(f32::INFINITY, f32::min);
                let high = plane.iter().copied().fold(0.0, f32::max);
                let inside = |v: &f32| (low - 1e-5..=high + 1e-5).contains(v);
                assert!(blurred.iter().all(inside), "{name} {sigma} {radius}: {blurred:?}");
            }
        }
    }
}

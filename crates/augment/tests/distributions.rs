//! The random parameters against torchvision's, as distributions.
//!
//! `tests/reference/augmentation.py` drew from torchvision's `get_params` and stored the empirical
//! distribution function at 2001 of its quantiles. The two-sample Kolmogorov–Smirnov statistic is
//! taken at these points, where it is exact; between them, both functions rise by at most 1/2000
//! in the reference. The seeds are fixed, so the tests are deterministic.

#![allow(clippy::print_stdout, reason = "the statistics are what one runs it for")]

use std::collections::HashMap;

use safetensors::SafeTensors;
use selfsame_augment::{ColorJitter, GaussianBlur, RandomResizedCrop, ViewKey, ViewRng};

const DRAWS: usize = 100_000;

fn rng(image: usize) -> ViewRng {
    ViewKey { seed: 17, epoch: 0, image: image as u64, view: 0 }.rng()
}

/// torchvision's distribution functions and how many draws made each.
struct Reference {
    bytes: Vec<u8>,
    draws: f64,
}

impl Reference {
    fn read() -> Self {
        let path =
            concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/reference/augmentation.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let text = &metadata.metadata().as_ref().unwrap()["selfsame"];
        let made: serde_json::Value = serde_json::from_str(text).unwrap();
        Self { bytes, draws: made["draws"].as_f64().unwrap() }
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let file = SafeTensors::deserialize(&self.bytes).unwrap();
        let data = file.tensor(name).unwrap().data().to_vec();
        data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    /// The largest distance of the distribution functions.
    fn statistic(&self, name: &str, mut draws: Vec<f32>) -> f64 {
        draws.sort_by(f32::total_cmp);
        let points = self.values(&format!("distribution/{name}/points"));
        let shares = self.values(&format!("distribution/{name}/shares"));
        let distance = |(point, share): (&f32, &f32)| {
            let below = draws.partition_point(|v| v <= point) as f64 / draws.len() as f64;
            (below - f64::from(*share)).abs()
        };
        points.iter().zip(&shares).map(distance).fold(0.0, f64::max)
    }

    /// Asserts that a test of level 1 % does not tell the two apart.
    fn check(&self, name: &str, draws: Vec<f32>) {
        let n = draws.len() as f64;
        // √(−ln(0.01 / 2) / 2), the level's quantile of Kolmogorov's distribution.
        let critical = 1.6276 * ((n + self.draws) / (n * self.draws)).sqrt();
        let statistic = self.statistic(name, draws);
        println!("{name}: {statistic:.5}, critical {critical:.5}");
        assert!(statistic < critical, "{name}: {statistic} is not below {critical}");
    }
}

#[test]
fn crops_are_torchvisions() {
    let reference = Reference::read();
    for (width, height, low) in [(500, 375, 0.08), (32, 32, 0.2), (300, 80, 0.08), (40, 1000, 0.08)]
    {
        let crop = RandomResizedCrop { scale: [low, 1.0], ratio: [0.75, 4.0 / 3.0] };
        let windows: Vec<_> = (0..DRAWS).map(|i| crop.sample(width, height, &mut rng(i))).collect();
        let name = format!("crop-{width}x{height}-{low}");
        let pixels = f64::from(width) * f64::from(height);
        let share = |at: u32, room: u32| ((f64::from(at) + 0.5) / f64::from(room + 1)) as f32;
        for (what, values) in [
            (
                "area",
                windows
                    .iter()
                    .map(|w| (f64::from(w.width) * f64::from(w.height) / pixels) as f32)
                    .collect::<Vec<_>>(),
            ),
            (
                "ratio",
                windows.iter().map(|w| (f64::from(w.width) / f64::from(w.height)) as f32).collect(),
            ),
            ("left", windows.iter().map(|w| share(w.x, width - w.width)).collect()),
            ("top", windows.iter().map(|w| share(w.y, height - w.height)).collect()),
        ] {
            reference.check(&format!("{name}/{what}"), values);
        }
    }
}

const PUBLISHED: ColorJitter =
    ColorJitter { probability: 1.0, brightness: 0.4, contrast: 0.4, saturation: 0.2, hue: 0.1 };
/// Two of its ranges are cut at 0.
const STRONG: ColorJitter =
    ColorJitter { probability: 1.0, brightness: 1.5, contrast: 0.8, saturation: 3.0, hue: 0.5 };

#[test]
fn jitter_factors_are_torchvisions() {
    let reference = Reference::read();
    for (name, jitter) in [("published", PUBLISHED), ("strong", STRONG)] {
        let draws: Vec<_> = (0..DRAWS).map(|i| jitter.sample(&mut rng(i))).collect();
        for (part, values) in [
            ("brightness", draws.iter().map(|p| p.brightness).collect::<Vec<_>>()),
            ("contrast", draws.iter().map(|p| p.contrast).collect()),
            ("saturation", draws.iter().map(|p| p.saturation).collect()),
            ("hue", draws.iter().map(|p| p.hue).collect()),
        ] {
            reference.check(&format!("jitter-{name}/{part}"), values);
        }
    }
}

/// torchvision takes the order from `randperm`: all 24 are equally likely.
#[test]
fn jitter_orders_are_uniform() {
    let mut counts: HashMap<[usize; 4], u32> = HashMap::new();
    for i in 0..DRAWS {
        *counts.entry(PUBLISHED.sample(&mut rng(i)).order()).or_default() += 1;
    }
    assert_eq!(counts.len(), 24);
    for order in counts.keys() {
        let mut sorted = *order;
        sorted.sort_unstable();
        assert_eq!(sorted, [0, 1, 2, 3]);
    }
    let expected = DRAWS as f64 / 24.0;
    let chi_square: f64 =
        counts.values().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
    println!("order: chi-square {chi_square:.2}, critical 41.64");
    // The 99 % quantile with 23 degrees of freedom.
    assert!(chi_square < 41.64, "{chi_square}: {counts:?}");
}

#[test]
fn blur_sigmas_are_torchvisions() {
    let blur = GaussianBlur { probability: 1.0, sigma: [0.1, 2.0] };
    let draws = (0..DRAWS).map(|i| blur.sample(&mut rng(i))).collect();
    Reference::read().check("blur/sigma", draws);
}

/// The comparison can fail: it detects a range that is off by 2 %.
#[test]
fn a_slightly_different_range_is_noticed() {
    let reference = Reference::read();
    let blur = GaussianBlur { probability: 1.0, sigma: [0.1, 2.04] };
    let draws = (0..DRAWS).map(|i| blur.sample(&mut rng(i))).collect();
    assert!(reference.statistic("blur/sigma", draws) > 0.0089);
}

//! `shapes`: images drawn by the program, with every factor known.

use std::f32::consts::{PI, TAU};
use std::sync::Arc;

use image::{Rgb, RgbImage};
use rand::RngExt;
use selfsame_augment::{ViewKey, ViewRng};

use super::dataset::out_of_range;
use crate::{DataError, ImageDataset};

/// The classes. None is a rotation of another.
pub const SHAPE_NAMES: [&str; 10] = [
    "disc",
    "ring",
    "triangle",
    "square",
    "pentagon",
    "star",
    "cross",
    "crescent",
    "half-disc",
    "bar",
];

const SIDE: u32 = 32;

/// The pattern inside a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Texture {
    /// One colour.
    Plain,
    /// Parallel stripes.
    Stripes,
    /// A checkerboard.
    Checks,
    /// A lattice of dots.
    Dots,
}

/// Everything that was drawn for one image. All factors are independent, also of the class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// Index into [`SHAPE_NAMES`].
    pub shape: u32,
    /// Colour of the shape, RGB in `[0, 1]`.
    pub color: [f32; 3],
    /// Pattern inside the shape.
    pub texture: Texture,
    /// Colour of the background, RGB in `[0, 1]`.
    pub background: [f32; 3],
    /// Centre in units of the image's side, in `[0.35, 0.65]`.
    pub position: [f32; 2],
    /// Radius in units of the image's side, in `[0.2, 0.34]`.
    pub scale: f32,
    /// In radians, in `[0, 2π)`.
    pub rotation: f32,
    /// Direction in radians and strength in `[0, 0.4]` of a brightness gradient.
    pub lighting: [f32; 2],
    /// Standard deviation of the pixel noise, in `[0, 0.06]`.
    pub noise: f32,
}

/// Shapes drawn from a seed: image `i` of seed `s` is always the same image.
#[derive(Debug, Clone)]
pub struct ShapesDataset {
    seed: u64,
    first: u64,
    len: usize,
    class_names: Vec<String>,
}

impl ShapesDataset {
    /// Images `first .. first + len` of `seed`.
    pub fn new(seed: u64, first: u64, len: usize) -> Self {
        Self { seed, first, len, class_names: SHAPE_NAMES.map(str::to_owned).to_vec() }
    }

    /// The factors of image `index`.
    pub fn factors(&self, index: usize) -> Factors {
        self.draw(index).0
    }

    fn draw(&self, index: usize) -> (Factors, ViewRng) {
        // No training run has this epoch and view, so no random stream is used twice.
        let image = self.first + index as u64;
        let mut rng = ViewKey { seed: self.seed, epoch: u64::MAX, image, view: u64::MAX }.rng();
        let mut uniform = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
        let shape = uniform(0.0, SHAPE_NAMES.len() as f32) as u32;
        let mut color = || [uniform(0.0, 1.0), uniform(0.0, 1.0), uniform(0.0, 1.0)];
        let (background, mut foreground) = (color(), color());
        // A shape must be visible: a colour too close to the background is mirrored.
        let distance: f32 = background.iter().zip(foreground).map(|(a, b)| (a - b).abs()).sum();
        if distance < 0.6 {
            foreground = background.map(|v| if v < 0.5 { v + 0.45 } else { v - 0.45 });
        }
        let texture = match uniform(0.0, 4.0) as u32 {
            0 => Texture::Plain,
            1 => Texture::Stripes,
            2 => Texture::Checks,
            _ => Texture::Dots,
        };
        let factors = Factors {
            shape: shape.min(SHAPE_NAMES.len() as u32 - 1),
            color: foreground,
            texture,
            background,
            position: [uniform(0.35, 0.65), uniform(0.35, 0.65)],
            scale: uniform(0.2, 0.34),
            rotation: uniform(0.0, TAU),
            lighting: [uniform(0.0, TAU), uniform(0.0, 0.4)],
            noise: uniform(0.0, 0.06),
        };
        (factors, rng)
    }
}

impl ImageDataset for ShapesDataset {
    fn len(&self) -> usize {
        self.len
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        if index >= self.len {
            return Err(out_of_range(index, self.len));
        }
        let (factors, mut rng) = self.draw(index);
        Ok(Arc::new(RgbImage::from_fn(SIDE, SIDE, |x, y| factors.pixel(x, y, &mut rng))))
    }

    fn label(&self, index: usize) -> Option<u32> {
        (index < self.len).then(|| self.factors(index).shape)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }
}

impl Factors {
    fn pixel(&self, x: u32, y: u32, rng: &mut ViewRng) -> Rgb<u8> {
        let side = SIDE as f32;
        let (px, py) = ((x as f32 + 0.5) / side, (y as f32 + 0.5) / side);
        // Into the shape's own frame, where its radius is 1.
        let (dx, dy) = ((px - self.position[0]) / self.scale, (py - self.position[1]) / self.scale);
        let (sin, cos) = self.rotation.sin_cos();
        let (u, v) = (cos * dx + sin * dy, cos * dy - sin * dx);
        // The edge is blended over half a pixel on either side.
        let coverage =
            (0.5 - signed_distance(self.shape, u, v) * self.scale * side).clamp(0.0, 1.0);
        let ink = if self.texture.is_dark(u, v) { 0.6 } else { 1.0 };
        let [direction, strength] = self.lighting;
        let slope = (px - 0.5) * direction.cos() + (py - 0.5) * direction.sin();
        let light = 1.0 + 2.0 * strength * slope;
        let mut rgb = [0; 3];
        for (c, out) in rgb.iter_mut().enumerate() {
            let value = self.background[c] * (1.0 - coverage) + self.color[c] * ink * coverage;
            // The sum of four uniforms is near enough to a normal variable for noise.
            let noise: f32 = (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.732;
            let lit = value * light + self.noise * noise;
            *out = (lit * 255.0).round().clamp(0.0, 255.0) as u8;
        }
        Rgb(rgb)
    }
}

impl Texture {
    fn is_dark(self, u: f32, v: f32) -> bool {
        let cell = |x: f32| (x * 2.5).floor() as i32;
        match self {
            Self::Plain => false,
            Self::Stripes => cell(u).rem_euclid(2) == 0,
            Self::Checks => (cell(u) + cell(v)).rem_euclid(2) == 0,
            Self::Dots => {
                let centre = |x: f32| (x * 2.0).rem_euclid(1.0) - 0.5;
                centre(u).hypot(centre(v)) < 0.3
            }
        }
    }
}

/// Distance to the edge of a shape of radius 1 around the origin, negative inside. It is exact or a
/// lower bound, which is enough to blend the edge.
fn signed_distance(shape: u32, u: f32, v: f32) -> f32 {
    let r = u.hypot(v);
    let bar = |half_width: f32, half_height: f32| (u.abs() - half_width).max(v.abs() - half_height);
    match shape {
        0 => r - 1.0,
        1 => (r - 0.75).abs() - 0.25,
        2 => polygon(3, u, v),
        3 => polygon(4, u, v),
        4 => polygon(5, u, v),
        5 => star(u, v),
        6 => bar(1.0, 0.33).min(bar(0.33, 1.0)),
        7 => (r - 1.0).max(0.85 - (u - 0.45).hypot(v)),
        8 => (r - 1.0).max(v),
        _ => bar(1.0, 0.3),
    }
}

/// A regular polygon with its corners on the unit circle.
fn polygon(corners: u32, u: f32, v: f32) -> f32 {
    let half = PI / corners as f32;
    let angle = (v.atan2(u).rem_euclid(2.0 * half)) - half;
    u.hypot(v) * angle.cos() - half.cos()
}

/// A five-pointed star: between a tip at radius 1 and a notch at radius 0.4 the edge is straight.
fn star(u: f32, v: f32) -> f32 {
    let fifth = TAU / 5.0;
    let angle = ((v.atan2(u).rem_euclid(fifth)) - fifth / 2.0).abs();
    let r = u.hypot(v);
    let (x, y) = (r * angle.cos(), r * angle.sin());
    let (notch, tip) = ([0.4, 0.0], [(fifth / 2.0).cos(), (fifth / 2.0).sin()]);
    let edge = [tip[0] - notch[0], tip[1] - notch[1]];
    let length = edge[0].hypot(edge[1]);
    // The outward normal of the edge.
    (edge[1] * (x - notch[0]) - edge[0] * (y - notch[1])) / length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_always_the_same_image_whatever_else_is_drawn() {
        let (a, b) = (ShapesDataset::new(1, 0, 50), ShapesDataset::new(1, 10, 5));
        assert_eq!(a.image(12).unwrap(), b.image(2).unwrap());
        assert_eq!(a.label(12), b.label(2));
        assert_ne!(a.image(0).unwrap(), ShapesDataset::new(2, 0, 1).image(0).unwrap());
        assert!(b.image(5).is_err() && b.label(5).is_none());
    }

    #[test]
    fn classes_are_balanced_and_factors_independent_of_them() {
        let set = ShapesDataset::new(0, 0, 4000);
        let factors: Vec<Factors> = (0..4000).map(|i| set.factors(i)).collect();
        for shape in 0..10 {
            let of: Vec<_> = factors.iter().filter(|f| f.shape == shape).collect();
            assert!((320..480).contains(&of.len()), "{} of {shape}", of.len());
            let mean = |value: fn(&Factors) -> f32| {
                of.iter().map(|f| value(f)).sum::<f32>() / of.len() as f32
            };
            assert!((mean(|f| f.scale) - 0.27).abs() < 0.01);
            assert!((mean(|f| f.rotation) - PI).abs() < 0.35);
            assert!((mean(|f| f.background[0]) - 0.5).abs() < 0.06);
        }
    }

    #[test]
    fn every_shape_covers_its_centre_or_has_its_hole_there() {
        for shape in 0..10 {
            let at_centre = signed_distance(shape, 0.0, -0.05) < 0.0;
            assert_eq!(at_centre, ![1, 7].contains(&shape), "{}", SHAPE_NAMES[shape as usize]);
            for i in 0..64 {
                let (sin, cos) = (i as f32 * TAU / 64.0).sin_cos();
                assert!(signed_distance(shape, 1.5 * cos, 1.5 * sin) > 0.0);
            }
        }
    }
}

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use super::{Transform, check, check_probability, happens, uniform};
use crate::{AugmentError, Image, ViewRng};

/// How a rotation reads between pixels. torchvision offers these two for tensors and no bicubic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The nearest pixel; of two equally near the one of even index.
    Nearest,
    /// The four pixels around, weighted by their nearness.
    Bilinear,
}

/// Rotation about the centre by a random angle; the size stays and what comes in from outside
/// has one colour.
///
/// The arithmetic is that of torchvision's `functional.rotate` on tensors with a fill. With
/// bilinear sampling it fades a border pixel to the fill twice: a share `m` of the weights lies
/// within the image, and the value is `m · Σ w·v + (1 − m) · fill`, where the sum already is only
/// over the inside. With nearest sampling and a quarter turn of sides whose difference is odd,
/// every position lies halfway between two pixels: torchvision's choice between them is left to
/// rounding there, ours is the even one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rotate {
    /// 0 in the published pairs.
    pub probability: f32,
    /// Smallest and largest angle in degrees, counter-clockwise, within ±3600.
    pub degrees: [f32; 2],
    /// Between the pixels.
    pub sampling: Sampling,
    /// Colour of what was outside, in `[0, 1]`.
    pub fill: [f32; 3],
}

thread_local! {
    /// The image as it was.
    static SOURCE: RefCell<Vec<f32>> = RefCell::default();
}

impl Rotate {
    /// Ten turns; far beyond, a degree would be less than the spacing of `f32`.
    const MAX_DEGREES: f32 = 3600.0;

    /// Checks every field.
    ///
    /// # Errors
    /// A probability or fill outside `[0, 1]`, or angles that are no range within ±3600.
    pub fn validate(&self) -> Result<(), AugmentError> {
        check_probability(self.probability)?;
        let [low, high] = self.degrees;
        let range = -Self::MAX_DEGREES <= low && low <= high && high <= Self::MAX_DEGREES;
        let degrees = format!("{:?}", self.degrees);
        check(range, "degrees", degrees, "a range [low, high] within [-3600, 3600]")?;
        let fill = self.fill.iter().all(|v| (0.0..=1.0).contains(v));
        check(fill, "fill", format!("{:?}", self.fill), "from 0 to 1 in every channel")
    }

    /// Draws an angle in degrees.
    pub fn sample(&self, rng: &mut ViewRng) -> f32 {
        uniform(self.degrees, rng)
    }

    /// Rotates by `degrees` counter-clockwise. An angle that is not finite changes nothing.
    pub fn rotate(&self, image: &mut Image, degrees: f32) {
        if !degrees.is_finite() || image.data().is_empty() {
            return;
        }
        let turn = Turn::new(degrees, image.width(), image.height());
        SOURCE.with_borrow_mut(|source| {
            source.clear();
            source.extend_from_slice(image.data());
            match self.sampling {
                Sampling::Nearest => self.nearest(source, turn, image),
                Sampling::Bilinear => self.bilinear(source, turn, image),
            }
        });
    }

    fn nearest(&self, source: &[f32], turn: Turn, image: &mut Image) {
        let (width, height) = (image.width(), image.height());
        let inside = |at: f64, len: usize| {
            let at = at.round_ties_even();
            (at >= 0.0 && at < len as f64).then_some(at as usize)
        };
        for (c, plane) in image.planes_mut().into_iter().enumerate() {
            let from = &source[c * width * height..(c + 1) * width * height];
            for (y, line) in plane.chunks_exact_mut(width).enumerate() {
                for (x, value) in line.iter_mut().enumerate() {
                    let (sx, sy) = turn.source(x, y);
                    *value = match (inside(sx, width), inside(sy, height)) {
                        (Some(sx), Some(sy)) => from[sy * width + sx],
                        _ => self.fill[c],
                    };
                }
            }
        }
    }

    fn bilinear(&self, source: &[f32], turn: Turn, image: &mut Image) {
        let (width, height) = (image.width(), image.height());
        let [r, g, b] = image.planes_mut();
        let lines =
            r.chunks_exact_mut(width).zip(g.chunks_exact_mut(width)).zip(b.chunks_exact_mut(width));
        for (y, ((r, g), b)) in lines.enumerate() {
            for (x, ((r, g), b)) in r.iter_mut().zip(g).zip(b).enumerate() {
                let (sx, sy) = turn.source(x, y);
                let (columns, rows) = (neighbours(sx, width), neighbours(sy, height));
                let mut sum = [0.0; 3];
                let mut share = 0.0;
                for (sy, vertical) in rows {
                    for (sx, horizontal) in columns {
                        let weight = vertical * horizontal;
                        // Outside pixels have weight 0 and stand at index 0.
                        for (c, sum) in sum.iter_mut().enumerate() {
                            *sum += weight * source[(c * height + sy) * width + sx];
                        }
                        share += weight;
                    }
                }
                let [red, green, blue] = std::array::from_fn(|c| {
                    (sum[c] * share + (1.0 - share) * self.fill[c]).clamp(0.0, 1.0)
                });
                (*r, *g, *b) = (red, green, blue);
            }
        }
    }
}

impl Transform for Rotate {
    fn apply(&self, image: &mut Image, rng: &mut ViewRng) {
        if happens(self.probability, rng) {
            self.rotate(image, self.sample(rng));
        }
    }
}

/// From a pixel of the result back to its place in the source.
#[derive(Clone, Copy)]
struct Turn {
    cos: f64,
    sin: f64,
    /// The centre in pixel positions: half a pixel before half the side.
    centre: [f64; 2],
}

impl Turn {
    fn new(degrees: f32, width: usize, height: usize) -> Self {
        let degrees = f64::from(degrees).rem_euclid(360.0);
        // Exact at quarter turns, so that they move pixels and do not mix them.
        let (sin, cos) = match degrees {
            0.0 => (0.0, 1.0),
            90.0 => (1.0, 0.0),
            180.0 => (0.0, -1.0),
            270.0 => (-1.0, 0.0),
            other => other.to_radians().sin_cos(),
        };
        Self { cos, sin, centre: [width, height].map(|side| (side as f64 - 1.0) / 2.0) }
    }

    fn source(&self, x: usize, y: usize) -> (f64, f64) {
        let (dx, dy) = (x as f64 - self.centre[0], y as f64 - self.centre[1]);
        let sx = self.cos * dx - self.sin * dy + self.centre[0];
        let sy = self.sin * dx + self.cos * dy + self.centre[1];
        (sx, sy)
    }
}

/// The two pixels around a position and their weights, 0 for one that is not within the line.
fn neighbours(at: f64, len: usize) -> [(usize, f32); 2] {
    let floor = at.floor();
    let fraction = (at - floor) as f32;
    [(floor, 1.0 - fraction), (floor + 1.0, fraction)].map(|(pixel, weight)| {
        match pixel >= 0.0 && pixel < len as f64 {
            true => (pixel as usize, weight),
            false => (0, 0.0),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ViewKey;

    const BOTH: [Sampling; 2] = [Sampling::Nearest, Sampling::Bilinear];

    fn rotate(sampling: Sampling) -> Rotate {
        Rotate { probability: 1.0, degrees: [-30.0, 30.0], sampling, fill: [0.25, 0.5, 0.75] }
    }

    fn counted(width: usize, height: usize) -> Image {
        let mut image = Image::filled(width, height, [0.0; 3]);
        let len = image.data().len() as f32;
        image.data_mut().iter_mut().enumerate().for_each(|(i, v)| *v = i as f32 / len);
        image
    }

    #[test]
    fn a_quarter_turn_takes_the_right_edge_to_the_top() {
        for sampling in BOTH {
            let before = counted(3, 3);
            let mut image = before.clone();
            rotate(sampling).rotate(&mut image, 90.0);
            let p = before.planes()[0];
            let expected = [p[2], p[5], p[8], p[1], p[4], p[7], p[0], p[3], p[6]];
            assert_eq!(image.planes()[0], expected, "{sampling:?}");
            for _ in 0..3 {
                rotate(sampling).rotate(&mut image, 90.0);
            }
            assert_eq!(image, before, "{sampling:?}");
        }
    }

    #[test]
    fn whole_turns_are_the_identity() {
        for sampling in BOTH {
            for degrees in [0.0, 360.0, -720.0, f32::NAN, f32::INFINITY] {
                let mut image = counted(5, 2);
                rotate(sampling).rotate(&mut image, degrees);
                assert_eq!(image, counted(5, 2), "{sampling:?} {degrees}");
            }
        }
    }

    #[test]
    fn the_outside_has_the_fill() {
        // A line of 5 × 1 stood upright: only its centre remains within the picture.
        for sampling in BOTH {
            let mut image = Image::filled(5, 1, [1.0; 3]);
            rotate(sampling).rotate(&mut image, 90.0);
            for (plane, fill) in image.planes().into_iter().zip([0.25, 0.5, 0.75]) {
                assert_eq!(plane, [fill, fill, 1.0, fill, fill], "{sampling:?}");
            }
        }
    }

    #[test]
    fn a_border_pixel_fades_twice() {
        // One white pixel turned by 90° in a picture of 2 × 1: both places lie half outside.
        let mut image = Image::filled(2, 1, [1.0; 3]);
        rotate(Sampling::Bilinear).rotate(&mut image, 90.0);
        assert_eq!(image.planes()[0], [0.5 * 0.5 + 0.5 * 0.25; 2]);
    }

    #[test]
    fn any_size_and_angle_stays_in_range() {
        for sampling in BOTH {
            for (width, height) in [(1, 1), (1, 7), (4, 3)] {
                for degrees in [33.3, -1e30, f32::MAX, f32::MIN_POSITIVE] {
                    let mut image = counted(width, height);
                    rotate(sampling).rotate(&mut image, degrees);
                    assert!(image.data().iter().all(|v| (0.0..=1.0).contains(v)));
                }
            }
        }
        rotate(Sampling::Nearest).rotate(&mut Image::default(), 10.0);
    }

    #[test]
    fn angles_are_drawn_from_the_range() {
        let draw = |image| {
            let mut rng = ViewKey { seed: 0, epoch: 0, image, view: 0 }.rng();
            rotate(Sampling::Nearest).sample(&mut rng)
        };
        let angles: Vec<f32> = (0..1000).map(draw).collect();
        assert!(angles.iter().all(|a| (-30.0..=30.0).contains(a)));
        let mean: f32 = angles.iter().sum::<f32>() / 1000.0;
        // Standard deviation 0.55.
        assert!(mean.abs() < 2.0, "{mean}");
        assert!(angles.iter().any(|a| *a < -25.0) && angles.iter().any(|a| *a > 25.0));
    }

    #[test]
    fn every_bad_field_is_named() {
        let good = rotate(Sampling::Bilinear);
        good.validate().unwrap();
        for (bad, field) in [
            (Rotate { probability: f32::NAN, ..good }, "probability"),
            (Rotate { degrees: [10.0, -10.0], ..good }, "degrees"),
            (Rotate { degrees: [f32::NAN, 10.0], ..good }, "degrees"),
            (Rotate { degrees: [0.0, f32::INFINITY], ..good }, "degrees"),
            (Rotate { fill: [0.0, 1.5, 0.0], ..good }, "fill"),
        ] {
            let error = bad.validate().unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{error}");
        }
    }
}

//! Draws photographs, so that a benchmark needs no files and always reads the same images.
//!
//! The work of a JPEG decoder and a resize depends on the statistics of photographs, not on their
//! content. Amplitudes fall with the frequency, edges have all scales, and colours vary less than
//! brightness. A picture of overlapping leaves with radii after r⁻³ has these statistics (Lee,
//! Mumford and Huang, 2001).

use image::{Rgb, RgbImage};
use rand::RngExt;
use selfsame_augment::{ViewKey, ViewRng};

use super::jpeg::Blocks;

pub const WIDTH: usize = 500;
pub const HEIGHT: usize = 375;
/// Drawn at twice the size and averaged, like a lens and a sensor.
const DRAWN: usize = 2;
/// Radii of leaves, in drawn pixels.
const RADII: [f32; 2] = [7.0, 500.0];
/// Number of leaves. They cover almost all of the background.
const LEAVES: usize = 4000;

/// The most bytes of a file. ImageNet's photographs have 110 kB on average, at this size.
const MOST_BYTES: usize = 118_000;

/// Photograph `index` as a JPEG file of 90 to 130 kB.
pub fn photograph(index: u64) -> anyhow::Result<Vec<u8>> {
    let mut rng = ViewKey { seed: 0, epoch: 0, image: index, view: 0 }.rng();
    let blocks = Blocks::of(&draw(&mut rng))?;
    // Bisection finds the best quality that is small enough: files grow with the quality.
    let (mut good, mut bad) = (84, 101);
    while good + 1 < bad {
        let quality = (good + bad) / 2;
        let fits = blocks.encode(quality)?.len() <= MOST_BYTES;
        *(if fits { &mut good } else { &mut bad }) = quality;
    }
    blocks.encode(good)
}

/// Y, Cb and Cr.
type Pixel = [f32; 3];

fn draw(rng: &mut ViewRng) -> RgbImage {
    let (width, height) = (DRAWN * WIDTH, DRAWN * HEIGHT);
    let texture = Texture::new(rng);
    let mut canvas = vec![[110.0, 0.0, 0.0]; width * height];
    // Some photographs are busier than others.
    let busy = rng.random_range(0.5..1.3);
    for _ in 0..LEAVES {
        Leaf::new(rng, width, height, busy).paint(&mut canvas, width, &texture);
    }
    let light = [rng.random_range(-30.0..30.0), rng.random_range(-30.0..30.0)];
    RgbImage::from_fn(WIDTH as u32, HEIGHT as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let mut mean = [0.0; 3];
        for (dy, dx) in (0..DRAWN).flat_map(|dy| (0..DRAWN).map(move |dx| (dy, dx))) {
            let pixel = canvas[(DRAWN * y + dy) * width + DRAWN * x + dx];
            mean.iter_mut().zip(pixel).for_each(|(m, p)| *m += p / (DRAWN * DRAWN) as f32);
        }
        let shade = light[0] * (x as f32 / WIDTH as f32 - 0.5)
            + light[1] * (y as f32 / HEIGHT as f32 - 0.5);
        let [luma, cb, cr] = [mean[0] + shade + NOISE * normal(rng), mean[1], mean[2]];
        let rgb = [luma + 1.402 * cr, luma - 0.344 * cb - 0.714 * cr, luma + 1.772 * cb];
        Rgb(rgb.map(|value| value.round() as u8))
    })
}

/// A sensor's, in levels of 255.
const NOISE: f32 = 0.6;

/// An ellipse or a rectangle of one material, turned and shaded.
struct Leaf {
    centre: [f32; 2],
    /// Along its own axes.
    radii: [f32; 2],
    /// Of its first axis.
    direction: [f32; 2],
    round: bool,
    colour: Pixel,
    /// Of brightness, from edge to centre.
    shade: f32,
    /// How much the texture changes Y.
    contrast: f32,
    /// Where in the texture it begins.
    place: [usize; 2],
}

impl Leaf {
    fn new(rng: &mut ViewRng, width: usize, height: usize, busy: f32) -> Self {
        // The inverse of the distribution function of r⁻³ between the two.
        let [least, most] = RADII;
        let share: f32 = rng.random();
        let radius = least / (1.0 - share * (1.0 - (least / most).powi(2))).sqrt();
        let stretch = rng.random_range(0.5..1.0);
        let direction = [normal(rng), normal(rng)];
        let length = direction[0].hypot(direction[1]).max(1e-3);
        Self {
            centre: [rng.random::<f32>() * width as f32, rng.random::<f32>() * height as f32],
            radii: [radius, radius * stretch],
            direction: direction.map(|d| d / length),
            round: rng.random_bool(0.6),
            colour: [rng.random_range(25.0..225.0), COLOUR * normal(rng), COLOUR * normal(rng)],
            shade: 12.0 * normal(rng),
            // Many materials are smooth, few are rough.
            contrast: 28.0 * busy * rng.random::<f32>().powi(2),
            place: [rng.random_range(0..SIDE), rng.random_range(0..SIDE)],
        }
    }

    fn paint(&self, canvas: &mut [Pixel], width: usize, texture: &Texture) {
        let reach = self.radii[0].hypot(self.radii[1]);
        let [cx, cy] = self.centre;
        let range = |centre: f32, end: usize| {
            (centre - reach).max(0.0) as usize..((centre + reach) as usize + 1).min(end)
        };
        let height = canvas.len() / width;
        for y in range(cy, height) {
            for x in range(cx, width) {
                let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                let [c, s] = self.direction;
                let along = (c * dx + s * dy) / self.radii[0];
                let across = (c * dy - s * dx) / self.radii[1];
                let distance = along * along + across * across;
                let inside =
                    if self.round { distance <= 1.0 } else { along.abs().max(across.abs()) <= 0.8 };
                if inside {
                    let rough = texture.at(x + self.place[0], y + self.place[1]);
                    let [luma, cb, cr] = self.colour;
                    let change = self.contrast * rough;
                    canvas[y * width + x] = [
                        luma + self.shade * (0.5 - distance) + change,
                        cb + 0.1 * change,
                        cr - 0.05 * change,
                    ];
                }
            }
        }
    }
}

/// Standard deviation of Cb and Cr.
const COLOUR: f32 = 16.0;

/// Of the texture, which repeats.
const SIDE: usize = 512;

/// Noise whose amplitude falls with the frequency: the same variance in every octave.
struct Texture(Vec<f32>);

impl Texture {
    fn new(rng: &mut ViewRng) -> Self {
        let (mut side, mut values) = (4, vec![0.0; 16]);
        while side < SIDE {
            values = doubled(&values, side);
            side *= 2;
            values.iter_mut().for_each(|value| *value += normal(rng) / 3.0);
        }
        Self(values)
    }

    fn at(&self, x: usize, y: usize) -> f32 {
        self.0[y % SIDE * SIDE + x % SIDE]
    }
}

/// Twice the side, by linear interpolation across the borders.
fn doubled(values: &[f32], side: usize) -> Vec<f32> {
    let at = |x: usize, y: usize| values[y % side * side + x % side];
    let places = (0..4 * side * side).map(|i| (i % (2 * side), i / (2 * side)));
    places
        .map(|(x, y)| {
            let (fx, fy) = ((x % 2) as f32 / 2.0, (y % 2) as f32 / 2.0);
            let (x, y) = (x / 2, y / 2);
            let upper = at(x, y) * (1.0 - fx) + at(x + 1, y) * fx;
            let lower = at(x, y + 1) * (1.0 - fx) + at(x + 1, y + 1) * fx;
            upper * (1.0 - fy) + lower * fy
        })
        .collect()
}

/// The sum of four uniform numbers is close enough to normal here.
fn normal(rng: &mut ViewRng) -> f32 {
    3f32.sqrt() * ((0..4).map(|_| rng.random::<f32>()).sum::<f32>() - 2.0)
}

#[cfg(test)]
mod tests {
    use image::ImageFormat;

    use super::*;

    /// What Field (1987) found: amplitudes fall about as 1 / frequency. And the size of ImageNet's
    /// files.
    #[test]
    fn a_drawn_photograph_is_like_one() {
        let bytes = photograph(0).unwrap();
        assert!((90_000..130_000).contains(&bytes.len()), "{} bytes", bytes.len());
        assert_eq!(bytes, photograph(0).unwrap());
        assert_ne!(bytes, photograph(1).unwrap());
        let image = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
        let image = image.into_rgb8();
        assert_eq!(image.dimensions(), (WIDTH as u32, HEIGHT as u32));
        let blocks = Blocks::of(&image).unwrap().blocks;
        let amplitude = |of: fn(usize) -> bool, frequency: usize| {
            let chosen = blocks.iter().enumerate().filter(|(i, _)| of(i % 6));
            let all: Vec<f32> =
                chosen.flat_map(|(_, b)| [b[frequency], b[8 * frequency]]).map(f32::abs).collect();
            all.iter().sum::<f32>() / all.len() as f32
        };
        let luma = |place: usize| place < 4;
        let slope = (amplitude(luma, 1) / amplitude(luma, 4)).log2() / 2.0;
        assert!((0.8..1.6).contains(&slope), "{slope}");
        // Colours vary less than brightness.
        let share = amplitude(|place| place >= 4, 1) / amplitude(luma, 1);
        assert!((0.1..0.5).contains(&share), "{share}");
    }
}

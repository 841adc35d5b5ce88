//! Contrast, pixelation, and the qualities of JPEG.

use image::RgbImage;

use super::Strength;
use crate::{Image, RgbSource};

/// Blends each channel with its mean.
pub fn contrast(image: &mut Image, strength: Strength) {
    let factor = strength.pick([0.75, 0.5, 0.4, 0.3, 0.15], [0.4, 0.3, 0.2, 0.1, 0.05]);
    for plane in image.planes_mut() {
        // f64, since a sum of a million f32 would lose what it adds.
        let sum: f64 = plane.iter().map(|value| f64::from(*value)).sum();
        let mean = (sum / plane.len() as f64) as f32;
        plane.iter_mut().for_each(|value| *value = (*value - mean) * factor + mean);
    }
}

/// The quality setting of libjpeg.
pub fn quality(strength: Strength) -> u32 {
    strength.pick([80, 65, 58, 50, 40], [25, 18, 15, 10, 7])
}

/// Shrinks and enlarges by a box, as Pillow does on 8 bits: across, then down.
pub fn pixelate(source: RgbSource<'_>, strength: Strength) -> RgbImage {
    let share: f64 = strength.pick([0.95, 0.9, 0.85, 0.75, 0.65], [0.6, 0.5, 0.4, 0.3, 0.25]);
    let shrunk = |len: u32| ((f64::from(len) * share) as usize).max(1);
    let (width, height) = (source.width() as usize, source.height() as usize);
    let small = (shrunk(source.width()), shrunk(source.height()));
    let pixels = source.pixels().as_chunks::<3>().0;
    let pixels = box_resize(pixels, (width, height), small);
    let pixels = box_resize(&pixels, small, (width, height));
    RgbImage::from_raw(source.width(), source.height(), pixels.into_flattened())
        .expect("as many pixels as before")
}

fn box_resize(pixels: &[[u8; 3]], from: (usize, usize), to: (usize, usize)) -> Vec<[u8; 3]> {
    let columns = boxes(from.0, to.0);
    let rows = boxes(from.1, to.1);
    let across: Vec<[u8; 3]> = pixels
        .chunks_exact(from.0)
        .flat_map(|row| columns.iter().map(|(first, end)| mean(row[*first..*end].iter())))
        .collect();
    rows.iter()
        .flat_map(|(first, end)| {
            let rows = &across[first * to.0..end * to.0];
            (0..to.0).map(move |x| mean(rows[x..].iter().step_by(to.0)))
        })
        .collect()
}

/// The pixels with their middles in the box of each position. The box excludes its lower end and
/// includes its upper one.
fn boxes(from: usize, to: usize) -> Vec<(usize, usize)> {
    let scale = from as f64 / to as f64;
    let half = scale.max(1.0) / 2.0;
    (0..to)
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - half - 0.5).floor() as i64 + 1;
            let last = (centre + half - 0.5).floor() as i64;
            let first = first.clamp(0, from as i64 - 1) as usize;
            (first, (last.max(0) as usize + 1).clamp(first + 1, from))
        })
        .collect()
}

/// Rounded to the nearest level, and up between two.
fn mean<'a>(pixels: impl Iterator<Item = &'a [u8; 3]>) -> [u8; 3] {
    let (mut sums, mut count) = ([0u32; 3], 0);
    for pixel in pixels {
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += u32::from(*value);
        }
        count += 1;
    }
    sums.map(|sum| ((2 * sum + count) / (2 * count)) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_halve_and_double() {
        assert_eq!(boxes(4, 2), [(0, 2), (2, 4)]);
        assert_eq!(boxes(2, 4), [(0, 1), (0, 1), (1, 2), (1, 2)]);
        // The third pixel ends the first box, to which its upper end belongs.
        assert_eq!(boxes(5, 2), [(0, 3), (3, 5)]);
        assert_eq!(boxes(1, 1), [(0, 1)]);
    }
}

//! The loss of JPEG compression, without making a file.
//!
//! JPEG loses through colour conversion, halved chroma and rounded cosine coefficients. Its entropy
//! code loses nothing and is left out here. The result is 4:2:0 as Pillow (and libjpeg) writes it
//! by default, with the smooth chroma of libjpeg's decoder. The encoder of the `image` crate has
//! 4:4:4 only. Transform and tables are those of ITU-T T.81, colours those of JFIF 1.02.

use image::RgbImage;

use crate::RgbSource;

/// Example tables of ITU-T T.81, annex K.1, row by row.
const LUMA: [u16; 64] = [
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113,
    92, 49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
];
const CHROMA: [u16; 64] = [
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
];

/// Encodes at a quality from 1 to 100 and decodes.
pub fn compress(source: RgbSource<'_>, quality: u32) -> RgbImage {
    let (width, height) = (source.width() as usize, source.height() as usize);
    let [mut luma, blue, red] = to_ycc(source.pixels(), width, height);
    let transform = Transform::new();
    transform.lose(&mut luma, &table(&LUMA, quality));
    let chroma = [blue, red].map(|plane| {
        let mut half = plane.halved();
        transform.lose(&mut half, &table(&CHROMA, quality));
        half.doubled(width, height)
    });
    let mut out = RgbImage::new(source.width(), source.height());
    for (y, row) in out.chunks_exact_mut(3 * width).enumerate() {
        let start = y * width;
        let levels = luma.row(y).iter().zip(&chroma[0][start..]).zip(&chroma[1][start..]);
        for (rgb, ((luma, blue), red)) in row.as_chunks_mut::<3>().0.iter_mut().zip(levels) {
            *rgb = to_rgb(*luma, *blue, *red);
        }
    }
    out
}

/// libjpeg's scaling of a table.
fn table(base: &[u16; 64], quality: u32) -> [i32; 64] {
    let scale = if quality < 50 { 5000 / quality } else { 200 - 2 * quality };
    base.map(|step| ((u32::from(step) * scale + 50) / 100).clamp(1, 255) as i32)
}

/// Levels from 0 to 255 in whole blocks. Beyond the image its last row and column repeat.
struct Plane {
    levels: Vec<i32>,
    /// Of the image.
    width: usize,
    height: usize,
    /// Of the blocks.
    pitch: usize,
}

impl Plane {
    fn from_fn(width: usize, height: usize, level: impl Fn(usize, usize) -> i32) -> Self {
        let (pitch, rows) = (width.next_multiple_of(8), height.next_multiple_of(8));
        let mut levels = Vec::with_capacity(pitch * rows);
        for y in 0..rows {
            levels.extend((0..pitch).map(|x| level(x.min(width - 1), y.min(height - 1))));
        }
        Self { levels, width, height, pitch }
    }

    fn row(&self, y: usize) -> &[i32] {
        &self.levels[y * self.pitch..][..self.width]
    }

    /// Means of 2×2, where libjpeg rounds halves down and up in turns along a row.
    fn halved(&self) -> Self {
        let at = |x: usize, y: usize| self.row(y.min(self.height - 1))[x.min(self.width - 1)];
        Self::from_fn(self.width.div_ceil(2), self.height.div_ceil(2), |x, y| {
            let (x, y) = (2 * x, 2 * y);
            let sum = at(x, y) + at(x + 1, y) + at(x, y + 1) + at(x + 1, y + 1);
            (sum + 1 + (x as i32 / 2) % 2) >> 2
        })
    }

    /// Doubles both axes as libjpeg's decoder does: three parts of the pixel and one of the
    /// neighbour on that side. An image of 4 or fewer columns has its pixels repeated.
    fn doubled(&self, width: usize, height: usize) -> Vec<i32> {
        let mut out = Vec::with_capacity(width * height);
        let mut sums = vec![0; self.width];
        let last = self.width - 1;
        for y in 0..height {
            let near = self.row(y / 2);
            if self.width <= 2 {
                out.extend((0..width).map(|x| near[x / 2]));
                continue;
            }
            let other = if y % 2 == 0 { (y / 2).saturating_sub(1) } else { y / 2 + 1 };
            let far = self.row(other.min(self.height - 1));
            for ((sum, near), far) in sums.iter_mut().zip(near).zip(far) {
                *sum = 3 * near + far;
            }
            out.extend((0..width).map(|x| {
                let (i, odd) = (x / 2, x % 2);
                let beside = if odd == 0 { i.saturating_sub(1) } else { (i + 1).min(last) };
                (3 * sums[i] + sums[beside] + 8 - odd as i32) >> 4
            }));
        }
        out
    }
}

/// A constant with 16 binary places.
const fn fixed(value: f64) -> i32 {
    (value * 65536.0 + 0.5) as i32
}

const HALF: i32 = 1 << 15;

fn to_ycc(pixels: &[u8], width: usize, height: usize) -> [Plane; 3] {
    let pixels = pixels.as_chunks::<3>().0;
    // Halves are rounded up in luma, and down in chroma.
    let weights = [
        [fixed(0.299), fixed(0.587), fixed(0.114), HALF],
        [-fixed(0.168735892), -fixed(0.331264108), fixed(0.5), (128 << 16) + HALF - 1],
        [fixed(0.5), -fixed(0.418687589), -fixed(0.081312411), (128 << 16) + HALF - 1],
    ];
    weights.map(|[red, green, blue, rest]| {
        Plane::from_fn(width, height, |x, y| {
            let [r, g, b] = pixels[y * width + x].map(i32::from);
            (red * r + green * g + blue * b + rest) >> 16
        })
    })
}

fn to_rgb(luma: i32, blue: i32, red: i32) -> [u8; 3] {
    let (blue, red) = (blue - 128, red - 128);
    [
        luma + ((fixed(1.402) * red + HALF) >> 16),
        luma + ((HALF - fixed(0.344136286) * blue - fixed(0.714136286) * red) >> 16),
        luma + ((fixed(1.772) * blue + HALF) >> 16),
    ]
    .map(|level| level.clamp(0, 255) as u8)
}

type Block = [[i32; 8]; 8];

/// The cosine transform of 8 × 8 levels in libjpeg's integers. An image that was a JPEG file before
/// has many coefficients halfway between two steps, where the last bit decides.
struct Transform {
    /// √8 times the transform's matrix, with 13 binary places.
    cosines: Block,
    turned: Block,
}

impl Transform {
    fn new() -> Self {
        let cosines = cosines();
        Self { cosines, turned: transposed(&cosines) }
    }

    /// Rounds the coefficients to whole steps. Between rows and columns two binary places are kept.
    fn lose(&self, plane: &mut Plane, steps: &[i32; 64]) {
        let pitch = plane.pitch;
        for band in plane.levels.chunks_exact_mut(8 * pitch) {
            for x in (0..pitch).step_by(8) {
                let mut block = [[0; 8]; 8];
                for (y, row) in block.iter_mut().enumerate() {
                    for (value, level) in row.iter_mut().zip(&band[y * pitch + x..]) {
                        *value = level - 128;
                    }
                }
                let rows = product(&block, &self.turned, 13 - 2);
                // Eighths of coefficients.
                let mut block = product(&self.cosines, &rows, 13 + 2);
                for (value, step) in block.as_flattened_mut().iter_mut().zip(steps) {
                    let whole = (value.abs() + 4 * step) / (8 * step);
                    *value = whole * step * value.signum();
                }
                let columns = product(&self.turned, &block, 13 - 2);
                let block = product(&columns, &self.cosines, 13 + 2 + 3);
                for (y, row) in block.iter().enumerate() {
                    for (value, level) in row.iter().zip(&mut band[y * pitch + x..]) {
                        *level = (value + 128).clamp(0, 255);
                    }
                }
            }
        }
    }
}

/// The matrix of the factorisation of Loeffler, Ligtenberg and Moschytz (1989), with its constants
/// rounded to 13 binary places as in libjpeg.
fn cosines() -> Block {
    let fixed = |value: f64| (value * 8192.0).round() as i32;
    let one = fixed(1.0);
    // Of the coefficients 2 and 6.
    let (turn, near, far) = (fixed(0.541196100), fixed(0.765366865), fixed(1.847759065));
    let (a, b) = (turn + near, far - turn);
    // The odd coefficients share these sums: one of all, four of pairs, and one for each input.
    let all = fixed(1.175875602);
    let [outer, inner, third, fourth] =
        [0.899976223, 2.562915447, 1.961570560, 0.390180644].map(fixed);
    let [own_7, own_5, own_3, own_1] =
        [0.298631336, 2.053119869, 3.072711026, 1.501321110].map(fixed);
    // What each odd coefficient takes of the differences of pixels 0 and 7, 1 and 6, 2 and 5, 3
    // and 4.
    let odd = [
        [own_1 - outer - fourth + all, all, all - fourth, all - outer],
        [all, own_3 - inner - third + all, all - inner, all - third],
        [all - fourth, all - inner, own_5 - inner - fourth + all, all],
        [all - outer, all - third, all, own_7 - outer - third + all],
    ];
    let even = [[one; 4], [a, turn, -turn, -a], [one, -one, -one, one], [turn, -b, b, -turn]];
    let mut rows = [[0; 8]; 8];
    for i in 0..4 {
        for k in 0..4 {
            (rows[2 * i][k], rows[2 * i][7 - k]) = (even[i][k], even[i][k]);
            (rows[2 * i + 1][k], rows[2 * i + 1][7 - k]) = (odd[i][k], -odd[i][k]);
        }
    }
    rows
}

fn transposed(block: &Block) -> Block {
    let mut out = [[0; 8]; 8];
    for (y, row) in block.iter().enumerate() {
        for (x, value) in row.iter().enumerate() {
            out[x][y] = *value;
        }
    }
    out
}

/// The product `a · b`, rounded to `places` binary places less. The transforms of levels stay
/// within 30 bits, and so do those of coefficients that are off by half a step of at most 255.
fn product(a: &Block, b: &Block, places: u32) -> Block {
    let mut out = [[1 << (places - 1); 8]; 8];
    for (to, weights) in out.iter_mut().zip(a) {
        for (from, weight) in b.iter().zip(weights) {
            for (to, value) in to.iter_mut().zip(from) {
                *to += weight * value;
            }
        }
    }
    out.map(|row| row.map(|value| value >> places))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grey_survives_every_quality() {
        let pixels = vec![128; 3 * 13 * 9];
        let source = RgbSource::new(&pixels, 13, 9).unwrap();
        for quality in [1, 7, 50, 100] {
            assert_eq!(compress(source, quality).as_raw(), &pixels);
        }
    }

    #[test]
    fn the_matrix_is_the_cosine_transform() {
        for (k, row) in cosines().iter().enumerate() {
            for (i, value) in row.iter().enumerate() {
                let angle = (2 * i + 1) as f64 * k as f64 * std::f64::consts::PI / 16.0;
                let scale = if k == 0 { 1.0 } else { 2f64.sqrt() };
                assert!((f64::from(*value) / 8192.0 - scale * angle.cos()).abs() < 5e-4, "{k} {i}");
            }
        }
    }

    #[test]
    fn full_quality_loses_little() {
        let pixels: Vec<u8> = (0..32 * 32).flat_map(|i| [(i / 32 * 7) as u8; 3]).collect();
        let source = RgbSource::new(&pixels, 32, 32).unwrap();
        let out = compress(source, 100);
        assert!(out.iter().zip(&pixels).all(|(a, b)| a.abs_diff(*b) <= 1));
    }
}

//! JPEG as cameras write it: baseline, with colour at half the resolution in both directions
//! (4:2:0).
//!
//! The `image` crate only writes colour at full resolution. This is slower to decode. Its headers
//! and tables (those of the standard's annex K) are taken as they are; blocks are transformed,
//! ordered and coded here.

use std::f32::consts::PI;

use anyhow::Context;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};

/// Where coefficient k of a file stands in a block: diagonals, to and fro.
const ZIGZAG: [usize; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// Blocks of 8×8 that belong together: four of Y, for 16×16 pixels, and one each of Cb and Cr.
const COMPONENTS: [usize; 6] = [0, 0, 0, 0, 1, 2];

/// An image's blocks after the cosine transform, in the order of the file, to be written at any
/// quality.
pub struct Blocks {
    width: u16,
    height: u16,
    /// Row by row of their frequencies, in pixels' levels.
    pub blocks: Vec<[f32; 64]>,
}

impl Blocks {
    pub fn of(image: &RgbImage) -> anyhow::Result<Self> {
        let (width, height) = image.dimensions();
        let basis = basis();
        let mut blocks = Vec::new();
        for y in (0..height).step_by(16) {
            for x in (0..width).step_by(16) {
                let mut group = [[0f32; 64]; 6];
                for (dy, dx) in (0..16).flat_map(|dy| (0..16).map(move |dx| (dy, dx))) {
                    // The last pixels are repeated beyond the border.
                    let at = ((x + dx).min(width - 1), (y + dy).min(height - 1));
                    let [r, g, b] = image.get_pixel(at.0, at.1).0.map(f32::from);
                    let place = |y: u32, x: u32| (8 * y + x) as usize;
                    group[place(0, dy / 8 * 2 + dx / 8)][place(dy % 8, dx % 8)] =
                        0.299 * r + 0.587 * g + 0.114 * b - 128.0;
                    let half = place(dy / 2, dx / 2);
                    group[4][half] += (-0.168_736 * r - 0.331_264 * g + 0.5 * b) / 4.0;
                    group[5][half] += (0.5 * r - 0.418_688 * g - 0.081_312 * b) / 4.0;
                }
                blocks.extend(group.iter().map(|block| transformed(block, &basis)));
            }
        }
        let [width, height] =
            [width, height].map(|side| u16::try_from(side).context("too large for JPEG"));
        Ok(Self { width: width?, height: height?, blocks })
    }

    /// The file at a quality of 1 to 100.
    pub fn encode(&self, quality: u8) -> anyhow::Result<Vec<u8>> {
        let Header { mut bytes, quantization, codes } = Header::new(self, quality)?;
        let mut bits = Bits { bytes: &mut bytes, waiting: 0, count: 0 };
        let mut last = [0; 3];
        for (block, component) in self.blocks.iter().zip(COMPONENTS.iter().cycle()) {
            let table = usize::from(*component > 0);
            let mut levels = [0; 64];
            for ((level, at), step) in levels.iter_mut().zip(ZIGZAG).zip(quantization[table]) {
                *level = (block[at] / f32::from(step)).round() as i32;
            }
            let [dc, ac] = &codes[table];
            bits.put_number(dc, 0, levels[0] - last[*component]);
            last[*component] = levels[0];
            let mut zeros = 0;
            for level in &levels[1..] {
                if *level == 0 {
                    zeros += 1;
                    continue;
                }
                for _ in 0..zeros / 16 {
                    bits.put(ac[SIXTEEN_ZEROS]);
                }
                bits.put_number(ac, zeros % 16, *level);
                zeros = 0;
            }
            if zeros > 0 {
                bits.put(ac[END_OF_BLOCK]);
            }
        }
        bits.put((0x7F, 7));
        bytes.extend([0xFF, 0xD9]);
        Ok(bytes)
    }
}

const END_OF_BLOCK: usize = 0x00;
const SIXTEEN_ZEROS: usize = 0xF0;

/// A Huffman code and its length, by symbol.
type Codes = [(u16, u8); 256];

/// All up to the compressed data, and what it says about them.
struct Header {
    bytes: Vec<u8>,
    /// For Y, and for Cb and Cr; in the order of the file.
    quantization: [[u8; 64]; 2],
    /// For Y, and for Cb and Cr: of the first coefficient and of the others.
    codes: [[Codes; 2]; 2],
}

impl Header {
    fn new(blocks: &Blocks, quality: u8) -> anyhow::Result<Self> {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality).encode(
            &[0; 3],
            1,
            1,
            ExtendedColorType::Rgb8,
        )?;
        let mut quantization = [[0; 64]; 2];
        let mut codes = [[[(0, 0); 256]; 2]; 2];
        let mut at = 2;
        loop {
            let [0xFF, marker, high, low] = *bytes.get(at..at + 4).context("no JPEG header")?
            else {
                anyhow::bail!("no JPEG header");
            };
            let end = at + 2 + usize::from(u16::from_be_bytes([high, low]));
            let segment = bytes.get_mut(at + 4..end).context("no JPEG header")?;
            match marker {
                0xDB => segment.chunks_exact(65).for_each(|table| {
                    quantization[usize::from(table[0] & 1)].copy_from_slice(&table[1..]);
                }),
                0xC0 => {
                    segment[1..3].copy_from_slice(&blocks.height.to_be_bytes());
                    segment[3..5].copy_from_slice(&blocks.width.to_be_bytes());
                    // Y has two blocks in each direction.
                    segment[7] = 0x22;
                }
                0xC4 => {
                    let mut rest = &*segment;
                    while let Some((class, table)) = rest.split_first() {
                        let (counts, symbols) = table.split_at(16);
                        let count = counts.iter().map(|n| usize::from(*n)).sum();
                        codes[usize::from(class & 1)][usize::from(class >> 4)] =
                            huffman(counts, &symbols[..count]);
                        rest = &symbols[count..];
                    }
                }
                0xDA => {
                    bytes.truncate(end);
                    return Ok(Self { bytes, quantization, codes });
                }
                _ => {}
            }
            at = end;
        }
    }
}

/// Annex C of the standard: codes of each length in turn, counted upwards.
fn huffman(counts: &[u8], symbols: &[u8]) -> Codes {
    let mut codes = [(0, 0); 256];
    let (mut code, mut symbols) = (0, symbols.iter());
    for (length, count) in (1..).zip(counts) {
        for symbol in symbols.by_ref().take(usize::from(*count)) {
            codes[usize::from(*symbol)] = (code, length);
            code += 1;
        }
        code <<= 1;
    }
    codes
}

/// Of the cosine transform, `[frequency][place]`, orthonormal.
fn basis() -> [[f32; 8]; 8] {
    let mut basis = [[0.0; 8]; 8];
    for (u, row) in basis.iter_mut().enumerate() {
        let scale = if u == 0 { 0.125f32 } else { 0.25 }.sqrt();
        for (x, value) in row.iter_mut().enumerate() {
            *value = scale * ((2 * x + 1) as f32 * u as f32 * PI / 16.0).cos();
        }
    }
    basis
}

fn transformed(block: &[f32; 64], basis: &[[f32; 8]; 8]) -> [f32; 64] {
    let (mut rows, mut both) = ([0.0; 64], [0.0; 64]);
    for (y, u) in (0..8).flat_map(|y| (0..8).map(move |u| (y, u))) {
        rows[8 * y + u] = (0..8).map(|x| basis[u][x] * block[8 * y + x]).sum();
    }
    for (v, u) in (0..8).flat_map(|v| (0..8).map(move |u| (v, u))) {
        both[8 * v + u] = (0..8).map(|y| basis[v][y] * rows[8 * y + u]).sum();
    }
    both
}

/// Writes bits, the highest first.
struct Bits<'a> {
    bytes: &'a mut Vec<u8>,
    waiting: u32,
    count: u8,
}

impl Bits<'_> {
    fn put(&mut self, (code, length): (u16, u8)) {
        self.waiting = self.waiting << length | u32::from(code);
        self.count += length;
        while self.count >= 8 {
            self.count -= 8;
            let byte = (self.waiting >> self.count) as u8;
            self.bytes.push(byte);
            // So that no marker begins in the data.
            if byte == 0xFF {
                self.bytes.push(0);
            }
        }
    }

    /// A number behind some zeros: how many bits it has is a symbol, and then come the bits.
    fn put_number(&mut self, codes: &Codes, zeros: usize, number: i32) {
        let length = 32 - number.unsigned_abs().leading_zeros();
        self.put(codes[16 * zeros + length as usize]);
        let bits = if number < 0 { number + (1 << length) - 1 } else { number };
        self.put((bits as u16, length as u8));
    }
}

#[cfg(test)]
mod tests {
    use image::{ImageFormat, Rgb};

    use super::*;

    /// Smooth colours, so that half the resolution loses nothing; a size that does not divide by
    /// 16.
    #[test]
    fn a_decoder_finds_the_image_again() {
        let image = RgbImage::from_fn(75, 41, |x, y| {
            Rgb([(40 + 2 * x) as u8, (200 - 3 * y) as u8, (60 + x + y) as u8])
        });
        let blocks = Blocks::of(&image).unwrap();
        for (quality, allowed) in [(50, 24), (100, 4)] {
            let bytes = blocks.encode(quality).unwrap();
            let read = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
            let read = read.into_rgb8();
            assert_eq!(read.dimensions(), (75, 41));
            let errors = read.iter().zip(image.iter()).map(|(a, b)| a.abs_diff(*b));
            let most = errors.max().unwrap();
            assert!(most <= allowed, "{most} at quality {quality}");
        }
    }
}

//! TIFF files. The decoder gives plain samples, and this file turns them into colours.
//!
//! The decoder knows no palettes, and takes extra samples beside grey for another kind of image. So
//! it is told that every file is grey, with all its samples in a pixel.

use std::io::{Cursor, ErrorKind};

use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{ByteOrder, CompressionMethod, Tag};
use tiff::{TiffError, TiffUnsupportedError};

use super::{MAX_DECODE_BYTES, check_size};

/// Decodes the file's first image as Pillow does.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(reason)?;
    let header = Header::read(&mut decoder)?;
    let plain = with_plain_samples(&mut decoder, bytes)?;
    drop(decoder);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = MAX_DECODE_BYTES as usize;
    limits.intermediate_buffer_size = MAX_DECODE_BYTES as usize;
    let mut decoder = Decoder::new(Cursor::new(plain)).map_err(reason)?.with_limits(limits);
    let mut samples = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut samples).map_err(reason)?;
    drop(decoder);
    let pixels = header.rgb(samples)?;
    let image = RgbImage::from_raw(header.width, header.height, pixels).ok_or(DAMAGED)?;
    let mut image = DynamicImage::from(image);
    image.apply_orientation(header.orientation);
    Ok(image)
}

const DAMAGED: &str = "the TIFF file is damaged";

#[derive(Debug, PartialEq)]
enum Colour {
    Grey { inverted: bool },
    Rgb,
    Palette(Vec<[u8; 3]>),
    Cmyk,
    YCbCr,
}

struct Header {
    width: u32,
    height: u32,
    /// Samples in a pixel,
    samples: usize,
    /// and bits in each of them.
    bits: u16,
    /// All values of the first sample come first, then those of the second.
    planar: bool,
    colour: Colour,
    /// The colour is multiplied by the transparency behind it.
    multiplied: bool,
    orientation: Orientation,
}

const SIGNED: u16 = 2;
const FLOAT: u16 = 3;

impl Header {
    fn read(decoder: &mut Decoder<Cursor<&[u8]>>) -> Result<Self, String> {
        let (width, height) = decoder.dimensions().map_err(reason)?;
        let mut numbers = |tag, default: u16| {
            let numbers = decoder.find_tag_unsigned_vec::<u16>(tag).map_err(reason)?;
            Ok::<_, String>(numbers.filter(|n| !n.is_empty()).unwrap_or_else(|| vec![default]))
        };
        let samples = numbers(Tag::SamplesPerPixel, 1)?[0];
        let bits = numbers(Tag::BitsPerSample, 1)?[0];
        let format = numbers(Tag::SampleFormat, 1)?[0];
        let bytes = (u64::from(width) * u64::from(samples) * u64::from(bits)).div_ceil(8);
        check_size(width, height, bytes.saturating_mul(u64::from(height)))?;

        let jpeg = numbers(Tag::Compression, 1)?[0] == CompressionMethod::ModernJPEG.to_u16();
        let subsampled = numbers(Tag::ChromaSubsampling, 1)? != [1, 1];
        let colour = match (numbers(Tag::PhotometricInterpretation, 0)?[0], samples) {
            (0, _) if format == 1 => Colour::Grey { inverted: true },
            // Pillow does not invert floating-point numbers.
            (0 | 1, _) | (6, 1) => Colour::Grey { inverted: false },
            (2, 3..) => Colour::Rgb,
            (3, _) if bits <= 8 => Colour::Palette(palette(&numbers(Tag::ColorMap, 0)?, bits)?),
            (5, 4..) => Colour::Cmyk,
            (6, 3) if subsampled && !jpeg && numbers(Tag::ChromaSubsampling, 1)?.len() == 2 => {
                return Err("a TIFF with colour at a lower resolution is only read as JPEG".into());
            }
            (6, 3) => Colour::YCbCr,
            (8..=10, _) => return Err("a TIFF in L*a*b* colours is not read".into()),
            _ => return Err("a TIFF in this kind of colour is not read".into()),
        };
        let is_grey = matches!(colour, Colour::Grey { .. });
        let is_read = match (bits, format) {
            (1 | 2 | 4, 1) => samples == 1,
            (8, 1) => true,
            (16, 1) => !matches!(colour, Colour::YCbCr),
            (8, SIGNED) => is_grey,
            (16, SIGNED) | (32, 1 | SIGNED) => is_grey && samples == 1,
            (32, FLOAT) => is_grey && samples == 1 || colour == Colour::Rgb,
            _ => false,
        };
        if !is_read {
            let kind = if format == FLOAT { "floating-point" } else { "integer" };
            let colours = if is_grey { "" } else { " in this kind of colour" };
            return Err(format!("a TIFF with {bits}-bit {kind} samples{colours} is not read"));
        }
        let multiplied = match colour {
            Colour::Grey { .. } => samples > 1,
            Colour::Rgb => samples > 3 && bits <= 16,
            _ => false,
        } && numbers(Tag::ExtraSamples, 0)?[0] == 1;
        let planar = numbers(Tag::PlanarConfiguration, 1)?[0] == 2;
        let orientation = numbers(Tag::Orientation, 1).map_or(1, |n| n[0].min(255) as u8);
        Ok(Self {
            width,
            height,
            samples: usize::from(samples),
            bits,
            planar,
            colour,
            multiplied,
            orientation: Orientation::from_exif(orientation).unwrap_or(Orientation::NoTransforms),
        })
    }

    fn rgb(&self, samples: DecodingResult) -> Result<Vec<u8>, String> {
        use DecodingResult::{F32, I8, I16, I32, U8, U16, U32};
        // Pillow limits values to a byte if it cannot show them.
        let limited = |v: i32| v.clamp(0, 255) as u8;
        let bytes = match samples {
            U16(values) => return self.interpret(&values, 65_535),
            U8(values) if self.bits < 8 => self.unpack(&values),
            // As it is.
            U8(values) if self.colour == Colour::Rgb && self.samples == 3 && !self.planar => {
                return Ok(values);
            }
            U8(values) => values,
            I8(values) => values.into_iter().map(|v| v as u8).collect(),
            I16(values) => values.into_iter().map(|v| limited(v.into())).collect(),
            I32(values) => values.into_iter().map(limited).collect(),
            // Pillow reads them as signed.
            U32(values) => values.into_iter().map(|v| limited(v as i32)).collect(),
            F32(values) if self.colour == Colour::Rgb => {
                values.into_iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8).collect()
            }
            // The conversion cuts the fraction off and clamps.
            F32(values) => values.into_iter().map(|v| v as u8).collect(),
            _ => return Err(DAMAGED.into()),
        };
        self.interpret(&bytes, 255)
    }

    /// One byte for each sample. Grey is scaled to the whole range.
    fn unpack(&self, values: &[u8]) -> Vec<u8> {
        let (bits, width) = (usize::from(self.bits), self.width as usize);
        let max = (1u8 << bits) - 1;
        let scale = if matches!(self.colour, Colour::Palette(_)) { 1 } else { 255 / max };
        let rows = values.chunks_exact((width * bits).div_ceil(8));
        rows.flat_map(|row| {
            (0..width).map(move |x| {
                let shift = 8 - bits - x * bits % 8;
                (row[x * bits / 8] >> shift & max) * scale
            })
        })
        .collect()
    }

    /// `max`: the highest possible value.
    fn interpret<T: Copy + Into<u32>>(&self, values: &[T], max: u32) -> Result<Vec<u8>, String> {
        let pixels = self.width as usize * self.height as usize;
        if values.len() < pixels * self.samples {
            return Err("the file is cut off".into());
        }
        let byte = |v: u32| if max == 255 { v as u8 } else { ((v + 128) / 257) as u8 };
        let mut rgb = Vec::with_capacity(3 * pixels);
        for pixel in 0..pixels {
            let at = |sample: usize| -> u32 {
                let (first, step) =
                    if self.planar { (pixel, pixels) } else { (pixel * self.samples, 1) };
                values[first + sample * step].into()
            };
            // Divides by the transparency to get the colour back.
            let divided = |sample: usize, alpha: usize| match at(alpha) {
                alpha if self.multiplied && alpha != 0 => (at(sample) * max / alpha).min(max),
                alpha if self.multiplied && alpha == 0 => 0,
                _ => at(sample),
            };
            rgb.extend(match &self.colour {
                Colour::Grey { inverted } => {
                    let v = divided(0, self.samples - 1);
                    [byte(if *inverted { max - v } else { v }); 3]
                }
                Colour::Rgb => {
                    [0, 1, 2].map(|sample| byte(divided(sample, 3.min(self.samples - 1))))
                }
                Colour::Palette(palette) => {
                    palette.get(at(0) as usize).copied().unwrap_or_default()
                }
                Colour::Cmyk => {
                    let light = max - at(3);
                    [0, 1, 2].map(|ink| byte(light - (at(ink) * light + max / 2) / max))
                }
                Colour::YCbCr => {
                    let [y, cb, cr] = [at(0) as f32, at(1) as f32 - 128.0, at(2) as f32 - 128.0];
                    // JPEG (JFIF) and the tags' defaults agree.
                    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb]
                        .map(|v| v.round() as u8)
                }
            });
        }
        Ok(rgb)
    }
}

/// All reds, then all greens, then all blues, of 16 bits; Pillow drops the low byte.
fn palette(values: &[u16], bits: u16) -> Result<Vec<[u8; 3]>, String> {
    let colours = values.len() / 3;
    if colours == 0 || colours > 1 << bits {
        return Err("the palette of the TIFF file is damaged".into());
    }
    let byte = |at: usize| (values[at] >> 8) as u8;
    Ok((0..colours).map(|i| [i, i + colours, i + 2 * colours].map(byte)).collect())
}

/// The file with every sample as it is stored, the highest bit of each byte first.
fn with_plain_samples(
    decoder: &mut Decoder<Cursor<&[u8]>>,
    bytes: &[u8],
) -> Result<Vec<u8>, String> {
    use CompressionMethod::{Deflate, LZW, OldDeflate};
    const LOW_BIT_FIRST: u16 = 2;
    let mut plain = bytes.to_vec();
    if decoder.find_tag_unsigned(Tag::FillOrder).map_err(reason)? == Some(LOW_BIT_FIRST) {
        let mut places = |tag| decoder.find_tag_unsigned_vec::<u64>(tag).map_err(reason);
        let starts = [places(Tag::StripOffsets)?, places(Tag::TileOffsets)?];
        let lengths = [places(Tag::StripByteCounts)?, places(Tag::TileByteCounts)?];
        let [starts, lengths] = [starts, lengths].map(|all| all.into_iter().flatten().flatten());
        // Otherwise overlapping pieces could be many times the size of the file.
        let mut left = plain.len() as u64;
        for (start, length) in starts.zip(lengths) {
            left = left.checked_sub(length).ok_or(DAMAGED)?;
            let end = start.checked_add(length).ok_or(DAMAGED)? as usize;
            let piece = plain.get_mut(start as usize..end).ok_or("the file is cut off")?;
            piece.iter_mut().for_each(|byte| *byte = byte.reverse_bits());
        }
    }
    set_to_one(decoder, &mut plain, Tag::PhotometricInterpretation)?;
    let method = decoder.find_tag_unsigned(Tag::Compression).map_err(reason)?;
    let method = CompressionMethod::from_u16_exhaustive(method.unwrap_or(1));
    if !matches!(method, LZW | Deflate | OldDeflate) {
        // Other methods use no prediction, whatever the file says.
        set_to_one(decoder, &mut plain, Tag::Predictor)?;
    }
    Ok(plain)
}

/// Changes a tag that is a single number, if it is there.
fn set_to_one(
    decoder: &mut Decoder<Cursor<&[u8]>>,
    file: &mut [u8],
    tag: Tag,
) -> Result<(), String> {
    let order = decoder.byte_order();
    let short = |v: u16| match order {
        ByteOrder::LittleEndian => v.to_le_bytes(),
        ByteOrder::BigEndian => v.to_be_bytes(),
    };
    let is_big = file.starts_with(b"II\x2b") || file.starts_with(b"MM\0\x2b");
    let (count, entry, value) = if is_big { (8, 20, 12) } else { (2, 12, 8) };
    let start = decoder.ifd_pointer().ok_or(DAMAGED)?.0 as usize;
    let entries = file.get_mut(start.saturating_add(count)..).ok_or(DAMAGED)?;
    let number = short(tag.to_u16());
    if let Some(entry) = entries.chunks_exact_mut(entry).find(|e| e.starts_with(&number)) {
        // A number of 16 bits stands at the beginning of its field.
        entry[2..4].copy_from_slice(&short(3));
        entry[value..].fill(0);
        entry[value..value + 2].copy_from_slice(&short(1));
    }
    Ok(())
}

/// The decoder's error in plain words.
fn reason(error: TiffError) -> String {
    match error {
        TiffError::IoError(e) if e.kind() == ErrorKind::UnexpectedEof => "the file is cut off",
        TiffError::UnsupportedError(TiffUnsupportedError::UnsupportedCompressionMethod(method)) => {
            let name = match method {
                CompressionMethod::Huffman | CompressionMethod::Fax3 => "as a fax of Group 3",
                CompressionMethod::JPEG => "as JPEG in the old way",
                CompressionMethod::ZSTD => "by Zstandard",
                _ => "in this way",
            };
            return format!("a TIFF that is compressed {name} is not read");
        }
        TiffError::UnsupportedError(_) => "a TIFF of this kind is not read",
        TiffError::LimitsExceeded => "the TIFF file is beyond the limits on size",
        _ => DAMAGED,
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The fixture with another number for a tag.
    fn with_tag(fixture: &str, tag: Tag, number: u16) -> Vec<u8> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut bytes = std::fs::read(folder.join(fixture)).unwrap();
        let entry = [&tag.to_u16().to_le_bytes()[..], &[3, 0]].concat();
        let at = bytes.windows(4).position(|w| w == entry).unwrap();
        bytes[at + 8..at + 10].copy_from_slice(&number.to_le_bytes());
        bytes
    }

    #[test]
    fn what_is_not_read_is_said_in_plain_words() {
        for (fixture, tag, number, words) in [
            ("grey.tif", Tag::BitsPerSample, 12, "a TIFF with 12-bit integer samples is not read"),
            ("float.tif", Tag::BitsPerSample, 64, "a TIFF with 64-bit floating-point samples"),
            ("rgb-raw.tif", Tag::Compression, 50_000, "compressed by Zstandard is not read"),
            ("rgb-raw.tif", Tag::Compression, 3, "compressed as a fax of Group 3 is not read"),
            ("rgb-raw.tif", Tag::PhotometricInterpretation, 8, "in L*a*b* colours is not read"),
            ("grey.tif", Tag::PhotometricInterpretation, 2, "in this kind of colour is not read"),
            ("ycbcr.tif", Tag::ChromaSubsampling, 2, "colour at a lower resolution"),
            ("float.tif", Tag::ImageWidth, 40_000, "beyond the limit"),
        ] {
            let said = decode(&with_tag(fixture, tag, number)).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
    }

    #[test]
    fn a_palette_may_be_shorter_than_the_values_allow() {
        assert_eq!(palette(&[0x1234, 0xFF00, 0x80FF], 8), Ok(vec![[0x12, 0xFF, 0x80]]));
        assert!(palette(&[1, 2], 8).is_err());
        assert!(palette(&[0; 9], 1).is_err());
    }
}

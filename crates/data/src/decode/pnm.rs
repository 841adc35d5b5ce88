//! The pixels of PBM, PGM and PPM files, scaled exactly as Pillow scales them.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use image::codecs::pnm::PnmDecoder;
use image::{ColorType, DynamicImage, ImageDecoder, RgbImage};

use super::{check_size, reason};

/// Decodes a file of any of the six kinds, plain (in text) or raw.
pub(super) fn decode(bytes: &[u8]) -> Result<DynamicImage, String> {
    let (kind, bytes) = match bytes {
        [b'P', b'1'..=b'3', ..] => (&bytes[..2], without_comments(bytes)),
        [b'P', b'4'..=b'6', ..] => (&bytes[..2], Cow::Borrowed(bytes)),
        _ => return Err("a PAM file is not read".into()),
    };
    let decoder = PnmDecoder::new(Cursor::new(&*bytes)).map_err(reason)?;
    let (width, height) = decoder.dimensions();
    check_size(width, height, decoder.total_bytes())?;
    // A bit is the least that a pixel takes.
    if u64::from(width) * u64::from(height) > 8 * bytes.len() as u64 {
        return Err("the file is cut off".into());
    }
    if matches!(kind[1], b'1' | b'4') {
        return DynamicImage::from_decoder(decoder).map_err(reason);
    }
    // The decoder would scale in two steps, with two roundings. The header tells it that the values
    // need no scaling.
    let max = decoder.header().maximal_sample();
    let full = match max {
        1..=0xFF => 0xFF,
        0x100..=0xFFFF => 0xFFFF,
        _ => return Err(format!("{max} is not a possible highest value of a PNM file")),
    };
    let (pixels, _) = decoder.into_inner();
    let header = format!("P{} {width} {height} {full}\n", char::from(kind[1]));
    let decoder = PnmDecoder::new(header.as_bytes().chain(pixels)).map_err(reason)?;
    let is_grey = matches!(decoder.color_type(), ColorType::L8 | ColorType::L16);
    let mut values = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut values).map_err(reason)?;
    // In this order and rounded to even, as Python does it.
    let scaled: Vec<u8> = (0..=full)
        .map(|v| (f64::from(v) / f64::from(max) * 255.0).round_ties_even() as u8)
        .collect();
    let values: Vec<u8> = if full == 0xFF {
        values.iter().map(|v| scaled[usize::from(*v)]).collect()
    } else {
        let deep = values.as_chunks::<2>().0.iter().copied().map(u16::from_ne_bytes);
        deep.map(|v| scaled[usize::from(v)]).collect()
    };
    let values = if is_grey { values.into_iter().flat_map(|v| [v; 3]).collect() } else { values };
    let image = RgbImage::from_raw(width, height, values).ok_or("the PNM file is damaged")?;
    Ok(image.into())
}

/// The decoder accepts comments in the header only. They end with their line.
fn without_comments(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'#') {
        return Cow::Borrowed(bytes);
    }
    let mut inside = false;
    let kept = bytes.iter().copied().filter(|byte| {
        inside = (inside || *byte == b'#') && !matches!(byte, b'\r' | b'\n');
        !inside
    });
    Cow::Owned(kept.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_ends_with_its_line() {
        assert_eq!(*without_comments(b"P2#a\n1 # b#\r2\n#"), *b"P2\n1 \r2\n");
        assert_eq!(*without_comments(b"P2 1"), *b"P2 1");
    }

    #[test]
    fn values_beyond_the_highest_are_the_highest() {
        let image = decode(b"P5 2 1 100\n\xff\x32").unwrap().into_rgb8();
        assert_eq!(image.as_raw(), &[255, 255, 255, 128, 128, 128]);
    }

    #[test]
    fn what_a_header_promises_is_not_believed() {
        for header in ["P6 30000 5900 255\n", "P1 13000 13000 ", "P3 30000 5900 65535 ", "P4 9 9\n"]
        {
            assert_eq!(decode(header.as_bytes()).unwrap_err(), "the file is cut off");
        }
        for header in ["P6 40000 1 255\n", "P5 30000 30000 255\n", "P5 99999999999 1 255\n"] {
            decode(header.as_bytes()).unwrap_err();
        }
        for bytes in [&b"P5 1 1 0\n\0"[..], b"P5 1 1 65536\n\0\0", b"P7\nWIDTH 1\n", b"P6", b"P9"] {
            decode(bytes).unwrap_err();
        }
    }
}

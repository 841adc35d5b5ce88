//! What the JPEG decoder does not look after itself.

use std::borrow::Cow;

use memchr::memchr;

/// Walks through the segments of a JPEG file up to its end, which must be there, and puts right
/// how the components are said to be transformed.
///
/// A cut file would otherwise be filled up with grey: the decoder has to be lenient, since its
/// strict mode refuses files with harmless bytes between segments, which cameras write. Pillow
/// refuses files without an end marker as well.
///
/// # Errors
/// What is missing.
pub(super) fn prepare(bytes: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    const CUT: &str = "the JPEG file is cut off";
    let (mut at, mut components, mut transform_at) = (0, 0, None);
    loop {
        // In a scan, this skips the compressed data.
        at += memchr(0xFF, &bytes[at..]).ok_or(CUT)?;
        at += bytes[at..].iter().position(|b| *b != 0xFF).ok_or(CUT)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            END_OF_IMAGE => break,
            // A byte FF of compressed data, and markers that stand alone.
            0x00 | 0x01 | 0xD0..=0xD8 => continue,
            _ => {}
        }
        let [high, low] = *bytes.get(at..at + 2).ok_or(CUT)? else { return Err(CUT) };
        let content = at + 2..at + usize::from(u16::from_be_bytes([high, low])).max(2);
        let segment = bytes.get(content.clone()).ok_or(CUT)?;
        match marker {
            0xC0..=0xCF if !matches!(marker, 0xC4 | 0xC8 | 0xCC) => {
                match (marker, segment.first()) {
                    (0xC9.., _) => return Err("a JPEG with arithmetic coding is not read"),
                    (0xC3.., _) => return Err("a lossless or hierarchical JPEG is not read"),
                    (_, Some(8)) => {}
                    _ => return Err("a JPEG with other than 8 bits is not read"),
                }
                components = *segment.get(5).ok_or(CUT)?;
            }
            APP14 if segment.starts_with(b"Adobe") && segment.len() >= 12 => {
                transform_at = Some(content.start + 11);
            }
            _ => {}
        }
        at = content.end;
    }
    let Some(transform_at) = transform_at else { return Ok(Cow::Borrowed(bytes)) };
    // Any transform means YCbCr or YCCK, by the number of components, to libjpeg. The decoder
    // refuses numbers that Adobe has not defined and takes YCbCr with a fourth component for CMYK.
    let transform = match (bytes[transform_at], components) {
        (0, _) => 0,
        (_, 4) => 2,
        _ => 1,
    };
    if bytes[transform_at] == transform {
        return Ok(Cow::Borrowed(bytes));
    }
    let mut bytes = bytes.to_vec();
    bytes[transform_at] = transform;
    Ok(Cow::Owned(bytes))
}

const END_OF_IMAGE: u8 = 0xD9;
const APP14: u8 = 0xEE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_that_are_not_read_are_named() {
        let frame =
            |marker, bits| [0xFF, 0xD8, 0xFF, marker, 0, 8, bits, 0, 1, 0, 1, 1, 0xFF, 0xD9];
        for (marker, bits, words) in [
            (0xC9, 8, "arithmetic"),
            (0xCA, 8, "arithmetic"),
            (0xC3, 8, "lossless"),
            (0xC7, 8, "hierarchical"),
            (0xC1, 12, "8 bits"),
        ] {
            let said = prepare(&frame(marker, bits)).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        assert!((0xC0..=0xC2).all(|marker| prepare(&frame(marker, 8)).is_ok()));
    }
}

//! A picture's kind of file and its size. A page needs no more, since the browser decodes it.

use std::io::Cursor;

/// What the header of a picture's file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picture {
    /// The subtype of its media type: "png", "jpeg".
    pub kind: &'static str,
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
}

impl Picture {
    /// Reads the header of a PNG or a JPEG.
    ///
    /// # Errors
    /// A message about bytes that are neither, or a header that is cut off.
    pub fn of(bytes: &[u8]) -> Result<Self, String> {
        if bytes.starts_with(&[0xff, 0xd8]) {
            let (width, height) =
                jpeg_size(bytes).ok_or("a JPEG file without the size of its picture")?;
            return Ok(Self { kind: "jpeg", width, height });
        }
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        let info = decoder.read_header_info().map_err(|error| error.to_string())?;
        let (width, height) = info.size();
        Ok(Self { kind: "png", width, height })
    }
}

/// Width and height from the frame header (ITU-T T.81, B.2.2), which comes after any number of
/// other segments.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        let segment = bytes.get(at..)?;
        let [0xff, marker, high, low] = *segment.first_chunk()? else { return None };
        // A frame: all of C0 to CF but the tables and extensions in between.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [.., h1, h2, w1, w2] = *segment.first_chunk::<9>()?;
            let side = |high, low| u32::from(u16::from_be_bytes([high, low]));
            return Some((side(w1, w2), side(h1, h2)));
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A JPEG's beginning: an application segment, then the frame of 513 × 258 pixels.
    const JPEG: [u8; 17] = [0xff, 0xd8, 0xff, 0xe0, 0, 4, 7, 7, 0xff, 0xc0, 0, 17, 8, 1, 2, 2, 1];

    #[test]
    fn a_jpeg_says_its_size_and_a_part_of_it_does_not() {
        assert_eq!(Picture::of(&JPEG), Ok(Picture { kind: "jpeg", width: 513, height: 258 }));
        for length in 0..JPEG.len() {
            assert!(Picture::of(&JPEG[..length]).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(mut bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = Picture::of(&bytes);
            bytes.splice(0..0, [0xff, 0xd8, 0xff]);
            let _ = Picture::of(&bytes);
        }
    }
}

//! The header of a PNG file, which TensorBoard wants beside the bytes.

/// Size and number of channels of a PNG file.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) channels: u8,
}

/// Reads the `IHDR` chunk, which comes first (PNG specification, 11.2.2); `None` for anything else.
pub(super) fn header(png: &[u8]) -> Option<Header> {
    let chunk = png.strip_prefix(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR")?;
    let (width, rest) = chunk.split_first_chunk()?;
    let (height, rest) = rest.split_first_chunk()?;
    let &[_bits, color_type, ..] = rest else { return None };
    let channels = match color_type {
        0 => 1,
        2 | 3 => 3,
        4 => 2,
        6 => 4,
        _ => return None,
    };
    let (width, height) = (u32::from_be_bytes(*width), u32::from_be_bytes(*height));
    let sizes = 1..=i32::MAX as u32;
    (sizes.contains(&width) && sizes.contains(&height)).then_some(Header {
        width,
        height,
        channels,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PNG: &[u8] = include_bytes!("../../tests/tensorboard/image.png");

    #[test]
    fn the_header_is_read() {
        assert_eq!(header(PNG), Some(Header { width: 4, height: 3, channels: 3 }));
        for length in 0..26 {
            assert_eq!(header(&PNG[..length]), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(changes in prop::collection::vec((0..PNG.len(), any::<u8>()), 1..4)) {
            let mut png = PNG.to_vec();
            for (place, byte) in changes {
                png[place] = byte;
            }
            if let Some(header) = header(&png) {
                prop_assert!(header.width > 0 && header.height > 0);
            }
        }
    }
}

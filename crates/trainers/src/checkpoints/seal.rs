//! A checksum of a whole file, inside the file.
//!
//! The file is first written with zeros in place of the checksum. It is hashed, and the checksum
//! replaces the zeros. Every byte is covered, the header included.

use sha2::{Digest, Sha256};

/// The place of the checksum: as many zeros as a SHA-256 has hexadecimal digits.
pub const PLACE: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Replaces the first [`PLACE`] in `bytes` by their checksum; `false` if there is none.
pub fn seal(bytes: &mut [u8]) -> bool {
    let Some(at) = find(bytes, PLACE.as_bytes()) else { return false };
    let sum = hex(bytes);
    bytes[at..at + PLACE.len()].copy_from_slice(sum.as_bytes());
    true
}

/// Whether `bytes` are unchanged since they were sealed with `sum`.
pub fn intact(mut bytes: Vec<u8>, sum: &str) -> bool {
    if sum.len() != PLACE.len() {
        return false;
    }
    let Some(at) = find(&bytes, sum.as_bytes()) else { return false };
    bytes[at..at + PLACE.len()].copy_from_slice(PLACE.as_bytes());
    hex(&bytes) == sum
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_is_seen() {
        let mut bytes = format!("{{\"sha256\":\"{PLACE}\"}} and the rest").into_bytes();
        assert!(seal(&mut bytes));
        let sum = String::from_utf8(bytes[11..75].to_vec()).unwrap();
        assert!(intact(bytes.clone(), &sum));
        for bit in 0..8 * bytes.len() {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // A reader finds the sum in the file itself.
            let found = String::from_utf8_lossy(&damaged[11..75]).into_owned();
            assert!(!intact(damaged, &found), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(!intact(bytes[..len].to_vec(), &sum), "{len} bytes");
        }
        assert!(!seal(&mut b"no place".to_vec()));
    }
}

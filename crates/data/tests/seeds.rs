//! Every seed of the fuzz targets, whole, cut and with flipped bits, without a fuzzer.

use std::path::Path;

use selfsame_data::fuzzing::TARGETS;

/// Of each seed.
const CUTS: usize = 64;
const FLIPS: usize = 1024;

/// Parsers accept the seeds that are named `good…`, refuse the others, and survive all variants.
#[test]
fn seeds_and_their_variants_are_read_or_refused() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, parse) in TARGETS {
        let mut good = 0;
        for entry in std::fs::read_dir(seeds.join(name)).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let expected = path.file_stem().unwrap().to_string_lossy().starts_with("good");
            assert_eq!(parse(&bytes), expected, "{}", path.display());
            good += usize::from(expected);
            let step = bytes.len().div_ceil(CUTS).max(1);
            for end in (0..bytes.len()).step_by(step) {
                parse(&bytes[..end]);
            }
            let mut flipped = bytes.clone();
            let bits = 8 * bytes.len();
            // An odd step meets every bit of a byte in turn.
            for bit in (0..bits).step_by((bits / FLIPS) | 1) {
                flipped[bit / 8] ^= 1 << (bit % 8);
                parse(&flipped);
                flipped[bit / 8] ^= 1 << (bit % 8);
            }
        }
        assert!(good > 0, "{name} has no good seed");
    }
}

//! Images are decoded or refused, whatever the bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    selfsame_data::fuzzing::image(bytes);
});

//! Weight files and checkpoints are read or refused, whatever the bytes.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use selfsame_models::weights::contents;
use selfsame_trainers::Checkpoint;

fuzz_target!(|bytes: &[u8]| {
    // Without the checksum, which no mutation gets past.
    let _ = contents(bytes);
    if let Ok(checkpoint) = Checkpoint::parse(bytes.to_vec(), Path::new("input")) {
        checkpoint.weights("online.encoder.");
    }
});

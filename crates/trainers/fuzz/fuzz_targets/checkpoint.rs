//! Weight files and checkpoints are read or refused, whatever the bytes, and what is read fits a
//! module or does not.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use burn::tensor::Device;
use libfuzzer_sys::fuzz_target;
use selfsame_models::init::WeightInit;
use selfsame_models::weights::{contents, load_state_dict};
use selfsame_models::{Mlp, MlpConfig};
use selfsame_trainers::Checkpoint;
use sha2::{Digest, Sha256};

/// A whole model would make a case slow and reach nothing more.
static PREDICTOR: LazyLock<Mlp> = LazyLock::new(|| {
    let mut init = WeightInit::new(0, 0, &Device::flex());
    MlpConfig::byol(3, 4, 2).init(&mut init).expect("a valid head")
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(read) = contents(bytes) {
        let _ = load_state_dict(PREDICTOR.clone(), &read.arrays);
    }
    if let Ok(checkpoint) = Checkpoint::parse(sealed(bytes), Path::new("input")) {
        let _ = load_state_dict(PREDICTOR.clone(), &checkpoint.weights("predictor."));
    }
});

/// With the checksum where zeros keep its place; no mutation would get past it otherwise.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    const PLACE: [u8; 64] = [b'0'; 64];
    let mut bytes = bytes.to_vec();
    if let Some(at) = bytes.windows(PLACE.len()).position(|window| window == PLACE) {
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        bytes[at..at + PLACE.len()].copy_from_slice(sum.as_bytes());
    }
    bytes
}

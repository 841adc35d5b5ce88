//! The parsers of outside input as functions of bytes, for `crates/data/fuzz` and `tests/seeds.rs`.
//! Not part of the interface.

use std::io::Cursor;
use std::path::Path;

use crate::{Manifest, cifar, idx as idx_files, stl10 as stl, svhn, tiny_imagenet as tiny};

/// Whether these bytes are accepted.
pub type Parser = fn(&[u8]) -> bool;

/// All parsers by name.
pub const TARGETS: [(&str, Parser); 7] = [
    ("cifar", cifar),
    ("idx", idx),
    ("manifest", manifest),
    ("mat5", mat5),
    ("stl10", stl10),
    ("tiny_imagenet", tiny_imagenet),
    ("web_dataset", web_dataset),
];

fn path() -> &'static Path {
    Path::new("input")
}

/// Records of both versions of CIFAR.
pub fn cifar(bytes: &[u8]) -> bool {
    [(1, 10), (2, 100)].into_iter().any(|(label_bytes, classes)| {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        cifar::parse(bytes, label_bytes, classes, path(), &mut images, &mut labels).is_ok()
    })
}

/// An IDX file of images or of labels.
pub fn idx(bytes: &[u8]) -> bool {
    let labels = idx_files::read_labels(&mut &*bytes, path()).is_ok();
    idx_files::read_images(&mut &*bytes, path()).is_ok() || labels
}

/// A manifest of the data sets' folder.
pub fn manifest(bytes: &[u8]) -> bool {
    toml::from_str::<Manifest>(&String::from_utf8_lossy(bytes)).is_ok()
}

/// A MATLAB file with SVHN's variables.
pub fn mat5(bytes: &[u8]) -> bool {
    svhn::parse(&mut &*bytes, path()).is_ok()
}

/// The length of a pixel file, which is all the header that there is, and a file of labels.
pub fn stl10(bytes: &[u8]) -> bool {
    let Some((length, labels)) = bytes.split_first_chunk() else { return false };
    let images = stl::image_count(u64::from_le_bytes(*length), path());
    stl::parse_labels(labels, path()).is_ok() && images.is_ok()
}

/// Tiny ImageNet's annotations, and its words.
pub fn tiny_imagenet(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    tiny::parse_words(&text);
    tiny::parse_annotations(&text, path()).is_ok()
}

/// The index of a shard.
///
/// # Panics
/// An index that points out of the shard.
pub fn web_dataset(bytes: &[u8]) -> bool {
    let mut samples = Vec::new();
    let length = bytes.len() as u64;
    let result = crate::web_dataset::index(Cursor::new(bytes), length, 0, &mut samples);
    assert!(samples.iter().all(|sample| sample.end() <= length));
    result.is_ok()
}

//! The parsers of outside input as functions of bytes, for `crates/data/fuzz` and `tests/seeds.rs`.
//! They are not part of the interface.

use std::io::Cursor;
use std::path::{Component, Path};

use crate::Manifest;
use crate::decode::decode_bytes;
use crate::formats::{
    cifar, idx as idx_files, stl10 as stl, svhn, tiny_imagenet as tiny, web_dataset,
};
use crate::loading::packed::{HEADER, entries, index_start};

/// Whether these bytes are accepted.
pub type Parser = fn(&[u8]) -> bool;

/// All parsers by name.
pub const TARGETS: [(&str, Parser); 10] = [
    ("cifar", cifar),
    ("idx", idx),
    ("image", image),
    ("manifest", manifest),
    ("mat5", mat5),
    ("pack", pack),
    ("stl10", stl10),
    ("sums", sums),
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

/// An image in any format: what is checked before a decoder sees it, and the decoder.
///
/// # Panics
/// An image without pixels.
pub fn image(bytes: &[u8]) -> bool {
    let image = decode_bytes(path(), bytes);
    assert!(image.as_ref().is_ok_and(|image| !image.as_raw().is_empty()) || image.is_err());
    image.is_ok()
}

/// A manifest of the data sets' folder.
pub fn manifest(bytes: &[u8]) -> bool {
    toml::from_str::<Manifest>(&String::from_utf8_lossy(bytes)).is_ok()
}

/// A MATLAB file with SVHN's variables.
pub fn mat5(bytes: &[u8]) -> bool {
    svhn::parse(&mut &*bytes, path()).is_ok()
}

/// Header and index of a pack, whatever its key.
///
/// # Panics
/// An entry that points out of the pack.
pub fn pack(bytes: &[u8]) -> bool {
    let Some((header, _)) = bytes.split_first_chunk::<HEADER>() else { return false };
    let count = u64::from_le_bytes(*header[16..].first_chunk().expect("within the header"));
    let Ok(count) = usize::try_from(count) else { return false };
    let Ok(start) = index_start(header, bytes.len() as u64, &header[32..], count) else {
        return false;
    };
    let Ok(entries) = entries(header, &bytes[start as usize..], start) else { return false };
    assert!(entries.iter().all(|entry| entry.end().is_some_and(|end| end <= start)));
    true
}

/// A file of labels, and the length of a pixel file, which has no header.
pub fn stl10(bytes: &[u8]) -> bool {
    let Some((length, labels)) = bytes.split_first_chunk() else { return false };
    let images = stl::image_count(u64::from_le_bytes(*length), path());
    stl::parse_labels(labels, path()).is_ok() && images.is_ok()
}

/// A `SHA256SUMS`.
///
/// # Panics
/// A path that leads out of its folder.
pub fn sums(bytes: &[u8]) -> bool {
    let Ok(sums) = crate::files::checksums::parse(bytes, path()) else { return false };
    let inside = |path: &Path| path.components().all(|c| matches!(c, Component::Normal(_)));
    assert!(sums.iter().all(|(path, _)| inside(path)));
    true
}

/// Tiny ImageNet's annotations, and its words.
pub fn tiny_imagenet(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    tiny::parse_words(&text);
    tiny::parse_annotations(&text, path()).is_ok()
}

/// The index of a shard, compressed or not.
///
/// # Panics
/// An index that points out of the shard.
pub fn web_dataset(bytes: &[u8]) -> bool {
    /// Enough for the seeds.
    const MOST_UNPACKED: u64 = 1 << 20;
    let unpacked = web_dataset::unpacked_in_memory(bytes, MOST_UNPACKED);
    let (mut samples, mut findings) = (Vec::new(), web_dataset::Findings::default());
    let length = unpacked.len() as u64;
    let place = web_dataset::ShardPlace { path: path(), number: 0, base: 0, length };
    let mut labels = crate::formats::raw_labels::RawLabels::default();
    let result =
        web_dataset::index(Cursor::new(&unpacked), place, &mut labels, &mut samples, &mut findings);
    assert!(samples.iter().all(|sample| sample.start() < sample.end() && sample.end() <= length));
    result.is_ok() && findings.skipped.is_empty()
}

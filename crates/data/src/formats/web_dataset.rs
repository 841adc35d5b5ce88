//! WebDataset: shards in tar format (Aizman, Maltby & Breuel, 2019, arXiv:2001.01858).

mod compressed;
mod names;
mod samples;
mod tar_entries;

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use image::RgbImage;

pub(crate) use self::compressed::unpacked_in_memory;
use self::compressed::{Forwards, Packing, Room, most_unpacked};
use self::names::place_in;
pub(crate) use self::samples::{Findings, Sample, ShardPlace, index};
use self::samples::{PassedBy, UNLABELLED};
use self::tar_entries::name_in;
use super::raw_labels::RawLabels;
use super::shards::{open_shards, shards};
use crate::decode::decode_bytes;
use crate::files::positioned::PositionedFile;
use crate::files::text::read_list;
use crate::sets::dataset::out_of_range;
use crate::sets::image_set::{ImageStore, Opening};
use crate::{DataError, FileFormat, Layout, Skipped, Splits};

/// The suffixes of shards. Their first bytes tell how they are compressed.
pub(crate) const SUFFIXES: [&str; 12] = [
    ".tar",
    ".tar.gz",
    ".tgz",
    ".tar.zst",
    ".tar.zstd",
    ".tzst",
    ".tar.bz2",
    ".tbz2",
    ".tbz",
    ".tar.xz",
    ".txz",
    ".tar.lz4",
];
/// Files with a class name in each line, in the order of the labels.
const NAMES_FILES: [&str; 2] = ["classnames.txt", "classes.txt"];

/// Opens a folder with `.tar` shards, also in its sub-folders, or a single shard. A word of a
/// shard's path says whether it is trained on (`train`, or none) or tested on (`test`, `val`, `dev`
/// and the like). Symbolic links are followed, and no shard is used twice.
///
/// A sample is an image and its label, in any order within a shard. The image ends in `jpg`, `png`,
/// `webp` or another extension of [`open_image_folder`](crate::open_image_folder), in any case. Its
/// label, a whole number or a word, is in the `.cls` entry of the same name. Else it is in the one
/// with the same key: WebDataset's key is the name up to the first dot after the last slash. A
/// negative number stands for no label. In a shard without `.cls` entries, labels come from
/// `label`, `cls` or `class` in `.json` entries. `classnames.txt` or `classes.txt` in the folder
/// name the classes.
///
/// `0.depth.png` is not used beside `0.jpg`, unless it has a label of its own. Of several images
/// with one name the first is used. Images passed over are counted in [`Layout::passed_over`].
///
/// Only headers and labels are read on opening. The index takes 24 bytes a sample, and some 100
/// bytes an entry while a shard is read. Names and images are read when they are needed. A shard
/// that is compressed with gzip or Zstandard, whatever its name, is unpacked on opening into a
/// temporary file without a name (in `$TMPDIR`, else `/tmp`). The file holds all such shards, each
/// with at most 1 GiB and 20 times its compressed size.
///
/// An image that cannot be used is listed in [`Splits::skipped`] as `SHARD.tar/KEY.EXTENSION`. So
/// is a label that cannot be read, an image beyond 512 MiB, and a name beyond 64 KiB. A shard that
/// is damaged or truncated is used up to the damage. One that cannot be opened, or that is
/// compressed in another way, is left out. Both are listed. Without a test split, every tenth
/// labelled image of each class is held out.
///
/// # Errors
/// No sample to train on, a folder that cannot be read, or no room for unpacked shards.
pub fn open_web_dataset(
    name: &str,
    folder: &Path,
    opening: impl Into<Opening>,
) -> Result<Splits, DataError> {
    let Opening { links, reading } = opening.into();
    let layout = Layout {
        root: folder.to_owned(),
        format: Some(FileFormat::WebDataset),
        unlabelled: "no image in the shards has a .cls entry with its label; \
                     add KEY.cls with the class number or name beside each image"
            .into(),
        ..Layout::default()
    };
    let names = |_: &WebDataset| class_names(folder);
    let findings = RefCell::new(Findings::default());
    let shards = shards(folder, &SUFFIXES, links)?;
    let mut splits =
        open_shards(name, &shards, names, layout, reading, |paths, labels, skipped| {
            let mut findings = findings.borrow_mut();
            let store = WebDataset::open(paths, labels, &mut findings)?;
            skipped.append(&mut findings.skipped);
            Ok(store)
        })?;
    let Findings { seconds, parts, by_cls, by_json, .. } = findings.into_inner();
    splits.layout.labels = match (by_cls, by_json) {
        (0, 0) => String::new(),
        (_, 0) => "the .cls entries of the shards".into(),
        (0, _) => "the .json entries of the shards".into(),
        _ => "the .cls entries of the shards, and .json entries where there are none".into(),
    };
    pass_over(&mut splits.layout, seconds, "one before each in its shard has the same name");
    pass_over(&mut splits.layout, parts, "each stands beside another image of its sample");
    Ok(splits)
}

fn pass_over(layout: &mut Layout, passed: PassedBy, why: &str) {
    if let Some(first) = passed.first {
        layout.pass_over(
            "shards",
            passed.images,
            format!("{why}; the first is {}", first.display()),
        );
    }
}

/// The samples of a split.
struct WebDataset {
    /// The paths of the shards. A shard is opened for each image: a process may hold about a
    /// thousand files, and large data sets have more shards.
    shards: Vec<Shard>,
    /// The contents of all compressed shards, one after another.
    unpacked: Option<PositionedFile>,
    samples: Vec<Sample>,
}

struct Shard {
    path: PathBuf,
    /// Whether the shard's samples lie in the unpacked file.
    compressed: bool,
}

impl WebDataset {
    /// # Errors
    /// No room for unpacked shards. Damage of a shard goes to `findings`.
    fn open(
        paths: &[PathBuf],
        labels: &mut RawLabels,
        findings: &mut Findings,
    ) -> Result<Self, DataError> {
        let (mut shards, mut samples) = (Vec::with_capacity(paths.len()), Vec::new());
        let mut room = Room::default();
        for (number, path) in (0..).zip(paths) {
            let mut compressed = false;
            let damage = match open_shard(path) {
                Ok((file, length, Packing::Plain)) => {
                    let place = ShardPlace { path, number, base: 0, length };
                    index(file, place, labels, &mut samples, findings).err()
                }
                Ok((file, length, packing)) => {
                    compressed = true;
                    let unpacked = room.unpack(path, file, length, packing)?;
                    let place =
                        ShardPlace { path, number, base: unpacked.base, length: unpacked.length };
                    let damage = index(unpacked.file, place, labels, &mut samples, findings).err();
                    unpacked.damage.or(damage)
                }
                Err(reason) => Some(reason),
            };
            shards.push(Shard { path: path.clone(), compressed });
            findings.skipped.extend(damage.map(|reason| Skipped { path: path.clone(), reason }));
        }
        samples.shrink_to_fit();
        Ok(Self { shards, unpacked: room.into_file()?, samples })
    }

    /// The bytes of the file of a sample from `start` to `end`.
    fn read(&self, sample: &Sample, start: u64, end: u64) -> Result<Vec<u8>, DataError> {
        let shard = &self.shards[sample.shard as usize];
        match &self.unpacked {
            Some(unpacked) if shard.compressed => unpacked.read(start, end - start),
            _ => PositionedFile::open(&shard.path)?.read(start, end - start),
        }
    }
}

/// Opens a shard, with its length and its packing.
///
/// # Errors
/// Why it cannot be read, in words.
fn open_shard(path: &Path) -> Result<(File, u64, Packing), String> {
    // Checked before opening: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|e| format!("cannot read it: {e}"))?;
    if !metadata.is_file() {
        return Err("not a regular file".into());
    }
    let mut file = File::open(path).map_err(|e| format!("cannot open it: {e}"))?;
    let packing = Packing::peek(&mut BufReader::with_capacity(16, &file));
    let packing = packing.and_then(|packing| file.rewind().map(|()| packing));
    let packing = packing.map_err(|e| format!("cannot read it: {e}"))?;
    match (metadata.len(), packing) {
        (0, _) => Err("the file is empty".into()),
        (_, Packing::Unread(kind, command)) => {
            Err(format!("compressed with {kind}, which is not read; unpack it with {command}"))
        }
        (length, packing) => Ok((file, length, packing)),
    }
}

/// How many images these shards have. Reads headers only, and stops at `enough`. A damaged shard
/// counts up to its damage.
pub(crate) fn count_images(paths: &[PathBuf], enough: usize) -> usize {
    let mut images = 0;
    for path in paths {
        let Ok((file, length, packing)) = open_shard(path) else { continue };
        let most = enough.saturating_sub(images);
        images += match packing {
            Packing::Plain => samples::count(file, length, most),
            _ => {
                let unpacked = packing.unpacked(BufReader::new(file)).take(most_unpacked(length));
                samples::count(Forwards(unpacked), u64::MAX, most)
            }
        };
        if images >= enough {
            break;
        }
    }
    images
}

impl ImageStore for WebDataset {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        let sample = self.samples.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        let bytes = self.read(sample, sample.offset, sample.end())?;
        // Its name is read only when needed.
        decode_bytes(&self.shards[sample.shard as usize].path, &bytes)
            .map_err(|error| DataError::format(&self.name(index), error.reason()))
    }

    fn label(&self, index: usize) -> Option<u32> {
        let label = self.samples.get(index)?.label;
        (label != UNLABELLED).then_some(label)
    }

    fn relabel(&mut self, class: &dyn Fn(u32) -> Option<u32>) {
        for sample in self.samples.iter_mut().filter(|sample| sample.label != UNLABELLED) {
            sample.label = class(sample.label).unwrap_or(UNLABELLED);
        }
    }

    fn name(&self, index: usize) -> PathBuf {
        let Some(sample) = self.samples.get(index) else { return PathBuf::new() };
        let headers = self.read(sample, sample.start(), sample.offset);
        let name = headers.ok().and_then(|headers| name_in(&headers));
        // In case the shard has vanished or changed.
        let name = name.unwrap_or_else(|| format!("image at byte {}", sample.offset).into());
        place_in(&self.shards[sample.shard as usize].path, &name)
    }

    fn weighs_at_most(&self, bytes: u64) -> bool {
        self.samples.iter().map(|sample| u64::from(sample.length)).sum::<u64>() <= bytes
    }

    fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.samples.retain(|_| keep.next() == Some(&true));
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.shards.iter().for_each(|shard| visit(&shard.path));
    }
}

/// One for each line of the first list that is there.
fn class_names(folder: &Path) -> Vec<String> {
    // Beside a single shard.
    let folder = if folder.is_dir() { folder } else { folder.parent().unwrap_or(folder) };
    let text = NAMES_FILES.iter().find_map(|name| read_list(&folder.join(name)).ok());
    let text = text.unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests;

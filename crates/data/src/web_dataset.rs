//! WebDataset: shards in tar format (Aizman, Maltby & Breuel, 2019, arXiv:2001.01858).

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use image::RgbImage;
use tar::{Archive, Entry, EntryType, PaxExtensions};

use crate::dataset::out_of_range;
use crate::decode::decode_bytes;
use crate::folder::walk::is_image;
use crate::image_set::ImageStore;
use crate::labels::RawLabels;
use crate::lists::read_list;
use crate::positioned::PositionedFile;
use crate::shards::{open_shards, shards};
use crate::{DataError, FileFormat, Layout, Skipped, Splits};

/// Of one image, encoded.
const MAX_IMAGE_BYTES: u64 = 512 << 20;
/// Of a name that does not fit in a header.
const MAX_NAME_BYTES: u64 = 64 << 10;
/// Of a label: digits and white space.
const MAX_LABEL_BYTES: u64 = 32;
/// In a split; their index takes 4.8 GB.
const MAX_SAMPLES: usize = 200_000_000;
/// Files with a class name in each line, in the order of the labels.
const NAMES_FILES: [&str; 2] = ["classnames.txt", "classes.txt"];

/// Opens a folder with `.tar` shards, in itself or in sub-folders; a word of a shard's path says
/// whether it is trained on (`train`, or none) or tested on (`test`, `val`, `validation`).
///
/// A sample is a run of entries whose names agree up to the first dot after the last slash. Its
/// image is the first entry that ends in `jpg`, `png`, `webp` or another extension of
/// [`open_image_folder`](crate::open_image_folder), its label the whole number in its `.cls` (none if that is negative); other
/// entries (`.json`, `.txt`) are passed over. `classnames.txt` or `classes.txt` in the folder name
/// the classes. Only headers are read on opening, and an index of 24 bytes a sample is kept; images
/// are read where they lie and decoded each time they are asked for.
///
/// A shard that is damaged or truncated is used up to the damage and reported in
/// [`Splits::skipped`]. Without a test split, every tenth labelled image of each class is held out.
///
/// # Errors
/// No sample to train on, or a folder that cannot be read.
pub fn open_web_dataset(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let layout = Layout {
        root: folder.to_owned(),
        format: Some(FileFormat::WebDataset),
        labels: "the .cls entries of the shards".into(),
        unlabelled: "no image in the shards has a .cls entry with its label".into(),
        ..Layout::default()
    };
    let names = |_: &WebDataset| class_names(folder);
    open_shards(name, &shards(folder, "tar")?, names, layout, WebDataset::open)
}

/// The samples of a split.
struct WebDataset {
    /// Opened for each image: a system lets a process hold a thousand files or so, and large data
    /// sets have more shards.
    shards: Vec<PathBuf>,
    samples: Vec<Sample>,
}

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// In its shard.
    offset: u64,
    length: u32,
    shard: u32,
    /// [`UNLABELLED`] without one.
    label: u32,
}

const UNLABELLED: u32 = u32::MAX;

impl Sample {
    /// Where the shard goes on after the image.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

impl WebDataset {
    fn open(
        paths: &[PathBuf],
        labels: &mut RawLabels,
        skipped: &mut Vec<Skipped>,
    ) -> Result<Self, DataError> {
        let mut samples = Vec::new();
        for (number, path) in paths.iter().enumerate() {
            let file = File::open(path).map_err(DataError::io("open", path))?;
            let length = file.metadata().map_err(DataError::io("read", path))?.len();
            // A header and little more: what follows is passed over.
            let reader = BufReader::with_capacity(1 << 10, file);
            let damage = index(reader, length, number as u32, labels, &mut samples);
            if let Err(reason) = damage {
                skipped.push(Skipped { path: path.clone(), reason });
            }
        }
        samples.shrink_to_fit();
        Ok(Self { shards: paths.to_vec(), samples })
    }
}

impl ImageStore for WebDataset {
    fn len(&self) -> usize {
        self.samples.len()
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        let sample = self.samples.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        let shard = PositionedFile::open(&self.shards[sample.shard as usize])?;
        let bytes = shard.read(sample.offset, u64::from(sample.length))?;
        decode_bytes(&self.name(index), &bytes)
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
        self.shards[sample.shard as usize].join(format!("image at byte {}", sample.offset))
    }

    fn weighs_at_most(&self, bytes: u64) -> bool {
        self.samples.iter().map(|sample| u64::from(sample.length)).sum::<u64>() <= bytes
    }

    fn retain(&mut self, keep: &[bool]) {
        let mut keep = keep.iter();
        self.samples.retain(|_| keep.next() == Some(&true));
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.shards.iter().for_each(|path| visit(path));
    }
}

/// Adds the samples of one shard of `length` bytes to `samples`.
///
/// # Errors
/// What is wrong with the shard. The samples before the damage have been added.
pub(crate) fn index(
    reader: impl Read + Seek,
    length: u64,
    shard: u32,
    labels: &mut RawLabels,
    samples: &mut Vec<Sample>,
) -> Result<(), String> {
    let mut current = Current::default();
    let result = index_entries(reader, length, shard, labels, &mut current, samples);
    // Whether the damage cut off its label cannot be known, but an image is of use without one.
    current.finish(samples);
    result
}

/// The sample whose entries are being read.
#[derive(Default)]
struct Current {
    key: Vec<u8>,
    image: Option<Sample>,
    label: Option<u32>,
}

impl Current {
    fn finish(&mut self, samples: &mut Vec<Sample>) {
        let label = self.label.take().unwrap_or(UNLABELLED);
        samples.extend(self.image.take().map(|image| Sample { label, ..image }));
    }
}

fn index_entries(
    reader: impl Read + Seek,
    length: u64,
    shard: u32,
    labels: &mut RawLabels,
    current: &mut Current,
    samples: &mut Vec<Sample>,
) -> Result<(), String> {
    let damaged = |e: std::io::Error| format!("damaged archive: {e}");
    let mut archive = Archive::new(reader);
    let mut long_name = None;
    // As they are, so that a long name is read within a limit.
    for entry in archive.entries_with_seek().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        let (offset, size) = (entry.raw_file_position(), entry.size());
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(format!("truncated: {size} bytes at {offset} of {length}"));
        }
        let header_name;
        let name = match entry.header().entry_type() {
            EntryType::GNULongName => {
                let mut name = read_all(&mut entry, MAX_NAME_BYTES)?;
                name.truncate(name.iter().position(|b| *b == 0).unwrap_or(name.len()));
                long_name = Some(name);
                continue;
            }
            EntryType::XHeader => {
                let records = read_all(&mut entry, MAX_NAME_BYTES)?;
                let mut path = PaxExtensions::new(&records)
                    .flatten()
                    .filter(|record| record.key_bytes() == b"path");
                long_name = path.next().map(|record| record.value_bytes().to_vec()).or(long_name);
                continue;
            }
            EntryType::Regular | EntryType::Continuous => {
                header_name = entry.header().path_bytes().into_owned();
                long_name.take().unwrap_or(header_name)
            }
            // Folders, links and what else has no content of its own.
            _ => {
                long_name = None;
                continue;
            }
        };
        let Some((key, extension)) = split_name(&name) else { continue };
        if key != current.key {
            current.finish(samples);
            current.key = key.to_vec();
        }
        if samples.len() >= MAX_SAMPLES {
            return Err(format!("more than {MAX_SAMPLES} samples"));
        }
        if extension == "cls" {
            let text = read_all(&mut entry, MAX_LABEL_BYTES)?;
            let text = String::from_utf8_lossy(&text);
            current.label = labels.number(&text)?;
        } else if current.image.is_none() && is_image(OsStr::new(&format!("x.{extension}"))) {
            if size > MAX_IMAGE_BYTES {
                let name = String::from_utf8_lossy(&name);
                return Err(format!("{name} has {size} bytes, the limit is {MAX_IMAGE_BYTES}"));
            }
            current.image = Some(Sample { offset, length: size as u32, shard, label: UNLABELLED });
        }
    }
    Ok(())
}

fn read_all(entry: &mut Entry<'_, impl Read>, limit: u64) -> Result<Vec<u8>, String> {
    let size = entry.size();
    if size > limit {
        return Err(format!("a name or label of {size} bytes, the limit is {limit}"));
    }
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).map_err(|e| format!("damaged archive: {e}"))?;
    Ok(bytes)
}

/// Up to the first dot after the last slash, and what follows it; `None` without a key or a dot.
fn split_name(name: &[u8]) -> Option<(&[u8], &str)> {
    let base = name.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    let dot = base + name[base..].iter().position(|b| *b == b'.').filter(|dot| *dot > 0)?;
    Some((&name[..dot], std::str::from_utf8(&name[dot + 1..]).ok()?))
}

/// One for each line of the first list that is there.
fn class_names(folder: &Path) -> Vec<String> {
    let text = NAMES_FILES.iter().find_map(|name| read_list(&folder.join(name)).ok());
    let text = text.unwrap_or_default();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn png(value: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(4, 3, image::Rgb([value, 0, 0]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    fn tar(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, data) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            builder.append_data(&mut header, name, *data).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn index_bytes(bytes: &[u8]) -> (Vec<Sample>, Result<(), String>) {
        let mut samples = Vec::new();
        let mut labels = RawLabels::default();
        let result = index(Cursor::new(bytes), bytes.len() as u64, 0, &mut labels, &mut samples);
        (samples, result)
    }

    #[test]
    fn samples_are_runs_of_one_key_with_image_and_label() {
        assert!(size_of::<Sample>() <= 24);
        let root = tempfile::tempdir().unwrap();
        let train = root.path().join("train");
        std::fs::create_dir(&train).unwrap();
        let long = format!("{}/0003", "long".repeat(40));
        std::fs::write(
            train.join("000.tar"),
            tar(&[
                ("a.b/0001.cls", b"2\n"),
                ("a.b/0001.json", b"{}"),
                ("a.b/0001.PNG", &png(1)),
                ("a.b/0002.png", &png(2)),
                ("notes", b"no dot"),
            ]),
        )
        .unwrap();
        std::fs::write(
            train.join("001.tar"),
            tar(&[
                (&format!("{long}.seg.png"), &png(3)),
                (&format!("{long}.jpg"), &png(9)),
                (&format!("{long}.cls"), b"0"),
                ("0004.cls", b"-1"),
                ("0004.png", &png(4)),
                ("0005.txt", b"an image is missing"),
            ]),
        )
        .unwrap();
        std::fs::write(root.path().join("val.tar"), tar(&[("1.cls", b"1"), ("1.png", &png(5))]))
            .unwrap();
        std::fs::write(root.path().join("classnames.txt"), "ant\nbee\ncow\n").unwrap();
        let splits = open_web_dataset("x", root.path()).unwrap();
        let set = &splits.train;
        let found: Vec<_> = (0..set.len())
            .map(|i| (set.image(i).unwrap().get_pixel(3, 2).0[0], set.label(i)))
            .collect();
        assert_eq!(found, [(1, Some(2)), (2, None), (3, Some(0)), (4, None)]);
        assert_eq!(set.class_names(), ["ant", "bee", "cow"]);
        assert_eq!(splits.test.unwrap().label(0), Some(1));
        assert!(splits.skipped.is_empty());
    }

    #[test]
    fn long_names_of_both_kinds_are_keys() {
        let name = |i: u8| format!("{}/{i}", "n".repeat(150));
        let gnu = tar(&[(&format!("{}.png", name(1)), b"x"), (&format!("{}.cls", name(1)), b"7")]);
        let mut builder = tar::Builder::new(Vec::new());
        for (extension, data) in [("png", "x"), ("cls", "8")] {
            let path = format!("{}.{extension}", name(2));
            builder.append_pax_extensions([("path", path.as_bytes())]).unwrap();
            let mut header = tar::Header::new_ustar();
            header.set_size(1);
            builder.append_data(&mut header, "short", data.as_bytes()).unwrap();
        }
        for (bytes, label) in [(gnu, 7), (builder.into_inner().unwrap(), 8)] {
            let (samples, result) = index_bytes(&bytes);
            result.unwrap();
            assert_eq!(
                samples.iter().map(|s| (s.length, s.label)).collect::<Vec<_>>(),
                [(1, label)]
            );
        }
    }

    #[test]
    fn a_damaged_shard_is_used_up_to_the_damage_and_reported() {
        let good = tar(&[("1.png", &[1; 600]), ("2.png", &[2; 600]), ("3.png", &[3; 600])]);
        // A header and two blocks each.
        let (samples, result) = index_bytes(&good[..3 * 1536 - 600]);
        assert_eq!(samples.len(), 2);
        assert!(result.unwrap_err().contains("truncated"));
        let (samples, result) = index_bytes(&good[..1536 + 100]);
        assert_eq!(samples.len(), 1);
        assert!(result.unwrap_err().contains("damaged archive"));
        let mut flipped = good.clone();
        flipped[1536] ^= 1;
        let (samples, result) = index_bytes(&flipped);
        assert_eq!(samples.len(), 1);
        assert!(result.unwrap_err().contains("checksum"));
        let (samples, result) = index_bytes(&tar(&[("1.png", b"x"), ("2.cls", b"dog")]));
        assert_eq!(samples.len(), 1);
        assert!(result.unwrap_err().contains("2.cls is not a number"));

        let mut header = tar::Header::new_gnu();
        header.set_path("9.png").unwrap();
        header.set_size(u64::MAX - 1000);
        header.set_cksum();
        let huge = [&good[..1536], header.as_bytes()].concat();
        let (samples, result) = index_bytes(&huge);
        assert_eq!((samples.len(), result.is_err()), (1, true));

        let root = tempfile::tempdir().unwrap();
        let whole = tar(&[("1.png", &png(1)), ("2.png", &png(2))]);
        std::fs::write(root.path().join("0.tar"), &whole[..whole.len() - 1024 - 600]).unwrap();
        let splits = open_web_dataset("x", root.path()).unwrap();
        assert_eq!((splits.train.len(), splits.skipped.len()), (1, 1));
        std::fs::write(root.path().join("0.tar"), b"not an archive").unwrap();
        let error = open_web_dataset("x", root.path()).err().unwrap().to_string();
        assert!(error.contains("no readable image") && error.contains("0.tar"), "{error}");
    }

    #[test]
    fn without_a_test_split_every_tenth_of_a_class_is_held_out() {
        let image = png(1);
        let names: Vec<_> = (0..40)
            .map(|i| (format!("{i}.png"), format!("{i}.cls"), (i % 2).to_string()))
            .collect();
        let entries: Vec<(&str, &[u8])> = names
            .iter()
            .flat_map(|(png, cls, label)| [(&**png, &*image), (&**cls, label.as_bytes())])
            .collect();
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("0.tar"), tar(&entries)).unwrap();
        let splits = open_web_dataset("x", root.path()).unwrap();
        let test = splits.test.unwrap();
        assert_eq!((splits.train.len(), test.len()), (36, 4));
        assert_eq!(splits.train.class_names(), ["0", "1"]);
    }
}

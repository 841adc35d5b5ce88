//! Which entries of a shard are samples: an image and its label each.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tar::EntryType;

use super::names::{Name, Role, is_numbered, place_in};
use super::tar_entries::{MAX_NAME_BYTES, TarEntries, TarEntry, name_in};
use crate::Skipped;
use crate::formats::raw_labels::RawLabels;

/// The most bytes of an encoded image.
const MAX_IMAGE_BYTES: u64 = 512 << 20;
/// The most bytes of a label: a word and white space.
const MAX_LABEL_BYTES: u64 = 1 << 10;
/// The most bytes of a `.json` entry. A longer one holds more than a label.
const MAX_JSON_BYTES: u64 = 64 << 10;
/// The keys of labels in a `.json` entry.
const JSON_KEYS: [&str; 3] = ["label", "cls", "class"];
/// If so many first `.json` entries of a shard have no label, the others are not read.
const JSON_TRIES: usize = 100;
/// The most samples in a split. Their index takes 4.8 GB.
const MAX_SAMPLES: usize = 200_000_000;
/// How many entries of a shard are listed by name. The others are counted.
const MOST_LISTED: usize = 100;
/// How many extensions are named if a shard has no image.
const MOST_KINDS: usize = 8;

/// Where an image lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Its place in its file.
    pub(super) offset: u64,
    pub(super) length: u32,
    /// Bytes of the headers before it. They have its name.
    pub(super) lead: u32,
    pub(super) shard: u32,
    /// [`UNLABELLED`] without one.
    pub(super) label: u32,
}

pub(super) const UNLABELLED: u32 = u32::MAX;

impl Sample {
    /// Where the headers begin,
    pub(crate) fn start(&self) -> u64 {
        self.offset - u64::from(self.lead)
    }

    /// and where the shard continues after the image.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.length)
    }
}

/// A shard, and its place.
#[derive(Clone, Copy)]
pub(crate) struct ShardPlace<'a> {
    pub(crate) path: &'a Path,
    pub(crate) number: u32,
    /// Its place in the file that it is read from.
    pub(crate) base: u64,
    pub(crate) length: u64,
}

/// What the shards of a data set hold beside samples.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) skipped: Vec<Skipped>,
    /// Images with the name of one before them.
    pub(super) seconds: PassedBy,
    /// Images in a sample that has another image.
    pub(super) parts: PassedBy,
    /// Images that have a label of a `.cls` entry,
    pub(super) by_cls: u64,
    /// and of a `.json` entry.
    pub(super) by_json: u64,
}

/// Images that are not used.
#[derive(Default)]
pub(super) struct PassedBy {
    pub(super) images: u64,
    pub(super) first: Option<PathBuf>,
}

/// An image or a label. Names are kept as hashes, since they could have any length.
#[derive(Clone, Copy)]
struct Found {
    key: u64,
    stem: u64,
    /// The hash of the part between key and stem, and whether it is numbered.
    middle: Option<(u64, bool)>,
    start: u64,
    offset: u64,
    size: u64,
}

/// Adds the samples of one shard to `samples`. The shard begins at the position of `reader`.
///
/// # Errors
/// What is wrong with the shard. The samples before the damage have been added.
pub(crate) fn index(
    reader: impl Read + Seek,
    place: ShardPlace<'_>,
    labels: &mut RawLabels,
    samples: &mut Vec<Sample>,
    findings: &mut Findings,
) -> Result<(), String> {
    let mut shard = ShardIndex {
        entries: TarEntries::new(reader, place.length),
        place,
        hashes: RandomState::new(),
        images: Vec::new(),
        labels: Vec::new(),
        jsons: Vec::new(),
        others: BTreeSet::new(),
        refused: 0,
        findings,
    };
    let damage = shard.read_headers(labels);
    let by_cls = shard.labels.len();
    shard.read_jsons(labels);
    let by_json = by_cls == 0 && !shard.labels.is_empty();
    if damage.is_ok() && shard.images.is_empty() && shard.refused == 0 {
        shard.say_no_image();
    }
    // The damage may have cost an image its label, but it is useful without one.
    let too_many = shard.join(samples, by_json);
    shard.count_unlisted();
    damage.and(too_many)
}

struct ShardIndex<'a, R> {
    entries: TarEntries<R>,
    place: ShardPlace<'a>,
    hashes: RandomState,
    images: Vec<Found>,
    /// With their numbers.
    labels: Vec<(Found, u32)>,
    jsons: Vec<Found>,
    /// Extensions of entries that are neither image nor label.
    others: BTreeSet<String>,
    /// Entries that were refused, listed or not.
    refused: usize,
    findings: &'a mut Findings,
}

impl<R: Read + Seek> ShardIndex<'_, R> {
    fn read_headers(&mut self, labels: &mut RawLabels) -> Result<(), String> {
        while let Some(entry) = self.entries.next()? {
            let link = match entry.kind {
                EntryType::Regular | EntryType::Continuous => false,
                EntryType::Link | EntryType::Symlink => true,
                // Folders and other entries without content.
                _ => continue,
            };
            if entry.name.is_empty() {
                let name = format!("entry at byte {}", entry.start);
                self.refuse(
                    name.as_bytes(),
                    format!("its name is empty or has more than {MAX_NAME_BYTES} bytes"),
                );
                continue;
            }
            let Some(name) = Name::of(&entry.name) else {
                self.others
                    .extend(extension(&entry.name).filter(|_| self.others.len() < MOST_KINDS));
                continue;
            };
            match name.role {
                Role::Image if link => self.refuse(&entry.name, "a link, which is not read".into()),
                Role::Label if link => self.refuse(&entry.name, "a link, which is not read".into()),
                Role::Json if link => {}
                Role::Image if entry.size > MAX_IMAGE_BYTES => {
                    self.refuse(&entry.name, beyond(entry.size, MAX_IMAGE_BYTES));
                }
                Role::Image => self.images.push(self.found(&entry, &name)),
                Role::Label => {
                    if let Some(number) = self.read_label(&entry, labels)? {
                        self.labels.push((self.found(&entry, &name), number));
                    }
                }
                Role::Json if entry.size <= MAX_JSON_BYTES => {
                    self.jsons.push(self.found(&entry, &name));
                }
                Role::Json => {}
            }
        }
        Ok(())
    }

    fn found(&self, entry: &TarEntry, name: &Name<'_>) -> Found {
        let hash = |bytes: &[u8]| self.hashes.hash_one(bytes);
        let key = hash(name.key);
        let middle = name.middle();
        Found {
            key,
            stem: if middle.is_some() { hash(name.stem) } else { key },
            middle: middle.map(|middle| (hash(middle), is_numbered(middle))),
            start: entry.start,
            offset: entry.offset,
            size: entry.size,
        }
    }

    /// The number of a valid label.
    fn read_label(
        &mut self,
        entry: &TarEntry,
        labels: &mut RawLabels,
    ) -> Result<Option<u32>, String> {
        if entry.size > MAX_LABEL_BYTES {
            self.refuse(
                &entry.name,
                format!("as a label: {}", beyond(entry.size, MAX_LABEL_BYTES)),
            );
            return Ok(None);
        }
        let bytes = self.entries.content(entry)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| "a label that is not UTF-8".to_owned());
        match text.and_then(|text| labels.number(text.trim_start_matches('\u{feff}'))) {
            Ok(number) => Ok(number),
            Err(reason) => {
                self.refuse(&entry.name, reason);
                Ok(None)
            }
        }
    }

    /// Labels from `.json` entries, for samples without a `.cls` entry.
    fn read_jsons(&mut self, labels: &mut RawLabels) {
        let by_cls: HashSet<u64> = self.labels.iter().map(|(label, _)| label.key).collect();
        let jsons = std::mem::take(&mut self.jsons);
        let without = jsons.into_iter().filter(|json| !by_cls.contains(&json.key));
        for (tried, json) in without.enumerate() {
            if tried >= JSON_TRIES && self.labels.len() == by_cls.len() {
                return;
            }
            let bytes = self.entries.read_again(self.place.base, json.offset, json.size);
            let Some(text) = bytes.ok().and_then(|bytes| json_label(&bytes)) else { continue };
            match labels.number(&text) {
                Ok(number) => self.labels.extend(number.map(|number| (json, number))),
                Err(reason) => {
                    let name = self.name(&json);
                    self.refuse(&name, reason);
                }
            }
        }
    }

    /// Which images are used, each with its label.
    fn join(&mut self, samples: &mut Vec<Sample>, by_json: bool) -> Result<(), String> {
        let (images, labels) = (std::mem::take(&mut self.images), std::mem::take(&mut self.labels));
        let Choice { used, seconds, parts } = choose(&images, &labels);
        let stems: HashSet<u64> = images.iter().map(|image| image.stem).collect();
        // A label belongs to the image with its stem, else to those with its key.
        let (mut of_stem, mut of_key) = (HashMap::new(), HashMap::new());
        for (number, (label, _)) in labels.iter().enumerate() {
            of_stem.entry(label.stem).or_insert(number);
            if label.middle.is_none() || !stems.contains(&label.stem) {
                of_key.entry(label.key).or_insert(number);
            }
        }
        let mut met = vec![false; labels.len()];
        let (mut unlabelled, mut first_unlabelled) = (0, None);
        let free = MAX_SAMPLES.saturating_sub(samples.len());
        for image in used.iter().take(free).map(|number| &images[*number]) {
            let label = of_stem.get(&image.stem).or_else(|| of_key.get(&image.key));
            if let Some(number) = label {
                met[*number] = true;
            } else {
                unlabelled += 1;
                first_unlabelled.get_or_insert(*image);
            }
            samples.push(Sample {
                offset: self.place.base + image.offset,
                length: image.size as u32,
                lead: (image.offset - image.start) as u32,
                shard: self.place.number,
                label: label.map_or(UNLABELLED, |number| labels[*number].1),
            });
        }
        let labelled = used.len() as u64 - unlabelled;
        match by_json {
            true => self.findings.by_json += labelled,
            false => self.findings.by_cls += labelled,
        }
        if labelled > unlabelled && unlabelled > 0 {
            let what = "without a label, where most have one: used, but for no measurement";
            self.remark(unlabelled, "image", what, first_unlabelled);
        }
        let homeless =
            || met.iter().zip(&labels).filter(|(met, _)| !**met).map(|(_, label)| label.0);
        let count = homeless().count() as u64;
        self.remark(count, "label", "without an image of their own", homeless().next());
        let first = |numbers: &[usize]| numbers.first().map(|number| images[*number]);
        let (second, part) = (first(&seconds), first(&parts));
        let second = second.map(|image| place_in(self.place.path, &self.name(&image)));
        let part = part.map(|image| place_in(self.place.path, &self.name(&image)));
        self.findings.seconds.add(seconds.len(), second);
        self.findings.parts.add(parts.len(), part);
        match used.len() > free {
            true => Err(format!("more than {MAX_SAMPLES} samples")),
            false => Ok(()),
        }
    }

    /// Its name, from the headers before it.
    fn name(&mut self, found: &Found) -> Vec<u8> {
        let headers =
            self.entries.read_again(self.place.base, found.start, found.offset - found.start);
        headers.ok().and_then(|headers| name_in(&headers)).unwrap_or_default()
    }

    fn remark(&mut self, count: u64, what: &str, why: &str, first: Option<Found>) {
        let Some(first) = first else { return };
        let first = place_in(Path::new(""), &self.name(&first));
        let first = first.to_string_lossy();
        let what = crate::sets::layout::counted(count, what);
        let reason = format!("{what} {why}; the first is {}", first.trim_start_matches('/'));
        self.findings.skipped.push(Skipped { path: self.place.path.to_owned(), reason });
    }

    fn say_no_image(&mut self) {
        let others: Vec<String> = self.others.iter().map(|kind| format!(".{kind}")).collect();
        let others = match others.is_empty() {
            true => String::new(),
            false => format!("; it has {}", others.join(", ")),
        };
        let reason = format!("no image of a kind that is read{others}");
        self.findings.skipped.push(Skipped { path: self.place.path.to_owned(), reason });
    }

    fn refuse(&mut self, name: &[u8], reason: String) {
        self.refused += 1;
        if self.refused <= MOST_LISTED {
            let path = place_in(self.place.path, name);
            self.findings.skipped.push(Skipped { path, reason });
        }
    }

    fn count_unlisted(&mut self) {
        if let Some(more @ 1..) = self.refused.checked_sub(MOST_LISTED) {
            let reason = format!("{more} more entries that cannot be used");
            self.findings.skipped.push(Skipped { path: self.place.path.to_owned(), reason });
        }
    }
}

/// Numbers of images.
struct Choice {
    used: Vec<usize>,
    seconds: Vec<usize>,
    parts: Vec<usize>,
}

/// Which images are samples.
///
/// An image with a single extension is one. Otherwise the text between key and extension belongs to
/// the name, or it says which part of the sample the image is (`0.depth.png`). It belongs to the
/// name if there is a label of that name. If not, the image is not used beside `0.png`. Without
/// such an image, the text belongs to the name if it is numbered or if no other key in the shard
/// has it too. Of several parts of a sample the first is used.
fn choose(images: &[Found], labels: &[(Found, u32)]) -> Choice {
    let mut choice =
        Choice { used: Vec::with_capacity(images.len()), seconds: vec![], parts: vec![] };
    let compound = images.iter().any(|image| image.middle.is_some());
    let labelled: HashSet<u64> = match compound {
        true => labels.iter().map(|(label, _)| label.stem).collect(),
        false => HashSet::new(),
    };
    let mut plain = HashSet::new();
    // The key of each middle, and whether it has several.
    let mut middles: HashMap<u64, (u64, bool)> = HashMap::new();
    for image in images.iter().filter(|_| compound) {
        match image.middle {
            None => {
                plain.insert(image.key);
            }
            Some((middle, _)) => {
                let known = middles.entry(middle).or_insert((image.key, false));
                known.1 |= known.0 != image.key;
            }
        }
    }
    let (mut stems, mut has_part) = (HashSet::with_capacity(images.len()), HashSet::new());
    for (number, image) in images.iter().enumerate() {
        let list = if !stems.insert(image.stem) {
            &mut choice.seconds
        } else {
            let used = match image.middle {
                None => true,
                Some(_) if labelled.contains(&image.stem) => true,
                Some(_) if plain.contains(&image.key) => false,
                Some((middle, numbered)) => {
                    numbered || !middles[&middle].1 || has_part.insert(image.key)
                }
            };
            if used { &mut choice.used } else { &mut choice.parts }
        };
        list.push(number);
    }
    choice
}

impl PassedBy {
    fn add(&mut self, images: usize, first: Option<PathBuf>) {
        self.images += images as u64;
        self.first = self.first.take().or(first);
    }
}

/// A number or a word under one of the usual keys.
fn json_label(bytes: &[u8]) -> Option<String> {
    let Value::Object(object) = serde_json::from_slice(bytes).ok()? else { return None };
    JSON_KEYS.iter().find_map(|key| match object.get(*key)? {
        Value::String(word) => Some(word.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    })
}

/// The last extension of a name, if it is short and plain.
fn extension(name: &[u8]) -> Option<String> {
    let extension =
        std::str::from_utf8(&name[name.iter().rposition(|b| *b == b'.')? + 1..]).ok()?;
    let plain = extension.len() <= 10 && extension.bytes().all(|b| b.is_ascii_alphanumeric());
    (plain && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
}

fn beyond(bytes: u64, limit: u64) -> String {
    format!("{bytes} bytes are beyond the limit of {limit}")
}

/// How many images a shard has, up to `enough`. It begins at the position of `reader`.
pub(super) fn count(reader: impl Read + Seek, length: u64, enough: usize) -> usize {
    let mut entries = TarEntries::new(reader, length);
    let mut images = 0;
    while images < enough {
        let Ok(Some(entry)) = entries.next() else { break };
        let image = Name::of(&entry.name).is_some_and(|name| name.role == Role::Image);
        images += usize::from(image && entry.kind.is_file());
    }
    images
}

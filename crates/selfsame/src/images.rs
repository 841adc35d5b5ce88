//! The data of a run: which images, how many of them, and where they are kept decoded.

use std::path::Path;
use std::sync::{Arc, Mutex};

use rayon::prelude::*;
use selfsame_data::{ImageDataset, PackSettings, PackedImages, Splits, channel_statistics};
use selfsame_models::Stem;

use crate::built_in;
use crate::error::usage;
use crate::evenly::evenly;
use crate::observer::{Tally, Unit, Voice};
use crate::places::datasets;
use crate::settings::{Pack, RunConfig};
use crate::words::{count, shown};

/// Images above this size count as photographs: larger views, blur, the ImageNet stem.
const SMALL_SIDE: u32 = 64;
/// Side of a view of photographs.
const PHOTO_SIDE: u32 = 96;
/// Decoded images below this many bytes stay in memory and need no pack.
const MEMORY: u64 = 4 << 30;
/// A larger pack is only made on request.
const LARGEST_PACK: u64 = 64 << 30;
/// The automatic view size is never below this. Otherwise, a few strange images would decide for
/// all.
const LEAST_SIDE: u32 = 16;
/// Number of images whose size is read to choose the view size.
const SIDES: usize = 64;
/// Number of images that are read to estimate the size of all.
const SAMPLE: usize = 32;

/// Opens the data of a run: the images that the settings choose, packed if this is worthwhile. Sets
/// what the settings leave open: view size, stem, blur, statistics.
pub fn open(config: &mut RunConfig, voice: &Voice) -> anyhow::Result<Splits> {
    let settings = config.data.clone();
    let mut splits = built_in::open(&settings.source(), settings.links())?;
    // Hold out first. So the held-out images do not depend on the number of training images.
    if let Some(share) = settings.validation {
        splits = splits.hold_out(share, settings.split_seed)?;
    }
    if let Some(share) = settings.fraction {
        splits = splits.fraction(share, settings.split_seed)?;
    }
    let mut splits = splits.limit(settings.limit, settings.test_limit)?;
    if splits.train.len() < 2 {
        return Err(usage(too_few(splits.train.len())));
    }
    settle_views(config, &splits)?;
    let side = settings.pack_side.unwrap_or(2 * config.views.view(0).size);
    splits.train = packed(splits.train, settings.pack, side, "training images", voice)?;
    if let Some(test) = splits.test {
        splits.test = Some(packed(test, settings.pack, side, "test images", voice)?);
    }
    let splits = readable(splits, voice)?;
    if splits.train.len() < 2 {
        return Err(usage(too_few(splits.train.len())));
    }
    if config.views.mean.is_none() || config.views.std.is_none() {
        let (mean, std) = channel_statistics(&*splits.train)?;
        config.views.mean.get_or_insert(mean);
        config.views.std.get_or_insert(std);
    }
    Ok(splits)
}

/// Reports the unused parts of a set with the reasons, and the first few skipped images. `all_in`:
/// the file that lists all of them.
pub fn tell_left_out(data: &Splits, all_in: Option<&Path>, voice: &Voice) {
    const NAMED: usize = 5;
    for line in data.layout.remarks() {
        voice.note(line);
    }
    for skipped in data.skipped.iter().take(NAMED) {
        voice.note(format_args!("skipped {}: {}", shown(&skipped.path), skipped.reason));
    }
    let more = data.skipped.len().saturating_sub(NAMED);
    match all_in {
        _ if more == 0 => {}
        Some(list) => voice.note(format_args!("… and {more} more, all in {}", list.display())),
        None => {
            voice.note(format_args!("… and {more} more; `selfsame dataset inspect` lists them"))
        }
    }
}

fn too_few(images: usize) -> String {
    format!("{}, but training needs at least 2; add images", count(images, "training image"))
}

/// The same data without unreadable images. It lists these. In large sets, every image is decoded
/// to find them.
pub fn readable(splits: Splits, voice: &Voice) -> anyhow::Result<Splits> {
    let tally = Mutex::new(voice.tally(Unit::Items));
    let splits = splits.without_unreadable(&|done, total| {
        // If the lock is taken, another thread shows the next number.
        if let Ok(mut tally) = tally.try_lock() {
            tally.show("reading every image once", done as u64, Some(total as u64));
        }
    });
    drop(tally);
    Ok(splits?)
}

/// The shorter sides of some images.
pub struct Sides {
    /// The smallest, in pixels.
    pub smallest: u32,
    /// The median, in pixels.
    pub median: u32,
    /// The largest, in pixels.
    pub largest: u32,
    /// Number of images whose size was read.
    pub seen: usize,
}

impl Sides {
    /// The sides of some training images, spread evenly over the set.
    ///
    /// # Errors
    /// No image can be read. The error names some of them, with the reasons.
    pub fn of(data: &Splits) -> anyhow::Result<Self> {
        let images = &*data.train;
        let side = |index: usize| images.image(index).ok().map(|i| i.width().min(i.height()));
        let mut sides: Vec<u32> =
            evenly(images.len(), SIDES).into_par_iter().filter_map(side).collect();
        if sides.is_empty() {
            sides.extend((0..images.len()).find_map(side));
        }
        sides.sort_unstable();
        let [smallest, .., largest] = sides[..] else {
            let Some(only) = sides.first().copied() else {
                data.clone().without_unreadable(&|_, _| ())?;
                anyhow::bail!("none of the training images can be read");
            };
            return Ok(Self { smallest: only, median: only, largest: only, seen: 1 });
        };
        Ok(Self { smallest, median: sides[sides.len() / 2], largest, seen: sides.len() })
    }

    /// The view size for such images.
    pub fn view(&self) -> u32 {
        if self.median <= SMALL_SIDE { self.median.max(LEAST_SIDE) } else { PHOTO_SIDE }
    }

    /// Why.
    pub fn reason(&self) -> String {
        let Self { median, .. } = self;
        let looked_at = count(self.seen, "image");
        let sides = format!("the median shorter side of {looked_at} is {median} pixels");
        match *median {
            0..LEAST_SIDE => format!("the smallest size; {sides}"),
            LEAST_SIDE..=SMALL_SIDE => sides,
            _ => {
                format!("as for photographs; {sides}; choose another size with --set views.size=N")
            }
        }
    }
}

/// Sets a batch size that the training images can fill. `together` ranks share the batch. Reports
/// it if the default does not fit.
///
/// # Errors
/// The batch size was asked for and is too large, or there are too few images for any.
pub fn settle_batch(
    config: &mut RunConfig,
    data: &Splits,
    together: usize,
) -> anyhow::Result<Option<String>> {
    let images = data.train.len();
    let usable = images / together * together;
    let (wanted, accumulation) = (config.train.batch_size, config.train.accumulation);
    if wanted <= usable {
        return Ok(None);
    }
    let there = match images {
        1 => "there is only 1 training image".to_owned(),
        images => format!("there are only {images} training images"),
    };
    let fits = |size: &usize| {
        size.is_multiple_of(accumulation * together) && size / accumulation / together >= 2
    };
    let largest = (1..32).rev().map(|power| 1 << power).find(|size| *size <= usable && fits(size));
    let Some(largest) = largest else {
        return Err(usage(format!("{there}, but a batch needs at least 2; add images")));
    };
    if config.train.batch_size_given {
        return Err(usage(format!(
            "train.batch_size: {wanted}, but {there}; use a smaller batch, such as --set \
             train.batch_size={largest}"
        )));
    }
    config.train.batch_size = largest;
    config.validate()?;
    Ok(Some(format!("batches of {largest} instead of {wanted}, because {there}")))
}

/// Sets what depends on the size of the images: view size, stem, blur.
pub fn settle_views(config: &mut RunConfig, data: &Splits) -> anyhow::Result<()> {
    let size = match config.views.size {
        Some(size) => size,
        None => Sides::of(data)?.view(),
    };
    config.views.size = Some(size);
    let small = size <= SMALL_SIDE;
    config.views.blur_probability.get_or_insert(if small { [0.0, 0.0] } else { [1.0, 0.1] });
    config.encoder.stem.get_or_insert(if small { Stem::Cifar } else { Stem::ImageNet });
    Ok(())
}

/// The set with its decoded images in a pack, if this is wanted and worthwhile.
fn packed(
    set: Arc<dyn ImageDataset>,
    pack: Pack,
    side: u32,
    what: &str,
    voice: &Voice,
) -> anyhow::Result<Arc<dyn ImageDataset>> {
    if pack == Pack::Off {
        return Ok(set);
    }
    if pack == Pack::Auto {
        let sizes = decoded_bytes(&*set, side);
        if sizes.whole <= MEMORY {
            return Ok(set);
        }
        if sizes.packed > LARGEST_PACK {
            voice.note(format_args!(
                "{what}: about {} GB when decoded, so every epoch decodes them again; --set \
                 data.pack=on avoids this with a pack (shorter side {side} pixels, {} GB on disk)",
                sizes.whole >> 30,
                sizes.packed >> 30
            ));
            return Ok(set);
        }
    }
    // This comes last, because it reads the size and time of every file.
    if set.content_key().is_none() {
        if pack == Pack::On {
            voice.note(format_args!("{what}: already in memory, so a pack would save nothing"));
        }
        return Ok(set);
    }
    let settings = PackSettings { shorter_side: (side > 0).then_some(side) };
    let folder = datasets().join(".packs");
    let mut tally: Option<Tally> = None;
    let pack = PackedImages::open(set, settings, &folder, &mut |done, all| {
        let tally = tally.get_or_insert_with(|| voice.tally(Unit::Items));
        tally.show(&format!("packing {what}"), done as u64, Some(all as u64));
    })?;
    Ok(Arc::new(pack))
}

struct DecodedBytes {
    whole: u64,
    packed: u64,
}

/// The estimated size of all decoded images, from some of them.
fn decoded_bytes(set: &dyn ImageDataset, side: u32) -> DecodedBytes {
    let step = set.len().div_ceil(SAMPLE).max(1);
    let (mut seen, mut whole, mut packed) = (0u64, 0f64, 0f64);
    for index in (0..set.len()).step_by(step) {
        let Ok(image) = set.image(index) else { continue };
        let bytes = image.as_raw().len() as f64;
        let shorter = image.width().min(image.height()).max(1);
        let scale = if side == 0 { 1.0 } else { f64::from(side) / f64::from(shorter) };
        seen += 1;
        whole += bytes;
        packed += bytes * scale.min(1.0).powi(2);
    }
    let all = |sum: f64| (sum / seen.max(1) as f64 * set.len() as f64) as u64;
    DecodedBytes { whole: all(whole), packed: all(packed) }
}

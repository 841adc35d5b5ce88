//! Parquet files with encoded images, as the Hugging Face hub keeps them.

mod columns;
mod file;
mod labels;
mod pages;
mod paths;
mod reasons;
mod store;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use super::shards::{open_shards, shards};
use crate::sets::image_set::Opening;
use crate::{DataError, FileFormat, Layout, Splits};

use self::columns::LABELS;
use self::file::ParquetFile;
use self::reasons::guarded;
use self::store::{CACHE_BYTES, ParquetImages, Seen};

/// The suffixes of Parquet files.
pub(crate) const SUFFIXES: [&str; 1] = [".parquet"];

/// Opens a folder with `.parquet` files, also in its sub-folders, or one such file. A word of a
/// file's path says whether it is trained on (`train`, or none) or tested on (`test`, `val`,
/// `validation`).
///
/// Images are in a binary column, or in the `bytes` of a struct. If there are several, the first of
/// these names is taken: `image`, `img`, `images`, `picture`, `photo`, `jpg`, `jpeg`, `png`,
/// `webp`, `image_bytes`, `img_bytes`, `bytes`, `data` or `content`, in any case. A row may have a
/// `path` instead of bytes (in the struct, or in a text column `image`, `image_path`, `path`,
/// `file_name`, …). Then that file is read, relative to the Parquet file or to the folder, and
/// never outside of the folder. Each file may have other columns.
///
/// Labels are in a column `label`, `labels`, `class`, `cls`, `target`, `category`, `fine_label`,
/// `class_id` or `class_name`: numbers, words, or lists of one. Negative numbers, nulls and NaN are
/// no labels. The names of the classes come from the `huggingface` metadata, else from the words.
/// Pages are plain or compressed with Snappy, LZ4, gzip, Zstandard or Brotli.
///
/// Labels are read on opening. A row group of encoded images is read when one of its images is
/// needed. The last 1 GiB of row groups is kept, and at least the last one, beside up to 4 GiB of
/// decoded images. Each thread holds one row group more while it reads. If a light set was decoded
/// on opening, only decoded images are kept. In a larger data set in shuffled order, most images
/// need a whole row group to be read. This is slow unless row groups are small.
///
/// A damaged file, row group or row is left out and reported in [`Splits::skipped`]. A damaged page
/// costs several rows. An image with a senseless label is used without it, and each file reports
/// how many it has. Without a test split, every tenth labelled image of each class is held out.
///
/// # Errors
/// No image to train on, or a folder that cannot be read.
pub fn open_parquet(
    name: &str,
    folder: &Path,
    opening: impl Into<Opening>,
) -> Result<Splits, DataError> {
    let Opening { links, reading } = opening.into();
    let layout =
        Layout { root: folder.to_owned(), format: Some(FileFormat::Parquet), ..Layout::default() };
    let root = match folder.is_file() {
        true => folder.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        false => folder,
    };
    // These sentences are about columns, which are known only when the files are open.
    let seen = RefCell::new(Seen::default());
    let names = |store: &ParquetImages| {
        *seen.borrow_mut() = store.seen.clone();
        store.class_names.clone()
    };
    let shards = shards(folder, &SUFFIXES, links)?;
    let mut splits =
        open_shards(name, &shards, names, layout, reading, |paths, labels, skipped| {
            Ok(ParquetImages::open(paths, root, CACHE_BYTES, labels, skipped))
        })?;
    let seen = seen.into_inner();
    match splits.train.class_names().is_empty() {
        true => splits.layout.unlabelled = unlabelled(&seen),
        false => splits.layout.labels = format!("{} of the Parquet files", columns_of(&seen)),
    }
    Ok(splits)
}

/// `the column label`, `the columns cls and label`.
fn columns_of(seen: &Seen) -> String {
    let names: Vec<&str> = seen.labels.iter().map(String::as_str).collect();
    match &names[..] {
        [name] => format!("the column {name}"),
        names => format!("the columns {}", names.join(" and ")),
    }
}

fn unlabelled(seen: &Seen) -> String {
    match seen.labels.is_empty() {
        true => format!(
            "no column is called {}; the columns are {}; rename the one with the labels to label",
            LABELS.join(", "),
            seen.columns
        ),
        false => format!("no row has a label in {}", columns_of(seen)),
    }
}

/// How many rows hold images, by the files' metadata alone. Files that only name the paths of
/// images count 0: those images lie beside them.
pub(crate) fn count_images(paths: &[PathBuf]) -> usize {
    let rows = |path: &PathBuf| {
        let rows = guarded(|| {
            let file = ParquetFile::open(path)?;
            Ok(file.images.bytes.map_or(0, |_| file.metadata().num_rows()))
        });
        rows.ok().and_then(|rows| usize::try_from(rows).ok()).unwrap_or(0)
    };
    paths.iter().map(rows).fold(0, usize::saturating_add)
}

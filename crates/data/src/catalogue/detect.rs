//! What an unknown folder or file is taken for.

use std::collections::BTreeMap;
use std::path::Path;

use crate::formats::folder::walk::{Walk, walk};
use crate::formats::folder::{open_walked, sole_subfolder};
use crate::formats::shards::{has_suffix, shards};
use crate::formats::tiny_imagenet::ANNOTATIONS;
use crate::formats::{parquet, web_dataset};
use crate::sets::image_set::{Opening, Reading};
use crate::{
    DataError, FileFormat, Splits, open_cifar, open_idx, open_parquet, open_stl10, open_svhn,
    open_tiny_imagenet, open_web_dataset,
};

/// Decides by the files in it, also inside of a single outer folder. Otherwise it is a folder of
/// images.
pub(crate) fn open_detected(
    name: &str,
    folder: &Path,
    opening: Opening,
) -> Result<Splits, DataError> {
    if folder.is_file() {
        return open_file(name, folder, opening);
    }
    let inner = &sole_subfolder(folder)?;
    let Some((file, opened)) = open_published(name, inner, opening.reading) else {
        return open_counted(name, folder, inner, opening);
    };
    let Err(error) = opened else { return opened };
    // A folder of pictures may have a stray file of that name.
    match walk(folder, opening.links) {
        Ok(found) if found.index.len() > 0 => {
            let mut splits = open_counted(name, folder, inner, opening)?;
            splits.layout.notes.push(format!("{file} is not used: {}", error.reason()));
            Ok(splits)
        }
        _ => Err(error),
    }
}

/// Opens a published set in its published form. Recognises it by the name of a file, which it
/// returns.
fn open_published(
    name: &str,
    folder: &Path,
    reading: Reading,
) -> Option<(&'static str, Result<Splits, DataError>)> {
    let has = |file: &&'static str| folder.join(file).is_file();
    let first = |files: &[&'static str]| files.iter().copied().find(|file| has(file));
    if let Some(file) = first(&["data_batch_1.bin", "train.bin"]) {
        Some((file, open_cifar(name, folder)))
    } else if let Some(file) = first(&["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz"]) {
        Some((file, open_idx(name, folder, Vec::new(), None)))
    } else if let Some(file) = first(&["train_X.bin"]) {
        Some((file, open_stl10(name, folder)))
    } else if let Some(file) = first(&["train_32x32.mat"]) {
        Some((file, open_svhn(name, folder)))
    } else {
        let file = first(&[ANNOTATIONS])?;
        Some((file, open_tiny_imagenet(name, folder, reading)))
    }
}

/// Opens a single file that holds many images.
fn open_file(name: &str, file: &Path, opening: Opening) -> Result<Splits, DataError> {
    match many_images_in(file)? {
        FileFormat::Parquet => open_parquet(name, file, opening),
        _ => open_web_dataset(name, file, opening),
    }
}

/// Whether a single file can be opened as a data set. Its name decides: a WebDataset shard or a
/// Parquet file.
///
/// # Errors
/// The error of any other file. It says what to do.
pub fn many_images_in(file: &Path) -> Result<FileFormat, DataError> {
    let is = |suffixes: &[&str]| file.file_name().is_some_and(|name| has_suffix(name, suffixes));
    if is(&parquet::SUFFIXES) {
        return Ok(FileFormat::Parquet);
    }
    if is(&web_dataset::SUFFIXES) {
        return Ok(FileFormat::WebDataset);
    }
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Err(DataError::Request(format!(
        "{} is a file; give the folder that it lies in, {}",
        file.display(),
        folder.display()
    )))
}

/// Opens pictures, WebDataset shards or Parquet files, whichever hold the most images. Pictures win
/// if they are as many, since they often were unpacked from the archive. The others are passed
/// over.
fn open_counted(
    name: &str,
    folder: &Path,
    inner: &Path,
    opening: Opening,
) -> Result<Splits, DataError> {
    let mut found = walk(folder, opening.links)?;
    let tars = shards(inner, &web_dataset::SUFFIXES, opening.links)?.all();
    let tables = shards(inner, &parquet::SUFFIXES, opening.links)?.all();
    if tars.is_empty() && tables.is_empty() {
        return open_walked(name, folder, found, opening.reading);
    }
    let pictures = found.index.len();
    let rows = parquet::count_images(&tables);
    let samples = web_dataset::count_images(&tars, pictures.max(rows) + 1);
    for files in [&tars, &tables] {
        for extension in files.iter().filter_map(|path| extension_of(path)) {
            if let Some(count) = found.unread.get_mut(&extension) {
                *count = count.saturating_sub(1);
            }
        }
    }
    found.unread.retain(|_, files| *files > 0);
    let unread = found.unread.clone();
    let mut places = picture_places(inner, &found);
    let opened = if pictures > 0 && pictures >= samples && pictures >= rows {
        places.clear();
        open_walked(name, folder, found, opening.reading)
    } else if samples > rows || tables.is_empty() {
        open_web_dataset(name, inner, opening)
    } else {
        open_parquet(name, inner, opening)
    };
    let mut splits = opened?;
    let format = splits.layout.format;
    let used = match format {
        Some(FileFormat::WebDataset) => "the shards beside them hold more images",
        Some(FileFormat::Parquet) => "the Parquet files beside them hold more images",
        _ => "the pictures beside them are as many or more",
    };
    let layout = &mut splits.layout;
    layout.unread.extend(unread);
    for (place, images) in places {
        layout.pass_over(&place, images, used);
    }
    for (files, images, own) in
        [(tars, samples, FileFormat::WebDataset), (tables, rows, FileFormat::Parquet)]
    {
        let place = match &files[..] {
            [] => continue,
            [only] => only.strip_prefix(inner).unwrap_or(only).display().to_string(),
            [first, ..] => {
                let first = first.strip_prefix(inner).unwrap_or(first).display();
                format!("{} files such as {first}", files.len())
            }
        };
        match (format == Some(own), images) {
            (true, _) => {}
            (false, 0) => layout.notes.push(format!("no image is found in {place}")),
            (false, images) => layout.pass_over(&place, images as u64, used),
        }
    }
    Ok(splits)
}

fn extension_of(path: &Path) -> Option<String> {
    Some(path.extension()?.to_string_lossy().to_ascii_lowercase())
}

/// The top folders with pictures, and how many each holds. Pictures beside them are listed by name,
/// or together if there are many.
fn picture_places(root: &Path, found: &Walk) -> BTreeMap<String, u64> {
    const NAMED: usize = 5;
    let mut places: BTreeMap<String, u64> = BTreeMap::new();
    let mut on_top = Vec::new();
    for index in 0..found.index.len() {
        let Some(path) = found.index.path(index) else { continue };
        let mut names = path.strip_prefix(root).unwrap_or(&path).iter();
        match (names.next(), names.next()) {
            (Some(folder), Some(_)) => {
                *places.entry(format!("{}/", folder.to_string_lossy())).or_default() += 1;
            }
            (Some(file), None) => on_top.push(file.to_string_lossy().into_owned()),
            (None, _) => {}
        }
    }
    match on_top.len() {
        0 => {}
        1..=NAMED => places.extend(on_top.into_iter().map(|file| (file, 1))),
        many => {
            places.insert(format!("{} and other pictures", on_top[0]), many as u64);
        }
    }
    places
}

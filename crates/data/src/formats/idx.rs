//! IDX files, the format of MNIST and its relatives, plain or gzipped.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::GzDecoder;
use image::RgbImage;

use crate::{DataError, ImageDataset, InMemory, Splits};

/// Unsigned bytes, three dimensions.
const IMAGES_MAGIC: u32 = 0x0803;
/// Unsigned bytes, one dimension.
const LABELS_MAGIC: u32 = 0x0801;
/// The most pixels in one file: twenty times MNIST's extended set, and 2 GiB as RGB.
const MAX_PIXELS: u64 = 700_000_000;
/// Side of an image.
const MAX_SIDE: u32 = 4096;

/// Opens a folder with a `train-` and a `t10k-` pair of IDX files. With `split_at`, opens one with
/// the `t10k-` pair only, and its first `split_at` images are trained on.
///
/// # Errors
/// Missing, truncated or contradictory files.
pub fn open_idx(
    name: &str,
    folder: &Path,
    class_names: Vec<String>,
    split_at: Option<usize>,
) -> Result<Splits, DataError> {
    let (train, test) = match split_at {
        None => (read_pair(folder, "train")?, read_pair(folder, "t10k")?),
        Some(at) => {
            let (mut images, mut labels) = read_pair(folder, "t10k")?;
            if at == 0 || at >= images.len() {
                let n = images.len();
                return Err(DataError::format(folder, format!("{n} images cannot split at {at}")));
            }
            let test = (images.split_off(at), labels.split_off(at));
            ((images, labels), test)
        }
    };
    let classes = train.1.iter().chain(&test.1).max().map_or(0, |l| *l as usize + 1);
    let class_names = match class_names.len() >= classes {
        true => class_names,
        false => (0..classes).map(|c| c.to_string()).collect(),
    };
    let set = |(images, labels): (Vec<RgbImage>, Vec<u32>)| -> Result<_, DataError> {
        let labels = labels.into_iter().map(Some).collect();
        Ok(Arc::new(InMemory::new(images, labels, class_names.clone())?) as Arc<dyn ImageDataset>)
    };
    Ok(Splits::new(name, set(train)?, Some(set(test)?), Vec::new()))
}

fn read_pair(folder: &Path, prefix: &str) -> Result<(Vec<RgbImage>, Vec<u32>), DataError> {
    let images_path = find(folder, &format!("{prefix}-images-idx3-ubyte"))?;
    let labels_path = find(folder, &format!("{prefix}-labels-idx1-ubyte"))?;
    let images = read_images(&mut reader(&images_path)?, &images_path)?;
    let labels = read_labels(&mut reader(&labels_path)?, &labels_path)?;
    if images.len() != labels.len() {
        let (i, l) = (images.len(), labels.len());
        return Err(DataError::format(&labels_path, format!("{l} labels for {i} images")));
    }
    Ok((images, labels))
}

/// The file by its name, with a dot for the dash as on some mirrors, or gzipped.
fn find(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    let dotted = name.replacen("-idx", ".idx", 1);
    let names = [name.to_owned(), format!("{name}.gz"), dotted.clone(), format!("{dotted}.gz")];
    names.iter().map(|n| folder.join(n)).find(|p| p.is_file()).ok_or_else(|| {
        DataError::format(&folder.join(name), "there is no such file, nor one with .gz")
    })
}

fn reader(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let file = BufReader::new(File::open(path).map_err(DataError::io("open", path))?);
    Ok(match path.extension().is_some_and(|e| e == "gz") {
        true => Box::new(GzDecoder::new(file)),
        false => Box::new(file),
    })
}

pub(crate) fn read_images(reader: &mut dyn Read, path: &Path) -> Result<Vec<RgbImage>, DataError> {
    expect_magic(reader, IMAGES_MAGIC, path)?;
    let (count, height, width) =
        (read_u32(reader, path)?, read_u32(reader, path)?, read_u32(reader, path)?);
    let pixels = u64::from(height) * u64::from(width);
    let allowed = 1..=MAX_SIDE;
    if !allowed.contains(&height)
        || !allowed.contains(&width)
        || u64::from(count).checked_mul(pixels).is_none_or(|n| n > MAX_PIXELS)
    {
        let reason = format!("a header of {count} images of {width}×{height} is beyond the limits");
        return Err(DataError::format(path, reason));
    }
    let mut gray = vec![0; pixels as usize];
    // The buffer grows as bytes arrive: a header alone must not allocate.
    let mut images = Vec::new();
    for index in 0..count {
        reader.read_exact(&mut gray).map_err(|e| {
            DataError::format(path, format!("truncated at image {index} of {count}: {e}"))
        })?;
        let rgb = gray.iter().flat_map(|g| [*g; 3]).collect();
        images.extend(RgbImage::from_raw(width, height, rgb));
    }
    expect_end(reader, path)?;
    Ok(images)
}

pub(crate) fn read_labels(reader: &mut dyn Read, path: &Path) -> Result<Vec<u32>, DataError> {
    expect_magic(reader, LABELS_MAGIC, path)?;
    let count = read_u32(reader, path)?;
    let mut bytes = Vec::new();
    reader
        .take(u64::from(count))
        .read_to_end(&mut bytes)
        .map_err(|e| DataError::format(path, format!("damaged: {e}")))?;
    if bytes.len() != count as usize {
        let reason = format!("truncated at label {} of {count}", bytes.len());
        return Err(DataError::format(path, reason));
    }
    expect_end(reader, path)?;
    Ok(bytes.into_iter().map(u32::from).collect())
}

fn expect_magic(reader: &mut dyn Read, magic: u32, path: &Path) -> Result<(), DataError> {
    let found = read_u32(reader, path)?;
    if found != magic {
        let reason = format!(
            "not the IDX file it should be: it begins with {found:#010x}, not {magic:#010x}"
        );
        return Err(DataError::format(path, reason));
    }
    Ok(())
}

fn expect_end(reader: &mut dyn Read, path: &Path) -> Result<(), DataError> {
    match reader.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(DataError::format(path, "longer than its header says")),
        Err(e) => Err(DataError::format(path, format!("damaged at the end: {e}"))),
    }
}

fn read_u32(reader: &mut dyn Read, path: &Path) -> Result<u32, DataError> {
    let mut bytes = [0; 4];
    reader
        .read_exact(&mut bytes)
        .map_err(|e| DataError::format(path, format!("truncated in its header: {e}")))?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn images(count: u32) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [IMAGES_MAGIC, count, 2, 3].into_iter().flat_map(u32::to_be_bytes).collect();
        bytes.extend((0..count * 6).map(|i| i as u8));
        bytes
    }

    fn labels(labels: &[u8]) -> Vec<u8> {
        let mut bytes: Vec<u8> =
            [LABELS_MAGIC, labels.len() as u32].into_iter().flat_map(u32::to_be_bytes).collect();
        bytes.extend(labels);
        bytes
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        folder
    }

    #[test]
    fn plain_and_gzipped_files_read_alike() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&images(3)).unwrap();
        let folder = folder(&[
            ("train-images-idx3-ubyte.gz", gz.finish().unwrap()),
            ("train-labels-idx1-ubyte", labels(&[1, 0, 1])),
            ("t10k-images-idx3-ubyte", images(2)),
            ("t10k-labels-idx1-ubyte", labels(&[0, 1])),
        ]);
        let splits = open_idx("x", folder.path(), vec![], None).unwrap();
        let image = splits.train.image(1).unwrap();
        assert_eq!(image.dimensions(), (3, 2));
        assert_eq!(image.get_pixel(1, 1).0, [10; 3]);
        assert_eq!((splits.train.label(2), splits.test.unwrap().len()), (Some(1), 2));
    }

    #[test]
    fn one_pair_can_be_split_by_index() {
        let folder = folder(&[
            ("t10k-images-idx3-ubyte", images(5)),
            ("t10k-labels-idx1-ubyte", labels(&[0, 1, 2, 0, 1])),
        ]);
        let splits = open_idx("x", folder.path(), vec![], Some(3)).unwrap();
        assert_eq!((splits.train.len(), splits.test.as_ref().unwrap().len()), (3, 2));
        assert_eq!(splits.test.unwrap().label(0), Some(0));
        assert!(open_idx("x", folder.path(), vec![], Some(5)).is_err());
    }

    #[test]
    fn damage_is_one_clear_error() {
        let read =
            |bytes: &[u8]| read_images(&mut &*bytes, Path::new("f")).unwrap_err().to_string();
        let good = images(3);
        assert!(read(&good[..2]).contains("truncated in its header"));
        assert!(read(&good[..20]).contains("truncated at image 0 of 3"));
        assert!(read(&good[..good.len() - 1]).contains("truncated at image 2 of 3"));
        assert!(read(&labels(&[1])).contains("not the IDX file"));
        assert!(read(&[&good[..], &[0]].concat()).contains("longer than its header"));
        let mut lie = good.clone();
        lie[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        lie[8..12].copy_from_slice(&4096u32.to_be_bytes());
        assert!(read(&lie).contains("beyond the limits"));
        let short = labels(&[1, 2, 3]);
        let error = read_labels(&mut &short[..9], Path::new("f")).unwrap_err().to_string();
        assert!(error.contains("truncated at label 1 of 3"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>, magic in 0x0801u32..0x0804) {
            let bytes = [&magic.to_be_bytes()[..], &bytes].concat();
            let _ = read_images(&mut &*bytes, Path::new("f"));
            let _ = read_labels(&mut &*bytes, Path::new("f"));
        }
    }
}

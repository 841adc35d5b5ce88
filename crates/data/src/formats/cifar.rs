//! The binary version of CIFAR-10 and CIFAR-100: records of label bytes and a planar 32×32 image.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use crate::files::text::read_list;
use crate::{DataError, ImageDataset, InMemory, Splits};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;
/// The most records in one file: twenty times those of the largest published one.
const MAX_RECORDS: u64 = 1_000_000;

/// Opens a folder with CIFAR-10's `data_batch_1.bin` … and `test_batch.bin`, or with CIFAR-100's
/// `train.bin` and `test.bin` (fine labels).
///
/// # Errors
/// Missing or truncated files, or labels out of range.
pub fn open_cifar(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let hundred = folder.join("train.bin").is_file();
    let (train_files, test_file, names_file, classes) = match hundred {
        true => (vec!["train.bin".to_owned()], "test.bin", "fine_label_names.txt", 100),
        false => {
            let batches = (1..=5).map(|i| format!("data_batch_{i}.bin"));
            let found = batches.filter(|name| folder.join(name).is_file()).collect();
            (found, "test_batch.bin", "batches.meta.txt", 10)
        }
    };
    if train_files.is_empty() {
        return Err(DataError::format(folder, "neither data_batch_1.bin nor train.bin is there"));
    }
    let label_bytes = if hundred { 2 } else { 1 };
    let class_names = class_names(&folder.join(names_file), classes);
    let set = |files: &[String]| -> Result<Arc<dyn ImageDataset>, DataError> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            let path = folder.join(file);
            let limit = MAX_RECORDS * (PIXELS as u64 + 2);
            let size = std::fs::metadata(&path).map_err(DataError::io("read", &path))?.len();
            if size > limit {
                let reason = format!("{size} bytes are beyond the limit of {limit}");
                return Err(DataError::format(&path, reason));
            }
            let bytes = std::fs::read(&path).map_err(DataError::io("read", &path))?;
            parse(&bytes, label_bytes, classes, &path, &mut images, &mut labels)?;
        }
        Ok(Arc::new(InMemory::new(images, labels, class_names.clone())?))
    };
    Ok(Splits::new(name, set(&train_files)?, Some(set(&[test_file.to_owned()])?), Vec::new()))
}

pub(crate) fn parse(
    bytes: &[u8],
    label_bytes: usize,
    classes: usize,
    path: &Path,
    images: &mut Vec<RgbImage>,
    labels: &mut Vec<Option<u32>>,
) -> Result<(), DataError> {
    let record = label_bytes + PIXELS;
    if bytes.is_empty() || !bytes.len().is_multiple_of(record) {
        let (whole, rest) = (bytes.len() / record, bytes.len() % record);
        let reason = format!("truncated: {whole} records of {record} bytes and {rest} bytes more");
        return Err(DataError::format(path, reason));
    }
    for (index, record) in bytes.chunks_exact(record).enumerate() {
        let (label, planes) = record.split_at(label_bytes);
        // CIFAR-100 has the coarse label first and the fine one second.
        let label = label.last().copied().unwrap_or_default();
        if usize::from(label) >= classes {
            let reason = format!("record {index} has label {label}, there are {classes} classes");
            return Err(DataError::format(path, reason));
        }
        let plane = SIDE * SIDE;
        let rgb = (0..plane)
            .flat_map(|i| [planes[i], planes[plane + i], planes[2 * plane + i]])
            .collect();
        images.extend(RgbImage::from_raw(SIDE as u32, SIDE as u32, rgb));
        labels.push(Some(u32::from(label)));
    }
    Ok(())
}

/// Class names from the data set's own file, or numbers if it is missing or has another length.
fn class_names(path: &Path, classes: usize) -> Vec<String> {
    let text = read_list(path).unwrap_or_default();
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    match names.len() == classes {
        true => names,
        false => (0..classes).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(labels: &[u8], value: u8) -> Vec<u8> {
        let mut bytes = labels.to_vec();
        bytes.extend((0..3).flat_map(|c| [value + c; SIDE * SIDE]));
        bytes
    }

    fn write(folder: &Path, name: &str, records: &[Vec<u8>]) {
        std::fs::write(folder.join(name), records.concat()).unwrap();
    }

    #[test]
    fn cifar10_and_cifar100_layouts() {
        let ten = tempfile::tempdir().unwrap();
        write(ten.path(), "data_batch_1.bin", &[record(&[3], 10), record(&[9], 20)]);
        write(ten.path(), "data_batch_2.bin", &[record(&[0], 30)]);
        write(ten.path(), "test_batch.bin", &[record(&[1], 40)]);
        let names: String = (0..10).map(|i| format!("class{i}\n")).collect();
        std::fs::write(ten.path().join("batches.meta.txt"), names + "\n").unwrap();
        let splits = open_cifar("cifar10", ten.path()).unwrap();
        assert_eq!((splits.train.len(), splits.train.label(1)), (3, Some(9)));
        assert_eq!(splits.train.image(2).unwrap().get_pixel(5, 5).0, [30, 31, 32]);
        assert_eq!(splits.train.class_names()[9], "class9");

        let hundred = tempfile::tempdir().unwrap();
        write(hundred.path(), "train.bin", &[record(&[4, 77], 10), record(&[4, 5], 50)]);
        write(hundred.path(), "test.bin", &[record(&[1, 99], 20)]);
        let splits = open_cifar("cifar100", hundred.path()).unwrap();
        assert_eq!((splits.train.label(0), splits.train.class_names().len()), (Some(77), 100));
    }

    #[test]
    fn truncation_and_foreign_labels_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "test_batch.bin", &[record(&[1], 40)]);
        for (bytes, message) in [
            (record(&[1], 1)[..3072].to_vec(), "truncated"),
            (Vec::new(), "truncated"),
            (record(&[10], 1), "label 10"),
        ] {
            write(folder.path(), "data_batch_1.bin", &[bytes]);
            let error = open_cifar("x", folder.path()).err().unwrap().to_string();
            assert!(error.contains(message) && error.contains("data_batch_1.bin"), "{error}");
        }
    }
}

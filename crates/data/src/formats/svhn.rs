//! The cropped digits of SVHN (Netzer et al., 2011): 32×32 images in MATLAB files.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::column_major::rgb_from_columns;
use super::mat5::{Variable, for_each_array};
use crate::{DataError, ImageDataset, InMemory, Splits};

const SIDE: usize = 32;
const IMAGE: usize = 3 * SIDE * SIDE;
/// The most images in one file: about twice the published extra ones, and 3 GiB in memory.
const MAX_IMAGES: u64 = 1_000_000;
const CLASSES: u32 = 10;

/// Opens a folder with `train_32x32.mat` and `test_32x32.mat`
/// (<http://ufldl.stanford.edu/housenumbers/>). If `extra_32x32.mat` is there, its images follow
/// the training images.
///
/// `X` has dimensions `[32, 32, 3, N]` of `uint8`, rows fastest; `y` has N numbers from 1 to 10; 10
/// is the digit 0. All images are kept in memory, 3 KiB each.
///
/// # Errors
/// Missing, truncated, damaged or contradictory files.
pub fn open_svhn(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let set = |files: &[&str]| -> Result<Arc<dyn ImageDataset>, DataError> {
        let (mut images, mut labels) = (Vec::new(), Vec::new());
        for file in files {
            let path = folder.join(file);
            let file = File::open(&path).map_err(DataError::io("open", &path))?;
            let digits = parse(&mut BufReader::with_capacity(1 << 16, file), &path)?;
            images.extend(digits.0);
            labels.extend(digits.1.into_iter().map(Some));
        }
        let class_names = (0..CLASSES).map(|c| c.to_string()).collect();
        Ok(Arc::new(InMemory::new(images, labels, class_names)?))
    };
    let extra = folder.join("extra_32x32.mat").is_file();
    let train: &[&str] = match extra {
        true => &["train_32x32.mat", "extra_32x32.mat"],
        false => &["train_32x32.mat"],
    };
    Ok(Splits::new(name, set(train)?, Some(set(&["test_32x32.mat"])?), Vec::new()))
}

/// The images and labels of one file.
pub(crate) fn parse(
    reader: &mut dyn Read,
    path: &Path,
) -> Result<(Vec<RgbImage>, Vec<u32>), DataError> {
    let (mut images, mut labels) = (None, None);
    for_each_array(reader, path, &mut |variable| {
        match variable.name.as_str() {
            "X" => images = Some(read_images(variable)?),
            "y" => labels = Some(read_labels(variable)?),
            _ => {}
        }
        Ok(())
    })?;
    let (Some(images), Some(labels)) = (images, labels) else {
        return Err(DataError::format(path, "there is no X or no y in it"));
    };
    if images.len() != labels.len() {
        let (i, l) = (images.len(), labels.len());
        return Err(DataError::format(path, format!("{l} labels for {i} images")));
    }
    Ok((images, labels))
}

fn read_images(variable: &mut Variable<'_>) -> Result<Vec<RgbImage>, String> {
    let side = SIDE as u64;
    // A last dimension of 1 is not stored.
    let right = variable.dims.starts_with(&[side, side, 3]) && variable.dims.len() <= 4;
    if !right || !variable.is_bytes() {
        return Err(format!("X has dimensions {:?}, not [32, 32, 3, N] bytes", variable.dims));
    }
    let count = variable.count(MAX_IMAGES * IMAGE as u64)? / IMAGE as u64;
    // The buffer grows as bytes arrive: a header alone must not allocate.
    let mut images = Vec::new();
    let mut planes = [0; IMAGE];
    for index in 0..count {
        let read = variable.data().read_exact(&mut planes);
        read.map_err(|e| format!("truncated at image {index} of {count}: {e}"))?;
        images.push(rgb_from_columns(&planes, SIDE));
    }
    Ok(images)
}

fn read_labels(variable: &mut Variable<'_>) -> Result<Vec<u32>, String> {
    let label =
        |(index, number): (usize, f64)| match (1..=CLASSES).find(|l| f64::from(*l) == number) {
            Some(label) => Ok(label % CLASSES),
            None => Err(format!("image {index} has label {number}, not one from 1 to {CLASSES}")),
        };
    variable.numbers(MAX_IMAGES)?.into_iter().enumerate().map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::column_major::tests::columns;
    use crate::formats::mat5::tests::{array, compressed, header};

    const UINT8: u32 = 2;
    const DOUBLE: u32 = 9;

    fn image(value: u8) -> Vec<u8> {
        columns(SIDE, value)
    }

    /// A file as MATLAB writes it: both variables compressed, the labels as bytes.
    fn mat(values: &[u8], labels: &[u8]) -> Vec<u8> {
        let pixels: Vec<u8> = values.iter().flat_map(|v| image(*v)).collect();
        let x = array("X", &[32, 32, 3, values.len() as u32], UINT8, &pixels);
        let y = array("y", &[labels.len() as u32, 1], UINT8, labels);
        [header(), compressed(&x), compressed(&y)].concat()
    }

    fn parse_bytes(bytes: &[u8]) -> Result<(Vec<RgbImage>, Vec<u32>), String> {
        parse(&mut &*bytes, Path::new("f")).map_err(|e| e.to_string())
    }

    #[test]
    fn columns_become_rows_ten_becomes_0_and_extra_images_are_trained_on() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        write("train_32x32.mat", &mat(&[1, 2], &[10, 9]));
        write("test_32x32.mat", &mat(&[3], &[1]));
        let splits = open_svhn("svhn", folder.path()).unwrap();
        assert_eq!(splits.train.image(1).unwrap().get_pixel(20, 5).0, [20, 5, 2]);
        assert_eq!((splits.train.label(0), splits.train.label(1)), (Some(0), Some(9)));
        assert_eq!((splits.train.len(), splits.test.unwrap().label(0)), (2, Some(1)));
        write("extra_32x32.mat", &mat(&[4, 5, 6], &[2, 3, 4]));
        let splits = open_svhn("svhn", folder.path()).unwrap();
        assert_eq!((splits.train.len(), splits.train.label(4)), (5, Some(4)));
        assert_eq!(splits.train.image(4).unwrap().get_pixel(0, 31).0, [0, 31, 6]);
    }

    #[test]
    fn labels_may_be_doubles_and_one_image_lacks_its_last_dimension() {
        let x = array("X", &[32, 32, 3], UINT8, &image(9));
        let y = array("y", &[1, 1], DOUBLE, &10f64.to_le_bytes());
        let (images, labels) = parse_bytes(&[header(), x, y].concat()).unwrap();
        assert_eq!((images[0].get_pixel(1, 2).0, labels), ([1, 2, 9], vec![0]));
    }

    #[test]
    fn damage_is_one_clear_error() {
        let good = mat(&[1, 2], &[1, 2]);
        assert!(parse_bytes(&good[..300]).is_err());
        assert!(parse_bytes(&header()).unwrap_err().contains("no X or no y"));
        assert!(parse_bytes(&mat(&[1], &[1, 2])).unwrap_err().contains("2 labels for 1 images"));
        assert!(parse_bytes(&mat(&[1], &[11])).unwrap_err().contains("label 11"));
        assert!(parse_bytes(&mat(&[1], &[0])).unwrap_err().contains("label 0"));
        let file = |x: &[u8]| parse_bytes(&[&header()[..], x].concat()).unwrap_err();
        let turned = array("X", &[3, 32, 32, 1], UINT8, &image(1));
        assert!(file(&turned).contains("[3, 32, 32, 1]"));
        let lie = array("X", &[32, 32, 3, u32::MAX], UINT8, &image(1));
        assert!(file(&lie).contains("beyond the limit"));
        let cut = array("X", &[32, 32, 3, 1], UINT8, &image(1));
        assert!(file(&cut[..cut.len() - 4]).contains("truncated at image 0 of 1"));
    }
}

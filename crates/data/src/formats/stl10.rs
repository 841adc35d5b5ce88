//! The binary version of STL-10 (Coates, Ng & Lee, 2011): 96×96 images, most of them unlabelled.

use std::path::Path;
use std::sync::Arc;

use image::RgbImage;

use super::column_major::rgb_from_columns;
use crate::files::positioned::PositionedFile;
use crate::files::text::read_list;
use crate::sets::dataset::out_of_range;
use crate::{DataError, ImageDataset, Splits};

const SIDE: usize = 96;
/// Bytes of an image: three planes.
const IMAGE: u64 = (3 * SIDE * SIDE) as u64;
const CLASSES: u8 = 10;
/// The most images in one file: ten times the published unlabelled ones.
const MAX_IMAGES: u64 = 1_000_000;

/// Opens a folder with `train_X.bin`, `train_y.bin`, `test_X.bin` and `test_y.bin`, and, if they
/// are there, `unlabeled_X.bin` and `class_names.txt`
/// (<https://cs.stanford.edu/~acoates/stl10/>).
///
/// The training split has the labelled training images, then the unlabelled ones. A self-supervised
/// method trains on all of them, and [`Subset::labelled`](crate::Subset::labelled) gives probes the
/// labelled ones. A pixel file is a sequence of images. Each has three planes (red, green, blue),
/// stored column by column. Labels are bytes from 1 to 10. Images are read when they are needed.
///
/// # Errors
/// Missing files, a pixel file with a part of an image, another number of labels than of images, or
/// labels out of range.
pub fn open_stl10(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let class_names = class_names(&folder.join("class_names.txt"));
    let set = |parts: Vec<Part>| -> Arc<dyn ImageDataset> {
        Arc::new(Stl10 { parts, class_names: class_names.clone() })
    };
    let mut train = vec![Part::open(folder, "train_X.bin", Some("train_y.bin"))?];
    if folder.join("unlabeled_X.bin").is_file() {
        train.push(Part::open(folder, "unlabeled_X.bin", None)?);
    }
    let test = Part::open(folder, "test_X.bin", Some("test_y.bin"))?;
    Ok(Splits::new(name, set(train), Some(set(vec![test])), Vec::new()))
}

/// Images of one or two files, one after the other.
struct Stl10 {
    parts: Vec<Part>,
    class_names: Vec<String>,
}

/// One file of pixels.
struct Part {
    pixels: PositionedFile,
    images: usize,
    /// One for each image, or none at all.
    labels: Vec<u32>,
}

impl Part {
    fn open(folder: &Path, pixels: &str, labels: Option<&str>) -> Result<Self, DataError> {
        let pixels = PositionedFile::open(&folder.join(pixels))?;
        let images = image_count(pixels.len(), pixels.path())?;
        let mut part = Self { pixels, images, labels: Vec::new() };
        if let Some(labels) = labels {
            let file = PositionedFile::open(&folder.join(labels))?;
            if file.len() != images as u64 {
                let reason = format!("{} labels for {images} images", file.len());
                return Err(DataError::format(file.path(), reason));
            }
            part.labels = parse_labels(&file.read(0, file.len())?, file.path())?;
        }
        Ok(part)
    }
}

impl Stl10 {
    /// The file of image `index`, and its place there.
    fn locate(&self, mut index: usize) -> Option<(&Part, usize)> {
        for part in &self.parts {
            if index < part.images {
                return Some((part, index));
            }
            index -= part.images;
        }
        None
    }
}

impl ImageDataset for Stl10 {
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.images).sum()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let (part, place) = self.locate(index).ok_or_else(|| out_of_range(index, self.len()))?;
        let planes = part.pixels.read(place as u64 * IMAGE, IMAGE)?;
        Ok(Arc::new(rgb_from_columns(&planes, SIDE)))
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (part, place) = self.locate(index)?;
        part.labels.get(place).copied()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }
}

/// How many images a pixel file of `bytes` bytes holds.
pub(crate) fn image_count(bytes: u64, path: &Path) -> Result<usize, DataError> {
    let (images, rest) = (bytes / IMAGE, bytes % IMAGE);
    if images == 0 || rest != 0 {
        let reason = format!("truncated: {images} images of {IMAGE} bytes and {rest} bytes more");
        return Err(DataError::format(path, reason));
    }
    if images > MAX_IMAGES {
        let reason = format!("{images} images are beyond the limit of {MAX_IMAGES}");
        return Err(DataError::format(path, reason));
    }
    Ok(images as usize)
}

/// Labels from 0, of bytes from 1.
pub(crate) fn parse_labels(bytes: &[u8], path: &Path) -> Result<Vec<u32>, DataError> {
    let label = |(index, byte): (usize, &u8)| match byte {
        1..=CLASSES => Ok(u32::from(byte - 1)),
        _ => {
            let reason = format!("image {index} has label {byte}, not one from 1 to {CLASSES}");
            Err(DataError::format(path, reason))
        }
    };
    bytes.iter().enumerate().map(label).collect()
}

/// Class names from the data set's own file, or numbers if it is missing or has another length.
fn class_names(path: &Path) -> Vec<String> {
    let text = read_list(path).unwrap_or_default();
    let names: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    match names.len() == usize::from(CLASSES) {
        true => names,
        false => (1..=CLASSES).map(|c| c.to_string()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::column_major::tests::columns;
    use crate::{Labels, Subset};

    fn image(value: u8) -> Vec<u8> {
        columns(SIDE, value)
    }

    fn folder(unlabelled: bool) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        };
        write("train_X.bin", &[image(1), image(2)].concat());
        write("train_y.bin", &[10, 1]);
        write("test_X.bin", &image(3));
        write("test_y.bin", &[4]);
        if unlabelled {
            write("unlabeled_X.bin", &[image(4), image(5), image(6)].concat());
        }
        folder
    }

    #[test]
    fn columns_become_rows_and_labels_count_from_0() {
        let folder = folder(false);
        let names = "airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n";
        std::fs::write(folder.path().join("class_names.txt"), names).unwrap();
        let splits = open_stl10("stl10", folder.path()).unwrap();
        let image = splits.train.image(1).unwrap();
        assert_eq!(image.dimensions(), (96, 96));
        assert_eq!(image.get_pixel(70, 5).0, [70, 5, 2]);
        assert_eq!((splits.train.label(0), splits.train.label(1)), (Some(9), Some(0)));
        assert_eq!(splits.train.class_names()[9], "truck");
        assert_eq!(splits.test.unwrap().label(0), Some(3));
        assert!(splits.train.image(2).is_err());
    }

    #[test]
    fn unlabelled_images_follow_the_labelled_ones_and_probes_do_not_see_them() {
        let folder = folder(true);
        let splits = open_stl10("stl10", folder.path()).unwrap();
        let labelled = Subset::labelled(splits.train.clone(), Labels::Share(1.0), 0).unwrap();
        assert_eq!((splits.train.len(), labelled.len()), (5, 2));
        assert_eq!((splits.train.label(1), splits.train.label(2)), (Some(0), None));
        assert_eq!(splits.train.image(4).unwrap().get_pixel(0, 95).0, [0, 95, 6]);
        assert_eq!(labelled.image(0).unwrap().get_pixel(3, 4).0, [3, 4, 1]);
    }

    #[test]
    fn sizes_and_labels_that_do_not_fit_are_errors() {
        for (file, bytes, message) in [
            ("train_X.bin", image(1)[1..].to_vec(), "truncated: 0 images"),
            ("unlabeled_X.bin", Vec::new(), "truncated: 0 images"),
            ("train_X.bin", image(1), "2 labels for 1 images"),
            ("test_y.bin", vec![1, 2], "2 labels for 1 images"),
            ("train_y.bin", vec![1, 11], "image 1 has label 11"),
            ("train_y.bin", vec![0, 1], "image 0 has label 0"),
        ] {
            let folder = folder(false);
            std::fs::write(folder.path().join(file), bytes).unwrap();
            let error = open_stl10("x", folder.path()).err().unwrap().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(open_stl10("x", tempfile::tempdir().unwrap().path()).is_err());
        let path = Path::new("f");
        assert!(image_count(IMAGE * MAX_IMAGES, path).is_ok());
        assert!(image_count(IMAGE * (MAX_IMAGES + 1), path).is_err());
    }
}

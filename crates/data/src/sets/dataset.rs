//! What every data set is: images by index, with labels and class names.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;

use super::content::ContentKey;
use crate::DataError;

/// Images by index, some of them labelled.
///
/// An index always means the same image. It keys the randomness of the image's views, so otherwise
/// a run could not be repeated.
pub trait ImageDataset: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Image `index`, decoded, in RGB.
    ///
    /// # Errors
    /// A file that has become unreadable, or an index out of range.
    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError>;

    /// The same, decoded anew and not kept, for reading every image once.
    ///
    /// # Errors
    /// As [`image`](Self::image).
    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        self.image(index).map(Arc::unwrap_or_clone)
    }

    /// Its class, an index into [`class_names`](Self::class_names); `None` without a label.
    fn label(&self, index: usize) -> Option<u32>;

    /// Names of the classes; empty when nothing is labelled.
    fn class_names(&self) -> &[String];

    /// The file that image `index` came from, if it has one of its own.
    fn path(&self, _index: usize) -> Option<PathBuf> {
        None
    }

    /// A name for image `index` that people can find it by: its file, its shard and key, or its
    /// number.
    fn name(&self, index: usize) -> PathBuf {
        self.path(index).unwrap_or_else(|| format!("image {index}").into())
    }

    /// Every file that images come from. None if they are drawn or in memory.
    fn visit_files(&self, _visit: &mut dyn FnMut(&Path)) {}

    /// The images that cannot be read, with the reasons. `None` if only decoding all of them would
    /// tell.
    fn unreadable(&self) -> Option<Vec<(usize, String)>> {
        None
    }

    /// A key of the images, made without reading them. It stays the same only if none of their
    /// files has changed. `None` for images that are drawn or in memory, since they need no copies.
    fn content_key(&self) -> Option<ContentKey> {
        None
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decoded images in memory.
pub struct InMemory {
    images: Vec<Arc<RgbImage>>,
    labels: Vec<Option<u32>>,
    class_names: Vec<String>,
}

impl InMemory {
    /// Images with a label each.
    ///
    /// # Errors
    /// Different numbers of images and labels, or a label without a class name.
    pub fn new(
        images: Vec<RgbImage>,
        labels: Vec<Option<u32>>,
        class_names: Vec<String>,
    ) -> Result<Self, DataError> {
        if images.len() != labels.len() {
            let (i, l) = (images.len(), labels.len());
            return Err(DataError::Request(format!("{i} images have {l} labels")));
        }
        if let Some(label) = labels.iter().flatten().find(|l| **l as usize >= class_names.len()) {
            let n = class_names.len();
            return Err(DataError::Request(format!("label {label} among {n} classes")));
        }
        Ok(Self { images: images.into_iter().map(Arc::new).collect(), labels, class_names })
    }
}

impl ImageDataset for InMemory {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        self.images.get(index).cloned().ok_or_else(|| out_of_range(index, self.len()))
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.get(index).copied().flatten()
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn unreadable(&self) -> Option<Vec<(usize, String)>> {
        Some(Vec::new())
    }
}

pub(crate) fn out_of_range(index: usize, len: usize) -> DataError {
    DataError::Request(format!("there is no image {index} in a data set of {len}"))
}

/// Sums over the pixels of some images, per channel.
#[derive(Default)]
struct Sums {
    count: u64,
    sum: [u64; 3],
    squares: [u64; 3],
}

/// Mean and standard deviation per channel of values in `[0, 1]`, over at most 5,000 images spread
/// evenly over the set. A channel that never varies gets a deviation of 1.
///
/// # Errors
/// None of the images can be read.
pub fn channel_statistics(dataset: &dyn ImageDataset) -> Result<([f32; 3], [f32; 3]), DataError> {
    const SAMPLE: usize = 5000;
    let step = dataset.len().div_ceil(SAMPLE).max(1);
    // Sums of integers do not depend on the order.
    let sums = |index: usize| {
        let image = dataset.image(index)?;
        let mut sums = Sums::default();
        for pixel in image.pixels() {
            sums.count += 1;
            for (c, value) in pixel.0.into_iter().enumerate() {
                sums.sum[c] += u64::from(value);
                sums.squares[c] += u64::from(value) * u64::from(value);
            }
        }
        Ok(sums)
    };
    let results: Vec<Result<Sums, DataError>> =
        (0..dataset.len()).into_par_iter().step_by(step).map(sums).collect();
    let mut failure = None;
    let Sums { mut count, mut sum, mut squares } = Sums::default();
    for result in results {
        match result {
            Ok(image) => {
                count += image.count;
                for c in 0..3 {
                    sum[c] += image.sum[c];
                    squares[c] += image.squares[c];
                }
            }
            Err(error) => failure = Some(error),
        }
    }
    if count == 0 {
        let empty = || DataError::Request("there is no image to take statistics of".into());
        return Err(failure.unwrap_or_else(empty));
    }
    let mean = sum.map(|s| s as f64 / count as f64);
    let mut std = [1.0; 3];
    for c in 0..3 {
        let variance = squares[c] as f64 / count as f64 - mean[c] * mean[c];
        if variance > 1e-3 {
            std[c] = (variance.sqrt() / 255.0) as f32;
        }
    }
    Ok((mean.map(|m| (m / 255.0) as f32), std))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(labels: &[Option<u32>]) -> Arc<dyn ImageDataset> {
        let images = (0..labels.len())
            .map(|i| RgbImage::from_pixel(1, 1, image::Rgb([i as u8, 0, 255])))
            .collect();
        let names = vec!["a".into(), "b".into()];
        Arc::new(InMemory::new(images, labels.to_vec(), names).unwrap())
    }

    #[test]
    fn statistics_by_hand() {
        let (mean, std) = channel_statistics(&*set(&[None, None, None])).unwrap();
        assert!((mean[0] - 1.0 / 255.0).abs() < 1e-6 && mean[2] == 1.0);
        assert!((std[0] - (2.0f32 / 3.0).sqrt() / 255.0).abs() < 1e-6);
        assert_eq!((std[1], std[2]), (1.0, 1.0));
    }
}

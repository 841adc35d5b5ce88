use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;

use crate::DataError;

/// Images by index, some of them labelled.
///
/// An index always means the same image: it keys the randomness of that image's views, so a run
/// can only be repeated if it does.
pub trait ImageDataset: Send + Sync {
    /// How many images there are.
    fn len(&self) -> usize;

    /// Image `index`, decoded, in RGB.
    ///
    /// # Errors
    /// A file that has become unreadable, or an index out of range.
    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError>;

    /// Its class, an index into [`class_names`](Self::class_names); `None` without a label.
    fn label(&self, index: usize) -> Option<u32>;

    /// Names of the classes; empty when nothing is labelled.
    fn class_names(&self) -> &[String];

    /// The file that image `index` came from, if it has one of its own.
    fn path(&self, _index: usize) -> Option<&Path> {
        None
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A file that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The decoder's words.
    pub reason: String,
}

/// A data set as a run uses it.
#[derive(Clone)]
pub struct Splits {
    /// For reports.
    pub name: String,
    /// What is trained on; labels are not looked at in training.
    pub train: Arc<dyn ImageDataset>,
    /// What is tested on, never trained on. `None` when nothing is labelled.
    pub test: Option<Arc<dyn ImageDataset>>,
    /// Per channel over the training images, of values in `[0, 1]`.
    pub mean: [f32; 3],
    /// Per channel over the training images, of values in `[0, 1]`.
    pub std: [f32; 3],
    /// Files left out on opening.
    pub skipped: Vec<Skipped>,
}

impl Splits {
    /// With the statistics computed from `train`.
    ///
    /// # Errors
    /// Images that cannot be read.
    pub fn new(
        name: impl Into<String>,
        train: Arc<dyn ImageDataset>,
        test: Option<Arc<dyn ImageDataset>>,
        skipped: Vec<Skipped>,
    ) -> Result<Self, DataError> {
        let (mean, std) = channel_statistics(&*train)?;
        Ok(Self { name: name.into(), train, test, mean, std, skipped })
    }

    /// The training images that have a label, for probes; `train` itself when all or none have one.
    pub fn labelled_train(&self) -> Arc<dyn ImageDataset> {
        let labelled: Vec<usize> =
            (0..self.train.len()).filter(|i| self.train.label(*i).is_some()).collect();
        match labelled.is_empty() || labelled.len() == self.train.len() {
            true => self.train.clone(),
            false => Arc::new(Subset::new(self.train.clone(), labelled)),
        }
    }

    /// The first `train` and `test` images (see [`Subset::first`]) where a number is given. The
    /// statistics are computed anew.
    ///
    /// # Errors
    /// A limit of 0, or images that cannot be read.
    pub fn limit(self, train: Option<usize>, test: Option<usize>) -> Result<Self, DataError> {
        let cut = |dataset: Arc<dyn ImageDataset>, limit: Option<usize>| match limit {
            Some(0) => Err(DataError::Request("a limit of 0 images leaves nothing".into())),
            Some(n) => Ok(Arc::new(Subset::first(dataset, n)) as Arc<dyn ImageDataset>),
            None => Ok(dataset),
        };
        let test_set = self.test.map(|t| cut(t, test)).transpose()?;
        Self::new(self.name, cut(self.train, train)?, test_set, self.skipped)
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
}

pub(crate) fn out_of_range(index: usize, len: usize) -> DataError {
    DataError::Request(format!("image {index} was asked of a data set of {len}"))
}

/// Some images of another data set. Its indices are its own, from 0.
pub struct Subset {
    inner: Arc<dyn ImageDataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The images at `indices`; those out of range are errors when they are asked for.
    pub fn new(inner: Arc<dyn ImageDataset>, indices: Vec<usize>) -> Self {
        Self { inner, indices }
    }

    /// About the first `n` images: `n / classes` from each class in the order of their indices
    /// when everything is labelled, the first `n` otherwise.
    pub fn first(inner: Arc<dyn ImageDataset>, n: usize) -> Self {
        let classes = inner.class_names().len();
        if classes == 0 || n < classes {
            let indices = (0..inner.len().min(n)).collect();
            return Self { inner, indices };
        }
        let mut left = vec![n / classes; classes];
        let indices = (0..inner.len())
            .filter(|i| match inner.label(*i).and_then(|label| left.get_mut(label as usize)) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            })
            .collect();
        Self { inner, indices }
    }
}

impl ImageDataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let inner = self.indices.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        self.inner.image(*inner)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.inner.label(*self.indices.get(index)?)
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn path(&self, index: usize) -> Option<&Path> {
        self.inner.path(*self.indices.get(index)?)
    }
}

/// Mean and standard deviation per channel of values in `[0, 1]`, over at most 5,000 images spread
/// evenly over the set. A channel that never varies gets a deviation of 1.
///
/// # Errors
/// None of the images can be read.
pub fn channel_statistics(dataset: &dyn ImageDataset) -> Result<([f32; 3], [f32; 3]), DataError> {
    const SAMPLE: usize = 5000;
    let step = dataset.len().div_ceil(SAMPLE).max(1);
    let (mut count, mut sum, mut squares) = (0u64, [0u64; 3], [0u64; 3]);
    let mut failure = None;
    for index in (0..dataset.len()).step_by(step) {
        let image = match dataset.image(index) {
            Ok(image) => image,
            Err(error) => {
                failure = Some(error);
                continue;
            }
        };
        for pixel in image.pixels() {
            count += 1;
            for (c, value) in pixel.0.into_iter().enumerate() {
                sum[c] += u64::from(value);
                squares[c] += u64::from(value) * u64::from(value);
            }
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
    fn a_limit_takes_the_first_of_each_class() {
        let labels = [Some(0), Some(0), Some(0), Some(1), None, Some(1), Some(1)];
        let subset = Subset::first(set(&labels), 5);
        assert_eq!(subset.indices, [0, 1, 3, 5]);
        assert_eq!(subset.image(2).unwrap().get_pixel(0, 0).0[0], 3);
        assert_eq!(subset.label(3), Some(1));
        assert!(subset.image(4).is_err());
    }

    #[test]
    fn statistics_by_hand() {
        let (mean, std) = channel_statistics(&*set(&[None, None, None])).unwrap();
        assert!((mean[0] - 1.0 / 255.0).abs() < 1e-6 && mean[2] == 1.0);
        assert!((std[0] - (2.0f32 / 3.0).sqrt() / 255.0).abs() < 1e-6);
        assert_eq!((std[1], std[2]), (1.0, 1.0));
    }
}

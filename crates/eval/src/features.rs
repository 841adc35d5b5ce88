use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_models::Encoder;

use crate::EvalError;

/// One feature vector per image.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    rows: usize,
    dim: usize,
}

impl Features {
    /// `values`: row-major `[rows, dim]`, all finite, dim ≥ 1.
    ///
    /// # Errors
    /// Another length, or a value that is NaN or infinite.
    pub fn new(values: Vec<f32>, rows: usize, dim: usize) -> Result<Self, EvalError> {
        if dim == 0 || rows.checked_mul(dim) != Some(values.len()) {
            let n = values.len();
            return Err(EvalError::Request(format!("{n} values are not {rows} rows of {dim}")));
        }
        if let Some(i) = values.iter().position(|v| !v.is_finite()) {
            return Err(EvalError::NotFinite { row: i / dim, dim: i % dim, value: values[i] });
        }
        Ok(Self { values, rows, dim })
    }

    /// How many vectors.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Row-major `[rows, dim]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The vectors one by one.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dim)
    }

    /// Every vector divided by its length; a zero vector stays zero.
    pub fn normalized(&self) -> Self {
        let mut values = self.values.clone();
        for row in values.chunks_exact_mut(self.dim) {
            let norm = row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                row.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
            }
        }
        Self { values, ..*self }
    }

    /// Some of the vectors, in the order of `indices`; those out of range are left out.
    pub(crate) fn select(&self, indices: &[usize]) -> Self {
        let rows = indices.iter().filter_map(|i| self.values.get(i * self.dim..(i + 1) * self.dim));
        let values: Vec<f32> = rows.flatten().copied().collect();
        Self { rows: values.len() / self.dim, values, dim: self.dim }
    }
}

/// Images in the form that an encoder is evaluated on: no augmentation, normalised.
pub trait LabelledImages {
    /// How many there are.
    fn len(&self) -> usize;

    /// Appends the images of `range` to `out`, row-major `[images, channels, height, width]`, and
    /// returns `[channels, height, width]`, which is the same for all.
    ///
    /// # Errors
    /// Whatever keeps the images from being read.
    fn read(
        &self,
        range: Range<usize>,
        out: &mut Vec<f32>,
    ) -> Result<[usize; 3], Box<dyn std::error::Error + Send + Sync>>;

    /// The class of an image; `None` without a label.
    fn label(&self, index: usize) -> Option<u32>;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All labels in order.
    fn labels(&self) -> Vec<Option<u32>> {
        (0..self.len()).map(|i| self.label(i)).collect()
    }
}

/// The features of all images, `batch_size` at a time.
///
/// The encoder must be on `device`, a plain one: there batch norm uses its running statistics,
/// which is what evaluation means. A validation snapshot (`model.valid()`) is.
///
/// # Errors
/// An autodiff device, unreadable images, features that are not finite.
pub fn extract(
    encoder: &impl Encoder,
    images: &dyn LabelledImages,
    batch_size: usize,
    device: &Device,
) -> Result<Features, EvalError> {
    if device.is_autodiff() {
        let reason =
            "features are extracted on a plain device; on an autodiff device batch norm trains";
        return Err(EvalError::Request(reason.into()));
    }
    let mut values = Vec::with_capacity(images.len() * encoder.feature_dim());
    let batch_size = batch_size.max(1);
    let mut start = 0;
    while start < images.len() {
        let end = (start + batch_size).min(images.len());
        let mut pixels = Vec::new();
        let [c, h, w] = images.read(start..end, &mut pixels).map_err(EvalError::Images)?;
        let input = Tensor::<4>::from_data(TensorData::new(pixels, [end - start, c, h, w]), device);
        let features = encoder.forward(input).into_data();
        let features =
            features.try_into_vec::<f32>().map_err(|e| EvalError::Device(format!("{e:?}")))?;
        values.extend(features);
        start = end;
    }
    Features::new(values, images.len(), encoder.feature_dim())
}

/// The pixels themselves as features: the baseline that any encoder should beat.
///
/// # Errors
/// Unreadable images, or none.
pub fn raw_pixels(images: &dyn LabelledImages) -> Result<Features, EvalError> {
    let mut values = Vec::new();
    let [c, h, w] = images.read(0..images.len(), &mut values).map_err(EvalError::Images)?;
    Features::new(values, images.len(), c * h * w)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Images of one pixel whose channels are the index.
    pub(crate) struct Counting(pub usize);

    impl LabelledImages for Counting {
        fn len(&self) -> usize {
            self.0
        }
        fn read(
            &self,
            range: Range<usize>,
            out: &mut Vec<f32>,
        ) -> Result<[usize; 3], Box<dyn std::error::Error + Send + Sync>> {
            out.extend(range.flat_map(|i| [i as f32; 3]));
            Ok([3, 1, 1])
        }
        fn label(&self, index: usize) -> Option<u32> {
            Some(index as u32 % 2)
        }
    }

    struct Doubling;

    impl Encoder for Doubling {
        fn forward(&self, images: Tensor<4>) -> Tensor<2> {
            images.flatten::<2>(1, 3).mul_scalar(2.0)
        }
        fn feature_dim(&self) -> usize {
            3
        }
    }

    #[test]
    fn extraction_covers_a_partial_last_batch() {
        let features = extract(&Doubling, &Counting(7), 3, &Device::flex()).unwrap();
        assert_eq!((features.rows(), features.dim()), (7, 3));
        assert_eq!(features.iter().last().unwrap(), [12.0; 3]);
        assert_eq!(raw_pixels(&Counting(2)).unwrap().values(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }

    #[test]
    fn train_mode_and_divergence_are_refused() {
        assert!(extract(&Doubling, &Counting(2), 2, &Device::flex().autodiff()).is_err());
        let error = Features::new(vec![0.0, 1.0, f32::NAN, 3.0], 2, 2).unwrap_err();
        assert!(matches!(error, EvalError::NotFinite { row: 1, dim: 0, .. }), "{error}");
        assert!(Features::new(vec![0.0; 3], 2, 2).is_err());
    }

    #[test]
    fn normalized_rows_have_length_one_or_zero() {
        let features = Features::new(vec![3.0, 4.0, 0.0, 0.0], 2, 2).unwrap().normalized();
        assert_eq!(features.values(), [0.6, 0.8, 0.0, 0.0]);
    }
}

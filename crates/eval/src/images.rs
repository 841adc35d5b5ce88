//! Labelled images for the evaluation of an encoder.

use std::ops::Range;

use crate::{EvalError, Features};

/// Images for the evaluation of an encoder: normalised, without augmentation.
pub trait LabelledImages {
    /// How many there are.
    fn len(&self) -> usize;

    /// Appends the images of `range` to `out`, row-major `[images, channels, height, width]`.
    /// Returns `[channels, height, width]`. It is the same for all images.
    ///
    /// # Errors
    /// Any reason why the images cannot be read.
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
mod tests {
    use super::*;

    /// Images of one pixel whose channels are the index.
    struct Counting(usize);

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

    #[test]
    fn raw_pixels_are_the_images() {
        assert_eq!(raw_pixels(&Counting(2)).unwrap().values(), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    }
}

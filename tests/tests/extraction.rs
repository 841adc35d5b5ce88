//! Features of a Burn encoder.

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use selfsame_eval::{LabelledImages, extract};
use selfsame_models::Encoder;

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
}

#[test]
fn train_mode_is_refused() {
    assert!(extract(&Doubling, &Counting(2), 2, &Device::flex().autodiff()).is_err());
}

//! Random small batches for property tests of the losses, and the backends they run on.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

/// Both CPU backends, so that an invariant cannot hold by accident of one.
pub fn devices() -> [Device; 2] {
    #[expect(deprecated, reason = "built and tested until Burn removes it")]
    [Device::flex(), Device::ndarray()]
}

/// A batch of embeddings on the host.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Embeddings.
    pub rows: usize,
    /// Features of each.
    pub dim: usize,
    /// Row-major.
    pub values: Vec<f32>,
}

impl Batch {
    /// `[rows, dim]`.
    pub fn tensor(&self, device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(self.values.clone(), [self.rows, self.dim]), device)
    }

    /// Every value as a function of (row, feature, value).
    pub fn map(&self, f: impl Fn(usize, usize, f32) -> f32) -> Self {
        let values = self.values.iter().enumerate();
        let values = values.map(|(i, v)| f(i / self.dim, i % self.dim, *v)).collect();
        Self { values, ..self.clone() }
    }

    /// Rows in another order, the same for every batch of as many rows.
    pub fn permuted(&self, shift: usize) -> Self {
        let values = (0..self.rows)
            .flat_map(|r| {
                let from = (self.rows - 1 - r + shift) % self.rows;
                self.values[from * self.dim..(from + 1) * self.dim].to_vec()
            })
            .collect();
        Self { values, ..self.clone() }
    }
}

/// `N` batches of one shape with at least `min_rows` rows, values in [-2.5, 2.5] and, from two rows
/// on, no dimension nearly constant: the first two rows are at least 1 apart.
pub fn batches<const N: usize>(min_rows: usize) -> impl Strategy<Value = [Batch; N]> {
    batches_of(min_rows..24, 1..12)
}

/// [`batches`] of as many rows and dimensions as the ranges allow.
pub fn batches_of<const N: usize>(
    rows: Range<usize>,
    dim: Range<usize>,
) -> impl Strategy<Value = [Batch; N]> {
    (rows, dim).prop_flat_map(|(rows, dim)| {
        proptest::array::uniform(proptest::collection::vec(-1.0f32..1.0, rows * dim)).prop_map(
            move |all: [Vec<f32>; N]| {
                all.map(|values| {
                    Batch { rows, dim, values }.map(|r, _, v| match r {
                        0 => v + 1.5,
                        1 => v - 1.5,
                        _ => v,
                    })
                })
            },
        )
    })
}

/// The value of a loss.
pub fn scalar(loss: Tensor<1>) -> f32 {
    loss.into_scalar::<f32>()
}

/// `|a − b| ≤ tolerance · (1 + max(|a|, |b|))`.
pub fn close(a: f32, b: f32, tolerance: f32) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

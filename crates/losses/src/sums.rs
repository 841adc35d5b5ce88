//! Sums and means that are exact on every backend.
//!
//! How Burn sums depends on the backend and on its features. Flex without the feature `simd` adds
//! one number after another to an f32: after 2²⁴ equal numbers the sum stops growing. Down the
//! columns of a matrix it does so with `simd` too. Here at most sixteen numbers are added in this
//! way, then the sums of the pieces, and so on. The error grows with the logarithm of the count.

use burn::tensor::Tensor;

/// Numbers that are added one after another. Sixteen equal ones are wrong by 3e-7 at most.
const PIECE: usize = 16;

/// The sum of all elements, `[1]`: within 1e-6 of the sum of their sizes.
///
/// `x`: any shape, f32 or f64. Differentiable.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use selfsame_losses::sums;
///
/// let x = Tensor::<2>::full([1024, 1024], 0.1, &Device::flex());
/// let sum = sums::sum(x).into_scalar::<f32>();
/// assert!((sum / 104_857.6 - 1.0).abs() < 1e-6);
/// ```
pub fn sum<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count = x.shape().num_elements();
    sum_dim(x.reshape([count]), 0)
}

/// The mean of all elements, `[1]`: [`sum`] over their number; NaN where there is none.
pub fn mean<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    let count = x.shape().num_elements();
    sum(x).div_scalar(count as f64)
}

/// The sums along a dimension, which stays with length 1. As precise as [`sum`].
///
/// # Panics
/// If there is no dimension `dim`, as Burn's `sum_dim` does.
pub fn sum_dim<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let mut shape = x.dims();
    let mut count = shape[dim];
    if count <= PIECE || x.shape().num_elements() == 0 {
        return x.sum_dim(dim);
    }
    let [outer, inner] = [&shape[..dim], &shape[dim + 1..]].map(|s| s.iter().product::<usize>());
    shape[dim] = 1;
    let mut x = x.reshape([outer, count, inner]);
    while count > PIECE {
        let pieces = count.div_ceil(PIECE);
        let missing = pieces * PIECE - count;
        if missing > 0 {
            let zeros = Tensor::zeros([outer, missing, inner], (&x.device(), x.dtype()));
            x = Tensor::cat(vec![x, zeros], 1);
        }
        x = sum_middle(x.reshape([outer * pieces, PIECE, inner])).reshape([outer, pieces, inner]);
        count = pieces;
    }
    sum_middle(x).reshape(shape)
}

/// The means along a dimension, which stays with length 1: [`sum_dim`] over its length.
///
/// # Panics
/// If there is no dimension `dim`, as Burn's `mean_dim` does.
pub fn mean_dim<const D: usize>(x: Tensor<D>, dim: usize) -> Tensor<D> {
    let count = x.dims()[dim];
    sum_dim(x, dim).div_scalar(count as f64)
}

/// `[outer, count, inner]` → `[outer, 1, inner]`, by Burn's own sum.
fn sum_middle(x: Tensor<3>) -> Tensor<3> {
    match x.dims() {
        // Burn has a faster sum for rows.
        [outer, count, 1] => x.reshape([outer, count]).sum_dim(1).reshape([outer, 1, 1]),
        _ => x.sum_dim(1),
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution, Tensor};

    use super::*;

    fn exactly(values: &[f32]) -> f64 {
        values.iter().map(|v| f64::from(*v)).sum()
    }

    fn uniform<const D: usize>(shape: [usize; D]) -> (Tensor<D>, Vec<f32>) {
        let device = Device::flex();
        device.seed(3);
        let x = Tensor::<D>::random(shape, Distribution::Default, &device);
        let values = x.to_data().try_to_vec().unwrap();
        (x, values)
    }

    fn values<const D: usize>(x: Tensor<D>) -> Vec<f32> {
        x.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn sum_of_many_numbers() {
        for count in [0, 1, 15, 16, 17, 255, 257, (1 << 22) - 1, 1 << 22] {
            let (x, numbers) = uniform([count]);
            let ours = f64::from(sum(x).into_scalar::<f32>());
            let expected = exactly(&numbers);
            assert!((ours - expected).abs() <= 1e-6 * expected, "{count}: {ours} {expected}");
        }
    }

    #[test]
    fn sum_of_equal_numbers() {
        for number in [0.1f32, 1.0 / 3.0, 0.7, 1.0 + f32::EPSILON] {
            let x = Tensor::<2>::full([1 << 11, (1 << 11) + 1], number, &Device::flex());
            let ours = f64::from(mean(x).into_scalar::<f32>());
            assert!((ours / f64::from(number) - 1.0).abs() < 1e-6, "{number}: {ours}");
        }
    }

    #[test]
    fn sums_along_each_dimension() {
        let (outer, middle, inner) = (5, 20_011, 7);
        let (x, numbers) = uniform([outer, middle, inner]);
        let at = |o: usize, m: usize, i: usize| numbers[(o * middle + m) * inner + i];
        let check = |ours: Vec<f32>, expected: Vec<f64>| {
            assert_eq!(ours.len(), expected.len());
            for (ours, expected) in ours.into_iter().zip(expected) {
                assert!((f64::from(ours) / expected - 1.0).abs() < 1e-6, "{ours} {expected}");
            }
        };
        let along_middle = (0..outer).flat_map(|o| {
            (0..inner).map(move |i| exactly(&(0..middle).map(|m| at(o, m, i)).collect::<Vec<_>>()))
        });
        check(values(sum_dim(x.clone(), 1)), along_middle.collect());
        let rows = x.clone().reshape([outer, middle * inner]);
        check(values(sum_dim(rows, 1)), numbers.chunks(middle * inner).map(exactly).collect());
        // A transposed view: nothing is contiguous along the sum.
        let columns = x.clone().reshape([outer * middle, inner]);
        let down = (0..inner)
            .map(|i| exactly(&numbers.iter().skip(i).step_by(inner).copied().collect::<Vec<_>>()));
        let down: Vec<f64> = down.collect();
        check(values(sum_dim(columns.clone(), 0)), down.clone());
        check(values(sum_dim(columns.clone().transpose(), 1)), down.clone());
        let means = down.iter().map(|sum| sum / (outer * middle) as f64).collect();
        check(values(mean_dim(columns, 0)), means);
    }

    #[test]
    fn every_element_has_gradient_one() {
        let device = Device::flex().autodiff();
        for shape in [[3, 1000], [1000, 3], [4, 4]] {
            for dim in [None, Some(0), Some(1)] {
                let x = Tensor::<2>::ones(shape, &device).require_grad();
                let sum = match dim {
                    None => sum(x.clone()),
                    Some(dim) => sum_dim(x.clone(), dim).sum(),
                };
                let gradient = values(x.grad(&sum.backward()).unwrap());
                assert!(gradient.iter().all(|g| *g == 1.0), "{shape:?} {dim:?}");
            }
        }
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        let device = Device::flex();
        for bad in [f32::NAN, f32::INFINITY] {
            let x = Tensor::cat(
                vec![Tensor::<1>::ones([99], &device), Tensor::from_floats([bad], &device)],
                0,
            );
            assert!(!sum(x).into_scalar::<f32>().is_finite());
        }
    }
}

//! The order of tensors in memory.
//!
//! Elementwise operations only need the same order for all tensors of a job. Convolution weights
//! may be channels-last, and rows may be padded.

use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::permute;
use burn_cubecl::tensor::CubeTensor;

/// Splits a list into columns of `jobs` tensors. All tensors of a job get the order of the tensor
/// in column `reference`. They are without gaps if they have to be `dense`.
pub fn columns(
    list: Vec<CubeTensor>,
    jobs: usize,
    reference: usize,
    dense: bool,
) -> Vec<Vec<CubeTensor>> {
    let mut columns: Vec<Vec<CubeTensor>> = Vec::new();
    let mut list = list.into_iter();
    while list.len() > 0 && jobs > 0 {
        columns.push(list.by_ref().take(jobs).collect());
    }
    for job in 0..jobs {
        let kept = &columns[reference][job];
        if extent(kept) == 0 {
            continue;
        }
        let sound = kept.is_nonoverlapping() && (!dense || is_dense(kept));
        let same = columns.iter().all(|column| same_order(&column[job], kept));
        if same && sound {
            continue;
        }
        let mut like = kept.clone();
        if !is_dense(&like) {
            like = into_contiguous(like);
        }
        for column in &mut columns {
            if !same_order(&column[job], &like) {
                column[job] = arrange(column[job].clone(), &like);
            }
        }
    }
    columns
}

/// The number of elements from a tensor's first to its last in memory.
pub fn extent(tensor: &CubeTensor) -> usize {
    let (shape, strides) = (tensor.meta.shape(), tensor.meta.strides());
    if shape.iter().any(|size| *size == 0) {
        return 0;
    }
    1 + shape.iter().zip(strides.iter()).map(|(size, stride)| (size - 1) * stride).sum::<usize>()
}

fn is_dense(tensor: &CubeTensor) -> bool {
    tensor.is_nonoverlapping() && extent(tensor) == tensor.meta.num_elements()
}

/// Whether two tensors of one shape have the same order in memory.
fn same_order(a: &CubeTensor, b: &CubeTensor) -> bool {
    let strides = a.meta.strides().iter().zip(b.meta.strides().iter());
    a.meta.shape().iter().zip(strides).all(|(size, (a, b))| *size <= 1 || a == b)
}

/// The same values in the order of `like`. `like` is dense.
fn arrange(tensor: CubeTensor, like: &CubeTensor) -> CubeTensor {
    let strides = like.meta.strides();
    let mut axes: Vec<usize> = (0..strides.len()).collect();
    axes.sort_by_key(|axis| {
        (std::cmp::Reverse(strides[*axis]), std::cmp::Reverse(like.meta.shape()[*axis]))
    });
    let mut back = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(place, axis)| back[*axis] = place);
    permute(into_contiguous(permute(tensor, &axes)), &back)
}

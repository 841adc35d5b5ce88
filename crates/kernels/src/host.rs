//! Tensors of CPU backends as slices, and back.

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, TensorData};

/// A backend with tensors in this process's memory.
pub trait HostBackend: Backend {
    /// The elements in row-major order, copied only if the tensor's memory has another order.
    fn host<R>(tensor: FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R;

    /// The same values in row-major order, so that reading them again needs no copy.
    fn row_major(tensor: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A tensor that owns the given memory.
    fn from_host(values: Vec<f32>, shape: Shape, device: &Device<Self>) -> FloatTensor<Self> {
        Self::float_from_data(TensorData::new(values, shape), device)
    }
}

#[cfg(feature = "flex")]
impl HostBackend for burn::backend::Flex {
    fn host<R>(tensor: FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R {
        let tensor = tensor.to_contiguous();
        match tensor.as_slice::<f32>() {
            Some(values) => read(values),
            None => read(&tensor.storage::<f32>()[..tensor.shape().num_elements()]),
        }
    }

    fn row_major(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        tensor.to_contiguous()
    }
}

#[cfg(feature = "ndarray")]
#[expect(deprecated, reason = "supported until Burn removes it")]
impl HostBackend for burn::backend::NdArray {
    fn host<R>(tensor: FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R {
        use burn::backend::ndarray::NdArrayTensor;
        let NdArrayTensor::F32(storage) = tensor else { panic!("the caller has checked for f32") };
        let view = storage.view();
        match (view.as_slice(), view.as_slice_memory_order()) {
            (Some(values), _) => read(values),
            // A flipped tensor has negative strides.
            (None, Some(memory)) if view.strides().iter().all(|stride| *stride >= 0) => {
                read(&rearranged(memory, view.shape(), view.strides()))
            }
            _ => read(&view.iter().copied().collect::<Vec<f32>>()),
        }
    }

    fn row_major(tensor: FloatTensor<Self>) -> FloatTensor<Self> {
        let (shape, device) = (tensor.shape(), tensor.device());
        if let burn::backend::ndarray::NdArrayTensor::F32(storage) = &tensor
            && storage.view().is_standard_layout()
        {
            return tensor;
        }
        Self::from_host(Self::host(tensor, <[f32]>::to_vec), shape, &device)
    }
}

/// The values of a tensor with these strides, row by row. This is far faster than an iterator that
/// counts through all dimensions for every value.
#[cfg(feature = "ndarray")]
fn rearranged(memory: &[f32], shape: &[usize], strides: &[isize]) -> Vec<f32> {
    let [.., rows, columns] = *shape else { return memory.to_vec() };
    let [.., row, column] = *strides else { return memory.to_vec() };
    let (row, column) = (row.unsigned_abs(), column.unsigned_abs());
    let plane = rows * columns;
    crate::memory::build(shape.iter().product(), plane, |i, values| {
        // The start of plane number i.
        let outer = shape.iter().zip(strides).rev().skip(2);
        let (start, _) = outer.fold((0, i), |(start, i), (size, stride)| {
            (start + i % size * stride.unsigned_abs(), i / size)
        });
        for (r, values) in values.chunks_exact_mut(columns).enumerate() {
            let from = memory[start + r * row..].iter().step_by(column.max(1));
            values.iter_mut().zip(from).for_each(|(value, from)| *value = *from);
        }
    })
}

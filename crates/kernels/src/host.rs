//! Tensors of CPU backends as slices, and back.

use burn::backend::tensor::{Device, FloatTensor};
use burn::backend::{Backend, TensorMetadata};
use burn::tensor::{Shape, TensorData};

/// A backend whose tensors lie in this process's memory.
pub trait HostBackend: Backend {
    /// The elements in row-major order, copied only if the tensor's memory has another order.
    fn host<R>(tensor: FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R;

    /// A tensor that takes the memory over.
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
}

#[cfg(feature = "ndarray")]
#[expect(deprecated, reason = "supported until Burn removes it")]
impl HostBackend for burn::backend::NdArray {
    fn host<R>(tensor: FloatTensor<Self>, read: impl FnOnce(&[f32]) -> R) -> R {
        use burn::backend::ndarray::NdArrayTensor;
        let NdArrayTensor::F32(storage) = tensor else { panic!("the caller has checked for f32") };
        let view = storage.view();
        match view.as_slice() {
            Some(values) => read(values),
            None => read(&view.iter().copied().collect::<Vec<f32>>()),
        }
    }
}

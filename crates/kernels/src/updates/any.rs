//! Tensors of any number of dimensions.

use burn::backend::ops::FloatTensorOps;
use burn::backend::{Dispatch, DispatchTensor, ExecutionError, TensorMetadata};
use burn::tensor::{DType, Device, Shape, Tensor, TensorData};

use crate::workers::is_cpu;

/// A float tensor of any number of dimensions, without gradient. Elementwise operations need no
/// rank, and the parameters of a network have several ranks.
///
/// It keeps the tensor's order in memory. Nothing is flattened or copied.
#[derive(Debug, Clone)]
pub struct AnyTensor(DispatchTensor);

impl<const D: usize> From<Tensor<D>> for AnyTensor {
    fn from(tensor: Tensor<D>) -> Self {
        Self(tensor.inner().into_dispatch())
    }
}

impl AnyTensor {
    /// From values in row-major order.
    pub fn from_data(data: TensorData, device: &Device) -> Self {
        Self(Dispatch::float_from_data(data, device.clone().inner().as_dispatch()))
    }

    /// Its dimensions.
    pub fn shape(&self) -> Shape {
        self.0.shape()
    }

    /// As a tensor of `D` dimensions.
    ///
    /// # Panics
    /// If it has another number of dimensions.
    pub fn into_tensor<const D: usize>(self) -> Tensor<D> {
        assert_eq!(self.shape().num_dims(), D, "a tensor keeps its number of dimensions");
        Tensor::from_dispatch(self.0)
    }

    /// Its values in row-major order. Waits for the device.
    ///
    /// # Errors
    /// The device has failed.
    pub fn to_data(&self) -> Result<TensorData, ExecutionError> {
        burn::tensor::read_sync(Dispatch::float_into_data(self.0.clone()))
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(super) fn dtype(&self) -> DType {
        self.0.dtype()
    }

    /// All values in one dimension.
    pub(super) fn flat(self) -> Tensor<1> {
        let elements = self.shape().num_elements();
        Tensor::from_dispatch(Dispatch::float_reshape(self.0, Shape::new([elements])))
    }

    /// The other way.
    pub(super) fn shaped(flat: Tensor<1>, shape: Shape) -> Self {
        Self(Dispatch::float_reshape(flat.inner().into_dispatch(), shape))
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(super) fn dispatch(&self) -> &DispatchTensor {
        &self.0
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(super) fn into_dispatch(self) -> DispatchTensor {
        self.0
    }

    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub(super) fn from_dispatch(tensor: DispatchTensor) -> Self {
        Self(tensor)
    }
}

/// Whether the kernels on this process's memory take it.
pub(super) fn on_host<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_cpu(&x.device())
}

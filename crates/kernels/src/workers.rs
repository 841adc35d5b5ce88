use burn::backend::DispatchDevice;
use burn::tensor::Device;

use crate::precision::{autocast, current};

/// Runs `f` on one of the threads that compute, when `device` is a CPU device with kernels here;
/// anywhere else it just runs it.
///
/// A kernel called from another thread must wake a computing one and then sleep until it is done. A
/// training step calls hundreds of them, some shorter than that takes: run as a whole in here, steps
/// of small networks are up to a third faster. An [`autocast`] reaches inside. `f` should
/// compute, not wait: its thread is missing elsewhere meanwhile.
///
/// ```
/// use burn::tensor::{Device, Tensor};
///
/// let device = Device::flex();
/// let sum = selfsame_kernels::on_workers(&device, || Tensor::<1>::ones([3], &device).sum());
/// assert_eq!(sum.into_scalar::<f32>(), 3.0);
/// ```
pub fn on_workers<R: Send>(device: &Device, f: impl FnOnce() -> R + Send) -> R {
    if !is_cpu(device) {
        return f();
    }
    let precision = current();
    rayon::scope(|_| autocast(precision, f))
}

/// Whether there are kernels for the device.
pub fn is_cpu(device: &Device) -> bool {
    match device.clone().inner().as_dispatch() {
        #[cfg(feature = "flex")]
        DispatchDevice::Flex(_) => true,
        #[cfg(feature = "ndarray")]
        DispatchDevice::NdArray(_) => true,
        _ => false,
    }
}

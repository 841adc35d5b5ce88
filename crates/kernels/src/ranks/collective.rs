//! Sums over ranks without the host: the devices of one process exchange them.

use std::fmt::Debug;

use burn::tensor::distributed::{ReduceOperation, all_reduce};
use burn::tensor::{Device, Tensor};

/// Sums tensors of all ranks on their devices.
pub trait DeviceSums: Debug + Send + Sync {
    /// The sums over ranks, `[n]`, with the same bits on all ranks. The gradient of a rank's own
    /// values is the sum over ranks of the gradients for the results.
    fn sum(&self, x: Tensor<1>) -> Tensor<1>;
}

/// Sums by Burn's collective operations: NCCL between NVIDIA GPUs. Devices wait for each other. The
/// host does not wait.
#[derive(Debug)]
pub(crate) struct Collective {
    /// The devices of all ranks.
    devices: Vec<Device>,
}

impl Collective {
    pub(crate) fn new(devices: &[Device]) -> Self {
        Self { devices: devices.iter().map(|device| device.clone().inner()).collect() }
    }
}

impl DeviceSums for Collective {
    fn sum(&self, x: Tensor<1>) -> Tensor<1> {
        all_reduce(x, ReduceOperation::Sum, self.devices.clone()).resolve()
    }
}

/// Whether these devices can sum tensors between themselves. They must be different GPUs of a
/// runtime with a library for it. For CUDA this is NCCL, loaded as `libnccl.so`.
pub fn connected(devices: &[Device]) -> bool {
    let once = (1..devices.len()).all(|i| !devices[..i].contains(&devices[i]));
    devices.len() > 1 && once && devices.iter().all(has_transport)
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn has_transport(device: &Device) -> bool {
    use burn::backend::DispatchDevice;
    let device = device.clone().inner();
    matches!(device.as_dispatch(), DispatchDevice::Cube(device) if device.client().has_device_transport())
}

#[cfg(not(any(feature = "cuda", feature = "wgpu")))]
fn has_transport(_: &Device) -> bool {
    false
}

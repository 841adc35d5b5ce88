//! Devices, checked that they exist and compute.

use burn::tensor::Device;

use crate::error::usage;
use crate::settings::DeviceName;

mod answers;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
pub mod gpu;
pub(crate) mod job;
mod sums;
pub mod threads;

pub use answers::cause;
pub use sums::ranks_on;

/// One device, or several that train together, separated by commas.
///
/// # Errors
/// This build does not have the device, or it does not compute.
pub fn parse_all(names: &str) -> anyhow::Result<Vec<Device>> {
    DeviceName::all(names)?.into_iter().map(open).collect()
}

/// The first device, if one is enough.
///
/// # Errors
/// As for `parse_all`.
pub fn parse(names: &str) -> anyhow::Result<Device> {
    DeviceName::all(names)?
        .first()
        .map_or_else(|| Err(usage("name a device")), |first| open(*first))
}

/// Whether the first device is a GPU with kernels from CubeCL.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn is_gpu(names: &str) -> bool {
    DeviceName::all(names).is_ok_and(|names| names.first().is_some_and(|first| !first.is_cpu()))
}

fn open(name: DeviceName) -> anyhow::Result<Device> {
    match name {
        DeviceName::Flex => Ok(Device::flex()),
        DeviceName::NdArray => ndarray(),
        DeviceName::Cuda(index) => cuda(index),
        DeviceName::Wgpu => wgpu(),
    }
}

/// Burn will remove this backend. Until then it is built and tested here.
#[cfg(feature = "ndarray")]
fn ndarray() -> anyhow::Result<Device> {
    #[expect(deprecated)]
    Ok(Device::ndarray())
}

#[cfg(not(feature = "ndarray"))]
fn ndarray() -> anyhow::Result<Device> {
    Err(usage(
        "this build has no NdArray; install one with `cargo install --path crates/cli --features ndarray`",
    ))
}

#[cfg(feature = "cuda")]
const NEEDS: &str = "CUDA needs NVIDIA's driver (`nvidia-smi` lists its GPUs) and libdevice.10.bc, \
     from the CUDA toolkit in /usr/local/cuda, or from `pip install nvidia-cuda-nvcc-cu12` with \
     CUDA_PATH=…/site-packages/nvidia/cuda_nvcc";

#[cfg(feature = "cuda")]
fn cuda(index: Option<usize>) -> anyhow::Result<Device> {
    use burn::tensor::DeviceIndex;
    gpu::start(gpu::Runtime::Cuda);
    match index {
        None => answers::checked("cuda", NEEDS, || Device::cuda(DeviceIndex::Default)),
        Some(index) => answers::checked(&format!("cuda:{index}"), NEEDS, || Device::cuda(index)),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: Option<usize>) -> anyhow::Result<Device> {
    Err(usage(
        "this build has no CUDA; install one with `cargo install --path crates/cli --features cuda`",
    ))
}

#[cfg(feature = "wgpu")]
fn wgpu() -> anyhow::Result<Device> {
    gpu::start(gpu::Runtime::Wgpu);
    let needs = "WGPU needs a driver for Vulkan, Metal or DirectX; on Linux, `vulkaninfo \
         --summary` lists the GPUs";
    answers::checked("wgpu", needs, || Device::wgpu(burn::tensor::DeviceKind::DefaultDevice))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> anyhow::Result<Device> {
    Err(usage(
        "this build has no WGPU; install one with `cargo install --path crates/cli --features wgpu`",
    ))
}

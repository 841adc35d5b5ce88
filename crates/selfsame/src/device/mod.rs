//! Devices by name, checked that they exist and compute.

use burn::tensor::Device;

use crate::error::usage;

mod answers;
#[cfg(any(feature = "cuda", feature = "wgpu", test))]
pub mod gpu;
pub(crate) mod job;
mod sums;
pub mod threads;

pub use answers::cause;
pub use sums::ranks_on;

/// One device, or several that train together, separated by commas.
pub fn parse_all(names: &str) -> anyhow::Result<Vec<Device>> {
    names.split(',').map(|name| one(name.trim())).collect()
}

/// The first device, if one is enough.
pub fn parse(names: &str) -> anyhow::Result<Device> {
    one(names.split(',').next().unwrap_or_default().trim())
}

/// Whether all devices have this project's own kernels.
pub fn have_kernels(names: &str) -> bool {
    names.split(',').all(|name| matches!(name.trim(), "flex" | "ndarray"))
}

/// Whether the first device is a GPU with kernels from CubeCL.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn is_gpu(names: &str) -> bool {
    let first = names.split([',', ':']).next().unwrap_or_default().trim();
    matches!(first, "cuda" | "wgpu")
}

/// `flex`, `ndarray`, or `cuda[:N]` and `wgpu` if the build has them.
fn one(name: &str) -> anyhow::Result<Device> {
    match name.split_once(':').unwrap_or((name, "")) {
        ("flex", "") => Ok(Device::flex()),
        // Burn will remove this backend. Until then it is built and tested here.
        #[expect(deprecated)]
        ("ndarray", "") => Ok(Device::ndarray()),
        ("cuda", index) => cuda(index),
        ("wgpu", "") => wgpu(),
        _ => Err(usage(format!(
            "there is no device {name:?}; the devices are flex, ndarray, cuda[:N] and wgpu"
        ))),
    }
}

#[cfg(feature = "cuda")]
const NEEDS: &str = "CUDA needs NVIDIA's driver (`nvidia-smi` lists its GPUs) and libdevice.10.bc, \
     from the CUDA toolkit in /usr/local/cuda, or from `pip install nvidia-cuda-nvcc-cu12` with \
     CUDA_PATH=…/site-packages/nvidia/cuda_nvcc";

#[cfg(feature = "cuda")]
fn cuda(index: &str) -> anyhow::Result<Device> {
    gpu::start(gpu::Runtime::Cuda);
    if index.is_empty() {
        return answers::checked("cuda", NEEDS, || {
            Device::cuda(burn::tensor::DeviceIndex::Default)
        });
    }
    let index: usize = index
        .parse()
        .map_err(|_| usage(format!("cuda:{index}: the part after the colon must be a number")))?;
    answers::checked(&format!("cuda:{index}"), NEEDS, || Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: &str) -> anyhow::Result<Device> {
    Err(usage("this build has no CUDA; build one with `--features cuda`"))
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
    Err(usage("this build has no WGPU; build one with `--features wgpu`"))
}

//! The devices of a run, by name.

use crate::error::usage;

/// A device, or its kind, as in `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceName {
    /// The CPU, Burn's backend Flex with kernels of this project.
    Flex,
    /// The CPU, Burn's backend NdArray.
    NdArray,
    /// An NVIDIA GPU, by its number or the default one.
    Cuda(Option<usize>),
    /// A GPU by Vulkan, Metal or DirectX.
    Wgpu,
}

impl DeviceName {
    /// One device, or several that train together, separated by commas.
    ///
    /// # Errors
    /// A name that no build knows.
    pub fn all(names: &str) -> anyhow::Result<Vec<Self>> {
        names.split(',').map(|name| Self::parse(name.trim())).collect()
    }

    fn parse(name: &str) -> anyhow::Result<Self> {
        match name.split_once(':').unwrap_or((name, "")) {
            ("flex", "") => Ok(Self::Flex),
            ("ndarray", "") => Ok(Self::NdArray),
            ("cuda", "") => Ok(Self::Cuda(None)),
            ("cuda", index) => index.parse().map(|index| Self::Cuda(Some(index))).map_err(|_| {
                usage(format!("cuda:{index}: the part after the colon must be a number"))
            }),
            ("wgpu", "") => Ok(Self::Wgpu),
            ("cpu", "") => Err(usage("there is no device cpu; the CPU is --device flex")),
            ("gpu", _) => Err(usage("there is no device gpu; use --device cuda or --device wgpu")),
            _ => Err(usage(format!(
                "there is no device {name:?}; the devices are flex, ndarray, cuda[:N] and wgpu"
            ))),
        }
    }

    /// Whether the device is a CPU.
    pub fn is_cpu(self) -> bool {
        matches!(self, Self::Flex | Self::NdArray)
    }
}

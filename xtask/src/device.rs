use burn::tensor::Device;

use crate::usage::usage;

/// `flex`, `ndarray`, or `cuda[:N]` where the build has it.
pub fn parse(name: &str) -> anyhow::Result<Device> {
    match name.split_once(':').unwrap_or((name, "")) {
        ("flex", "") => Ok(Device::flex()),
        // Burn has announced the end of this backend; until then it is built and tested here.
        #[expect(deprecated)]
        ("ndarray", "") => Ok(Device::ndarray()),
        ("cuda", index) => cuda(index),
        _ => {
            Err(usage(format!("there is no device {name:?}; there are flex, ndarray and cuda[:N]")))
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: &str) -> anyhow::Result<Device> {
    if index.is_empty() {
        return Ok(Device::cuda(burn::tensor::DeviceIndex::Default));
    }
    let index: usize = index
        .parse()
        .map_err(|_| usage(format!("cuda:{index}: the part after the colon is a number")))?;
    Ok(Device::cuda(index))
}

#[cfg(not(feature = "cuda"))]
fn cuda(_index: &str) -> anyhow::Result<Device> {
    Err(usage(
        "this build has no CUDA; run `cargo run --release -p xtask --features cuda -- …` instead of `cargo xtask …`",
    ))
}

//! The setup before the first use of a GPU: the folder of compiled kernels, and the log.
//!
//! CubeCL compiles each kernel at its first launch and tries several to find the fastest. Its
//! settings can only be changed before the first device exists.

mod place;

#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod heard;
#[cfg(any(feature = "cuda", feature = "wgpu"))]
mod settings;

#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub use {
    heard::{compiled, operations},
    settings::{Runtime, also_hear_operations, start},
};

/// Receives messages about compiled kernels. It belongs to the whole process, like CubeCL's log.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
static LISTENER: std::sync::OnceLock<crate::observer::Voice> = std::sync::OnceLock::new();

/// From now on, `voice` reports compiled kernels. Only the first call counts.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn tell(voice: crate::observer::Voice) {
    LISTENER.get_or_init(|| voice);
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
fn told(tell: impl FnOnce(&crate::observer::Voice)) {
    if let Some(voice) = LISTENER.get() {
        tell(voice);
    }
}

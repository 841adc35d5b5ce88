//! What is settled before the first GPU is used: where compiled kernels are kept, and what is heard
//! of them.
//!
//! CubeCL compiles every kernel when it is first launched and finds the fastest of several by
//! trying. Its settings can be given until the first device is made, and never after.

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

/// Who is told of kernels that are compiled. CubeCL's log is the process's, and so is this.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
static LISTENER: std::sync::OnceLock<crate::observer::Voice> = std::sync::OnceLock::new();

/// Has `voice` told of kernels that are compiled, from now on; only the first call counts.
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

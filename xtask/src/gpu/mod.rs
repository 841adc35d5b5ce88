//! What is settled before the first GPU is used: where compiled kernels are kept, and what is heard of them.
//!
//! CubeCL compiles every kernel when it is first launched and finds the fastest of several by trying. Its settings can be
//! given until the first device is made, and never after.

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

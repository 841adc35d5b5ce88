//! Luma, the brightness that several operations share.

/// Luma by ITU-R BT.601, as PIL and torchvision have it.
#[inline(always)]
pub(crate) fn luma(r: f32, g: f32, b: f32) -> f32 {
    0.299 * r + 0.587 * g + 0.114 * b
}

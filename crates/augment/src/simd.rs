//! Loops compiled for the processor they run on.

use std::sync::LazyLock;

use pulp::Arch;

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs `f` compiled for the widest vectors this processor has (AVX-512, AVX2, NEON, or portable
/// code). Only what is `#[inline(always)]` is compiled so. There are no fused multiply-adds in it, so
/// that all processors get the same bits.
#[inline]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    ARCH.dispatch(f)
}

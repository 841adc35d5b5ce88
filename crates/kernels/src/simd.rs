//! Loops compiled for the processor they run on.

use std::sync::LazyLock;

use pulp::Arch;

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// The processor's vector instructions, found out once.
pub fn arch() -> Arch {
    *ARCH
}

/// Runs `f` compiled for the widest vectors this processor has. What `f` calls is only compiled so
/// when it is `#[inline(always)]`.
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    ARCH.dispatch(f)
}

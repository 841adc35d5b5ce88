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

/// Lanes of a reduction: a fixed number, so that a sum has the same bits on every processor.
pub const LANES: usize = 16;

/// Σ f(a, b) over pairs in one fixed order: 16 interleaved partial sums, then those in turn.
#[inline(always)]
pub fn lane_sum(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (a.remainder(), b.remainder());
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    for ((sum, a), b) in lanes.iter_mut().zip(rest_a).zip(rest_b) {
        *sum += f(*a, *b);
    }
    lanes.iter().sum()
}

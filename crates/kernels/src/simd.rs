//! Loops compiled for the current processor.

use std::sync::LazyLock;

use pulp::Arch;

/// The widest instructions that may be used: the value of `SELFSAME_MAX_ISA`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Limit {
    Portable,
    Avx2,
    Avx512,
    None,
}

impl Limit {
    fn parse(value: Option<&str>) -> Self {
        match value {
            Some("portable") => Self::Portable,
            Some("avx2") => Self::Avx2,
            Some("avx512") => Self::Avx512,
            _ => Self::None,
        }
    }
}

static LIMIT: LazyLock<Limit> =
    LazyLock::new(|| Limit::parse(std::env::var("SELFSAME_MAX_ISA").ok().as_deref()));

static ARCH: LazyLock<Arch> = LazyLock::new(|| narrowed(Arch::new(), *LIMIT));

/// The processor's instructions as far as they are allowed.
fn narrowed(widest: Arch, limit: Limit) -> Arch {
    match limit {
        Limit::Portable => Arch::Scalar,
        #[cfg(target_arch = "x86_64")]
        Limit::Avx2 => pulp::x86::V3::try_new().map_or(Arch::Scalar, Arch::V3),
        _ => widest,
    }
}

/// The processor's vector instructions, detected once.
pub fn arch() -> Arch {
    *ARCH
}

/// Whether the processor's bf16 instructions may be used if it has them.
pub fn allows_bf16() -> bool {
    *LIMIT == Limit::None
}

/// Runs `f` compiled for the widest vectors this processor has. Functions that `f` calls must be
/// `#[inline(always)]` to get the same.
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    ARCH.dispatch(f)
}

/// Fetches memory into the caches before it is read: in small parts, during other work. Otherwise
/// the next work would wait for all of it at once.
#[derive(Debug)]
pub struct Ahead<'a> {
    values: &'a [f32],
    /// The distance from one run to the next, and how many values of a run will be read.
    pitch: usize,
    used: std::ops::Range<usize>,
    /// Runs fetched at a time.
    step: usize,
}

impl<'a> Ahead<'a> {
    /// Nothing to fetch.
    pub const NOTHING: Self = Self { values: &[], pitch: 1, used: 0..0, step: 0 };

    /// Share number `i` of `n` shares. Of every `pitch` values, the part `used` is fetched.
    pub fn share(
        values: &'a [f32],
        pitch: usize,
        used: std::ops::Range<usize>,
        i: usize,
        n: usize,
    ) -> Self {
        let share = (values.len() / pitch.max(1)).div_ceil(n) * pitch;
        let values = values.chunks(share.max(1)).nth(i).unwrap_or_default();
        Self { values, pitch, used, step: 1 }
    }

    /// Spreads the work over so many calls of [`fetch`](Self::fetch).
    pub fn pace(&mut self, times: usize) {
        self.step = (self.values.len() / self.pitch.max(1)).div_ceil(times.max(1));
    }

    /// Fetches the next runs. It is a function call and not inlined. So the loops around it are
    /// compiled as if it were not there.
    #[inline(never)]
    pub fn fetch(&mut self) {
        let now = (self.step * self.pitch).min(self.values.len());
        let (now, later) = self.values.split_at(now);
        self.values = later;
        for run in now.chunks_exact(self.pitch) {
            // A cache line is 16 values.
            run[self.used.clone()].iter().step_by(16).for_each(prefetch);
        }
    }
}

/// Asks for the cache line of a value.
#[inline(always)]
fn prefetch(value: &f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction. It changes only the caches.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(std::ptr::from_ref(value).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_kept_to() {
        assert!(matches!(narrowed(Arch::new(), Limit::Portable), Arch::Scalar));
        assert_eq!(Limit::parse(Some("avx2")), Limit::Avx2);
        assert_eq!(Limit::parse(Some("something else")), Limit::None);
        #[cfg(target_arch = "x86_64")]
        assert!(!matches!(narrowed(Arch::new(), Limit::Avx2), Arch::V4(_)));
    }
}

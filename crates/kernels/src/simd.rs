//! Loops compiled for the processor they run on.

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

/// The processor's vector instructions, found out once.
pub fn arch() -> Arch {
    *ARCH
}

/// Whether the processor's bf16 instructions may be used if it has them.
pub fn allows_bf16() -> bool {
    *LIMIT == Limit::None
}

/// Runs `f` compiled for the widest vectors this processor has. What `f` calls is only compiled so
/// when it is `#[inline(always)]`.
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    ARCH.dispatch(f)
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

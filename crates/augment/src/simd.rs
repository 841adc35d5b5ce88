//! Loops compiled for the vector instructions of the processor.

use std::sync::LazyLock;

use pulp::{Arch, WithSimd};

static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// Runs `f` compiled for the widest vectors of this processor (AVX-512, AVX2, NEON, or portable
/// code). Only `#[inline(always)]` code is compiled this way. It has no fused multiply-adds, so
/// that all processors give the same bits.
#[inline]
pub fn vectorized<R>(f: impl FnOnce(Shuffles) -> R) -> R {
    match *ARCH {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(simd) => simd.vectorize(
            #[inline(always)]
            || f(Shuffles::Avx(*simd)),
        ),
        #[cfg(target_arch = "x86_64")]
        Arch::V3(simd) => simd.vectorize(
            #[inline(always)]
            || f(Shuffles::Avx(simd)),
        ),
        arch => arch.dispatch(
            #[inline(always)]
            || f(Shuffles::Portable),
        ),
    }
}

/// Runs `op` with the widest vectors of this processor.
#[inline]
pub fn with_simd<Op: WithSimd>(op: Op) -> Op::Output {
    ARCH.dispatch(op)
}

/// Side of the squares that are transposed.
pub const SIDE: usize = 16;

/// A column of a square, in a cache line.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
pub struct Column(pub [f32; SIDE]);

impl Column {
    pub const ZERO: Self = Self([0.0; SIDE]);
}

/// Moves values within vectors. Compilers do this badly from plain loops.
#[derive(Debug, Clone, Copy)]
pub enum Shuffles {
    #[cfg(target_arch = "x86_64")]
    Avx(pulp::x86::V3),
    Portable,
}

impl Shuffles {
    /// Rows become columns.
    #[inline(always)]
    pub fn transpose<'a>(
        self,
        row: impl Fn(usize) -> &'a [f32; SIDE],
        columns: &mut [Column; SIDE],
    ) {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx(simd) => avx::transpose(simd, row, columns),
            Self::Portable => {
                for (j, column) in columns.iter_mut().enumerate() {
                    for (i, value) in column.0.iter_mut().enumerate() {
                        *value = row(i)[j];
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx {
    use std::arch::x86_64::__m256;

    use pulp::cast;
    use pulp::x86::V3;

    use super::{Column, SIDE};

    /// Half a row.
    const HALF: usize = SIDE / 2;

    #[inline(always)]
    pub fn transpose<'a>(
        simd: V3,
        row: impl Fn(usize) -> &'a [f32; SIDE],
        columns: &mut [Column; SIDE],
    ) {
        for i in [0, HALF] {
            for j in [0, HALF] {
                let mut rows = [cast([0f32; HALF]); HALF];
                for (k, to) in rows.iter_mut().enumerate() {
                    let half: &[f32; HALF] = row(i + k)[j..].first_chunk().expect("half a row");
                    *to = cast(*half);
                }
                let turned = quarter(simd, rows);
                for (k, turned) in turned.into_iter().enumerate() {
                    let half: &mut [f32; HALF] =
                        columns[j + k].0[i..].first_chunk_mut().expect("half a column");
                    *half = cast(turned);
                }
            }
        }
    }

    /// A quarter of a square, transposed.
    #[inline(always)]
    fn quarter(simd: V3, rows: [__m256; HALF]) -> [__m256; HALF] {
        let avx = simd.avx;
        // Pairs, then squares of four within each half of a vector, then the halves.
        let mut pairs = rows;
        for i in (0..HALF).step_by(2) {
            pairs[i] = avx._mm256_unpacklo_ps(rows[i], rows[i + 1]);
            pairs[i + 1] = avx._mm256_unpackhi_ps(rows[i], rows[i + 1]);
        }
        let mut fours = pairs;
        for i in (0..HALF).step_by(4) {
            for j in 0..2 {
                let (a, b) = (pairs[i + j], pairs[i + j + 2]);
                fours[i + 2 * j] = avx._mm256_shuffle_ps::<0b01_00_01_00>(a, b);
                fours[i + 2 * j + 1] = avx._mm256_shuffle_ps::<0b11_10_11_10>(a, b);
            }
        }
        let mut turned = fours;
        for i in 0..4 {
            turned[i] = avx._mm256_permute2f128_ps::<0x20>(fours[i], fours[i + 4]);
            turned[i + 4] = avx._mm256_permute2f128_ps::<0x31>(fours[i], fours[i + 4]);
        }
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        let mut rows = [[0.0; SIDE]; SIDE];
        for (i, value) in rows.as_flattened_mut().iter_mut().enumerate() {
            *value = i as f32;
        }
        let (mut portable, mut here) = ([Column::ZERO; SIDE], [Column::ZERO; SIDE]);
        Shuffles::Portable.transpose(|i| &rows[i], &mut portable);
        vectorized(|shuffles| shuffles.transpose(|i| &rows[i], &mut here));
        for (i, row) in rows.iter().enumerate() {
            for (j, value) in row.iter().enumerate() {
                assert_eq!((portable[j].0[i], here[j].0[i]), (*value, *value));
            }
        }
    }
}

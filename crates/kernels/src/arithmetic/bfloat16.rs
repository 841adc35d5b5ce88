//! Products of bf16 numbers, two at a time, summed in f32.
//!
//! One `VDPBF16PS` instruction of AVX-512 does the work of two f32 instructions. It flushes
//! subnormal numbers to zero and rounds twice, so its sums differ from the emulated ones in the
//! last bits.

use pulp::{Simd, WithSimd};

use super::{BLOCK, Precision, Vectors, Work};
use crate::simd::arch;

/// bf16 inputs: the upper half of an f32, 8 bits of precision. A unit is two of them, the first in
/// the lower half.
#[derive(Debug, Clone, Copy)]
pub struct Bfloat16;

/// Rounded to nearest, ties to even; NaN stays NaN.
#[inline(always)]
fn round(value: f32) -> u32 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) >> 16;
    if value.is_nan() { bits >> 16 | 0x40 } else { rounded }
}

impl Precision for Bfloat16 {
    type Unit = u32;
    const CHANNELS: usize = 2;
    const WINOGRAD: bool = false;

    #[inline(always)]
    fn unit([first, second]: [f32; 2]) -> u32 {
        round(first) | round(second) << 16
    }

    #[inline(always)]
    fn pack_channels(values: &[f32], units: &mut [u32]) {
        let whole: Option<(&[f32; 2 * BLOCK], &mut [u32; BLOCK])> =
            values.first_chunk().zip(units.first_chunk_mut());
        if let Some((values, units)) = whole {
            for i in 0..BLOCK {
                units[i] = Self::unit([values[2 * i], values[2 * i + 1]]);
            }
            return;
        }
        let value = |i: usize| values.get(i).copied().unwrap_or(0.0);
        for (i, unit) in units.iter_mut().enumerate() {
            *unit = Self::unit([value(2 * i), value(2 * i + 1)]);
        }
    }

    #[inline(always)]
    fn pack_pairs(first: &[f32], second: &[f32], units: &mut [u32]) {
        if let (Some(first), Some(second), Some(units)) =
            (first.first_chunk(), second.first_chunk(), units.first_chunk_mut())
        {
            let (first, second): (&[f32; BLOCK], &[f32; BLOCK]) = (first, second);
            let units: &mut [u32; BLOCK] = units;
            for i in 0..BLOCK {
                units[i] = Self::unit([first[i], second[i]]);
            }
            return;
        }
        let value = |values: &[f32], i: usize| values.get(i).copied().unwrap_or(0.0);
        for (i, unit) in units.iter_mut().enumerate() {
            *unit = Self::unit([value(first, i), value(second, i)]);
        }
    }

    fn run<W: Work<Self>>(work: W) -> W::Output {
        #[cfg(target_arch = "x86_64")]
        let work = match avx512::run(work) {
            Ok(output) => return output,
            Err(work) => work,
        };
        struct Job<W>(W);
        impl<W: Work<Bfloat16>> WithSimd for Job<W> {
            type Output = W::Output;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> W::Output {
                self.0.run(Emulated(simd))
            }
        }
        arch().dispatch(Job(work))
    }
}

/// bf16 widened to f32, for processors without bf16 instructions. It is as exact, and no faster
/// than f32.
#[derive(Clone, Copy)]
struct Emulated<S>(S);

#[inline(always)]
fn widen(unit: u32) -> [f32; 2] {
    [f32::from_bits(unit << 16), f32::from_bits(unit & 0xFFFF_0000)]
}

impl<S: Simd> Vectors<Bfloat16> for Emulated<S> {
    type Units = [S::f32s; 2];
    type Sums = S::f32s;
    const LANES: usize = S::F32_LANES;

    #[inline(always)]
    fn zero(self) -> S::f32s {
        self.0.splat_f32s(0.0)
    }

    #[inline(always)]
    fn load(self, units: &[u32]) -> [S::f32s; 2] {
        let (mut first, mut second) = ([0f32; BLOCK], [0f32; BLOCK]);
        for (unit, (first, second)) in units.iter().zip(first.iter_mut().zip(&mut second)) {
            [*first, *second] = widen(*unit);
        }
        [S::as_simd_f32s(&first).0[0], S::as_simd_f32s(&second).0[0]]
    }

    #[inline(always)]
    fn multiply_add(self, x: u32, w: [S::f32s; 2], sums: S::f32s) -> S::f32s {
        let [first, second] = widen(x);
        let sums = self.0.mul_add_e_f32s(self.0.splat_f32s(first), w[0], sums);
        self.0.mul_add_e_f32s(self.0.splat_f32s(second), w[1], sums)
    }

    #[inline(always)]
    fn load_sums(self, from: &[f32]) -> S::f32s {
        S::as_simd_f32s(from).0[0]
    }

    #[inline(always)]
    fn add(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.add_f32s(a, b)
    }

    #[inline(always)]
    fn sub(self, a: S::f32s, b: S::f32s) -> S::f32s {
        self.0.sub_f32s(a, b)
    }

    #[inline(always)]
    fn store(self, sums: S::f32s, to: &mut [f32]) {
        S::as_mut_simd_f32s(to).0[0] = sums;
    }

    #[inline(always)]
    fn store_added(self, sums: S::f32s, to: &mut [f32]) {
        let to = &mut S::as_mut_simd_f32s(to).0[0];
        *to = self.0.add_f32s(*to, sums);
    }
}

/// The processor's own bf16 products.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m256bh, __m256i, __m512, __m512bh, __m512i, _mm512_add_ps, _mm512_cvtepu16_epi32,
        _mm512_cvtne2ps_pbh, _mm512_cvtneps_pbh, _mm512_dpbf16_ps, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_or_si512, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_slli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
    };

    use super::{BLOCK, Bfloat16, Precision, Vectors, Work};
    use crate::simd::allows_bf16;

    /// Runs the work, or returns it if the processor lacks the instructions.
    pub fn run<W: Work<Bfloat16>>(work: W) -> Result<W::Output, W> {
        let all = allows_bf16()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bf16")
            && is_x86_feature_detected!("fma");
        if !all {
            return Err(work);
        }
        // SAFETY: the processor has every feature that `with_features` is compiled for.
        Ok(unsafe { with_features(work) })
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,fma")]
    fn with_features<W: Work<Bfloat16>>(work: W) -> W::Output {
        work.run(Native(()))
    }

    /// Only made in `with_features`. So a value proves that the processor has the features.
    #[derive(Clone, Copy)]
    struct Native(());

    const LANES: usize = 16;

    impl Native {
        /// Each value as a bf16 in the lower half of its lane.
        #[inline(always)]
        fn round(self, values: &[f32; BLOCK]) -> __m512i {
            // SAFETY: `self` is proof of AVX-512 BF16; 16 f32 of any alignment can be read, and 16
            // bf16 have the bits of 16 integers.
            unsafe {
                let rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(values.as_ptr()));
                _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(rounded))
            }
        }
    }

    impl Vectors<Bfloat16> for Native {
        type Units = __m512i;
        type Sums = __m512;
        const LANES: usize = LANES;

        #[inline(always)]
        fn zero(self) -> __m512 {
            // SAFETY: `self` is proof of AVX-512.
            unsafe { _mm512_setzero_ps() }
        }

        #[inline(always)]
        fn load(self, units: &[u32]) -> __m512i {
            let units: &[u32; LANES] = units.first_chunk().expect("a whole vector");
            // SAFETY: `self` is proof of AVX-512; the pointer is to 16 readable u32, of any
            // alignment.
            unsafe { _mm512_loadu_si512(units.as_ptr().cast()) }
        }

        #[inline(always)]
        fn pack_channels(self, values: &[f32], units: &mut [u32]) {
            let whole: Option<(&[f32; 2 * BLOCK], &mut [u32; BLOCK])> =
                values.first_chunk().zip(units.first_chunk_mut());
            let Some((values, units)) = whole else {
                return Bfloat16::pack_channels(values, units);
            };
            // SAFETY: `self` is proof of AVX-512 BF16; 32 f32 can be read and 16 u32 be written, of
            // any alignment, and of every pattern of bits.
            unsafe {
                let first = _mm512_loadu_ps(values.as_ptr());
                let second = _mm512_loadu_ps(values[BLOCK..].as_ptr());
                let pairs: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(second, first));
                _mm512_storeu_si512(units.as_mut_ptr().cast(), pairs);
            }
        }

        #[inline(always)]
        fn pack_pairs(self, first: &[f32], second: &[f32], units: &mut [u32]) {
            let whole: Option<(&[f32; BLOCK], &mut [u32; BLOCK])> =
                first.first_chunk().zip(units.first_chunk_mut());
            let (Some((a, to)), true) = (whole, second.is_empty() || second.len() >= BLOCK) else {
                return Bfloat16::pack_pairs(first, second, units);
            };
            let mut pairs = self.round(a);
            // SAFETY: `self` is proof of AVX-512; 16 u32 of any alignment can be written.
            unsafe {
                if let Some(second) = second.first_chunk() {
                    let second = _mm512_slli_epi32::<16>(self.round(second));
                    pairs = _mm512_or_si512(pairs, second);
                }
                _mm512_storeu_si512(to.as_mut_ptr().cast(), pairs);
            }
        }

        #[inline(always)]
        fn multiply_add(self, x: u32, w: __m512i, sums: __m512) -> __m512 {
            // SAFETY: `self` is proof of AVX-512 BF16; both types are 512 bits for which every
            // pattern is a value.
            unsafe {
                let x: __m512bh = std::mem::transmute(_mm512_set1_epi32(x.cast_signed()));
                let w: __m512bh = std::mem::transmute(w);
                _mm512_dpbf16_ps(sums, x, w)
            }
        }

        #[inline(always)]
        fn load_sums(self, from: &[f32]) -> __m512 {
            let from: &[f32; LANES] = from.first_chunk().expect("a whole vector");
            // SAFETY: `self` is proof of AVX-512; the pointer is to 16 readable f32, of any
            // alignment.
            unsafe { _mm512_loadu_ps(from.as_ptr()) }
        }

        #[inline(always)]
        fn add(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` is proof of AVX-512.
            unsafe { _mm512_add_ps(a, b) }
        }

        #[inline(always)]
        fn sub(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` is proof of AVX-512.
            unsafe { _mm512_sub_ps(a, b) }
        }

        #[inline(always)]
        fn store(self, sums: __m512, to: &mut [f32]) {
            let to: &mut [f32; LANES] = to.first_chunk_mut().expect("a whole vector");
            // SAFETY: `self` is proof of AVX-512; the pointer is to 16 writable f32, of any
            // alignment.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), sums) }
        }

        #[inline(always)]
        fn store_added(self, sums: __m512, to: &mut [f32]) {
            let sum = self.add(self.load_sums(to), sums);
            self.store(sum, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_and_keeps_what_is_not_a_number() {
        let cases = [
            (1.0, 0x3F80),
            (-2.0, 0xC000),
            // Half way: to the even one.
            (f32::from_bits(0x3F80_8000), 0x3F80),
            (f32::from_bits(0x3F81_8000), 0x3F82),
            (f32::from_bits(0x3F80_8001), 0x3F81),
            (f32::MAX, 0x7F80),
            (f32::NEG_INFINITY, 0xFF80),
        ];
        for (value, bits) in cases {
            assert_eq!(round(value), bits, "{value}");
        }
        for nan in [f32::NAN, f32::from_bits(0x7F80_0001), f32::from_bits(0xFFFF_FFFF)] {
            assert!(f32::from_bits(round(nan) << 16).is_nan());
        }
    }
}

//! The number type and the instructions of the kernels.

mod bfloat16;

use aligned_vec::{AVec, ConstAlign, avec};
use bytemuck::Pod;
use pulp::{Simd, WithSimd};

use crate::simd::arch;

pub use bfloat16::Bfloat16;

/// Units that are packed and multiplied together.
pub const BLOCK: usize = 16;

/// Inputs of the products. Sums are always f32.
pub trait Precision: Copy + Send + Sync + 'static {
    /// What one lane multiplies at once: one f32, or two bf16.
    type Unit: Pod + Send + Sync;
    /// Values in a unit.
    const CHANNELS: usize;
    /// Whether a product may use sums of inputs and sums of weights. It may not if rounding these
    /// sums would lose the precision of the inputs.
    const WINOGRAD: bool;

    /// A unit of one value or two.
    fn unit(values: [f32; 2]) -> Self::Unit;
    /// Writes channels into units. Units that are left over become 0.
    fn pack_channels(values: &[f32], units: &mut [Self::Unit]);
    /// Writes a value of `first` into each unit, and one of `second` if it holds two. Missing
    /// values are 0.
    fn pack_pairs(first: &[f32], second: &[f32], units: &mut [Self::Unit]);
    /// Runs the work with the widest instructions this processor has.
    fn run<W: Work<Self>>(work: W) -> W::Output;
}

/// Work with vectors.
pub trait Work<P: Precision> {
    type Output;
    fn run<V: Vectors<P>>(self, vectors: V) -> Self::Output;
}

/// Vector instructions. They multiply one broadcast unit by a vector of units and add the products
/// to a vector of f32.
pub trait Vectors<P: Precision>: Copy {
    type Units: Copy;
    type Sums: Copy;
    const LANES: usize;

    fn zero(self) -> Self::Sums;
    /// `units` has [`LANES`](Self::LANES) elements.
    fn load(self, units: &[P::Unit]) -> Self::Units;
    /// [`Precision::pack_channels`] with this processor's instructions.
    #[inline(always)]
    fn pack_channels(self, values: &[f32], units: &mut [P::Unit]) {
        P::pack_channels(values, units);
    }
    /// [`Precision::pack_pairs`] with this processor's instructions.
    #[inline(always)]
    fn pack_pairs(self, first: &[f32], second: &[f32], units: &mut [P::Unit]) {
        P::pack_pairs(first, second, units);
    }
    fn multiply_add(self, x: P::Unit, w: Self::Units, sums: Self::Sums) -> Self::Sums;
    /// `from` has [`LANES`](Self::LANES) elements.
    fn load_sums(self, from: &[f32]) -> Self::Sums;
    fn add(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    fn sub(self, a: Self::Sums, b: Self::Sums) -> Self::Sums;
    /// `to` has [`LANES`](Self::LANES) elements.
    fn store(self, sums: Self::Sums, to: &mut [f32]);
    /// `to` has [`LANES`](Self::LANES) elements.
    fn store_added(self, sums: Self::Sums, to: &mut [f32]);
}

/// f32 throughout.
#[derive(Debug, Clone, Copy)]
pub struct Single;

impl Precision for Single {
    type Unit = f32;
    const CHANNELS: usize = 1;
    const WINOGRAD: bool = true;

    #[inline(always)]
    fn unit([value, _]: [f32; 2]) -> f32 {
        value
    }

    #[inline(always)]
    fn pack_channels(values: &[f32], units: &mut [f32]) {
        if let (Some(values), Some(units)) = (values.first_chunk(), units.first_chunk_mut()) {
            let units: &mut [f32; BLOCK] = units;
            *units = *values;
            return;
        }
        // Not `copy_from_slice`: a call for three values takes longer than the values.
        for (i, unit) in units.iter_mut().enumerate() {
            *unit = values.get(i).copied().unwrap_or(0.0);
        }
    }

    #[inline(always)]
    fn pack_pairs(first: &[f32], _: &[f32], units: &mut [f32]) {
        Self::pack_channels(first, units);
    }

    fn run<W: Work<Self>>(work: W) -> W::Output {
        struct Job<W>(W);
        impl<W: Work<Single>> WithSimd for Job<W> {
            type Output = W::Output;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> W::Output {
                self.0.run(SingleVectors(simd))
            }
        }
        arch().dispatch(Job(work))
    }
}

#[derive(Clone, Copy)]
struct SingleVectors<S>(S);

impl<S: Simd> Vectors<Single> for SingleVectors<S> {
    type Units = S::f32s;
    type Sums = S::f32s;
    const LANES: usize = S::F32_LANES;

    #[inline(always)]
    fn zero(self) -> S::f32s {
        self.0.splat_f32s(0.0)
    }

    #[inline(always)]
    fn load(self, units: &[f32]) -> S::f32s {
        S::as_simd_f32s(units).0[0]
    }

    #[inline(always)]
    fn multiply_add(self, x: f32, w: S::f32s, sums: S::f32s) -> S::f32s {
        self.0.mul_add_e_f32s(self.0.splat_f32s(x), w, sums)
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

/// Number of lanes of the vectors for work of precision `P`.
pub fn lanes<P: Precision>() -> usize {
    struct Count;
    impl<P: Precision> Work<P> for Count {
        type Output = usize;
        #[inline(always)]
        fn run<V: Vectors<P>>(self, _: V) -> usize {
            V::LANES
        }
    }
    P::run(Count)
}

/// Units aligned to a cache line, so that no vector crosses two lines.
pub type Units<U> = AVec<U, ConstAlign<64>>;

/// `len` zeros.
pub fn zeroed<U: Pod>(len: usize) -> Units<U> {
    avec![[64]| U::zeroed(); len]
}

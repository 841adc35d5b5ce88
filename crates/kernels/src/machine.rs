//! The limits of this machine, to compare kernels with.

use std::hint::black_box;
use std::time::Instant;

use crate::Precision;
use crate::arithmetic::{Bfloat16, Precision as Format, Single, Vectors, Work};
use rayon::prelude::*;

/// The most multiplications and additions per second of all threads together. It is measured with
/// chains of multiply-adds without memory access, with the instructions of the convolutions.
pub fn peak_flops(precision: Precision) -> f64 {
    match precision {
        Precision::F32 => peak::<Single>(),
        Precision::Bf16 => peak::<Bfloat16>(),
    }
}

fn peak<P: Format>() -> f64 {
    const ROUNDS: usize = 1 << 22;
    let rate = || {
        let start = Instant::now();
        let flops: f64 = rayon::broadcast(|_| P::run(Chains { rounds: ROUNDS })).iter().sum();
        flops / start.elapsed().as_secs_f64()
    };
    highest(rate)
}

/// The highest of many measurements: threads need a while to find a processor each.
fn highest(mut rate: impl FnMut() -> f64) -> f64 {
    const SECONDS: f64 = 1.0;
    let (start, mut best) = (Instant::now(), 0.0);
    while start.elapsed().as_secs_f64() < SECONDS {
        best = rate().max(best);
    }
    best
}

/// Enough chains to hide the latency of an instruction. Returns the number of operations.
struct Chains {
    rounds: usize,
}

impl<P: Format> Work<P> for Chains {
    type Output = f64;

    #[inline(always)]
    fn run<V: Vectors<P>>(self, vectors: V) -> f64 {
        const CHAINS: usize = 16;
        let unit = black_box(P::unit([1e-3; 2]));
        let units = vectors.load(&vec![unit; V::LANES]);
        let mut sums = [vectors.zero(); CHAINS];
        for _ in 0..self.rounds {
            for sum in &mut sums {
                *sum = vectors.multiply_add(unit, units, *sum);
            }
        }
        let mut kept = vec![0f32; V::LANES];
        for sum in sums {
            vectors.store_added(sum, &mut kept);
        }
        black_box(kept);
        (self.rounds * CHAINS * V::LANES * P::CHANNELS * 2) as f64
    }
}

/// The most bytes per second that all threads together read and write, in copies between buffers
/// larger than any cache. The read of a line before its write is not counted.
pub fn peak_bandwidth() -> f64 {
    const LEN: usize = 1 << 25;
    const CHUNK: usize = 1 << 16;
    let (from, mut to) = (vec![1f32; LEN], vec![0f32; LEN]);
    let rate = || {
        let start = Instant::now();
        let pairs = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
        pairs.for_each(|(to, from)| to.copy_from_slice(from));
        black_box(&mut to);
        (2 * LEN * size_of::<f32>()) as f64 / start.elapsed().as_secs_f64()
    };
    highest(rate)
}

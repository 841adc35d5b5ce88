//! Results that are written once, by many threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// `len` zeros, of which `work` gets one chunk of `chunk` elements after the other, with its number;
/// the last chunk may be shorter.
///
/// Each thread sets its own chunk to zero just before the work on it, so that no pass over memory
/// goes into it, and pages are claimed by the thread that uses them. `scratch` makes what one
/// thread keeps from chunk to chunk.
pub fn build_with<S>(
    len: usize,
    chunk: usize,
    scratch: impl Fn() -> S + Send + Sync,
    work: impl Fn(&mut S, usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    let spare = &mut values.spare_capacity_mut()[..len];
    spare.par_chunks_mut(chunk.max(1)).enumerate().for_each_init(
        scratch,
        |scratch, (i, values)| {
            work(scratch, i, zeroed(values));
        },
    );
    // SAFETY: `len` is within the capacity, and the chunks, which cover the first `len` elements, have
    // all been initialised by `zeroed`. Had one of the threads panicked, this would not be reached.
    unsafe { values.set_len(len) };
    values
}

/// [`build_with`] without anything kept.
pub fn build(len: usize, chunk: usize, work: impl Fn(usize, &mut [f32]) + Send + Sync) -> Vec<f32> {
    build_with(len, chunk, || (), |(), i, values| work(i, values))
}

/// Two results at once.
pub fn build_two(
    len: usize,
    chunk: usize,
    work: impl Fn(usize, &mut [f32], &mut [f32]) + Send + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (Vec::with_capacity(len), Vec::with_capacity(len));
    let spare = first.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1));
    let spare = spare.zip(second.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1)));
    spare.enumerate().for_each(|(i, (first, second))| work(i, zeroed(first), zeroed(second)));
    // SAFETY: as in `build_with`, for both.
    unsafe {
        first.set_len(len);
        second.set_len(len);
    }
    (first, second)
}

fn zeroed(values: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    values.fill(MaybeUninit::new(0.0));
    // SAFETY: every element has just been written.
    unsafe { values.assume_init_mut() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_zero_first_and_comes_once() {
        for (len, chunk) in [(0, 4), (1, 4), (10, 4), (12, 4), (7, 0)] {
            let work = |i: usize, values: &mut [f32]| {
                values.iter_mut().for_each(|value| *value += i as f32 + 1.0);
            };
            let expected: Vec<f32> = (0..len).map(|i| (i / chunk.max(1) + 1) as f32).collect();
            assert_eq!(build(len, chunk, work), expected);
            let (first, second) = build_two(len, chunk, |i, a, b| {
                work(i, a);
                work(i, b);
            });
            assert_eq!((first, second), (expected.clone(), expected));
        }
    }
}

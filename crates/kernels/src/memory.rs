//! Results that are written once, by many threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// `len` zeros. `work` gets one chunk of `chunk` elements after the other, with the chunk's number.
/// The last chunk may be shorter.
///
/// Each thread zeroes its own chunk just before the work on it. This saves a pass over memory, and
/// each thread claims the pages that it uses. `scratch` makes the data that a thread keeps between
/// chunks.
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
    // SAFETY: `len` is within the capacity. The chunks cover the first `len` elements, and `zeroed`
    // has initialised all of them. Had one of the threads panicked, this would not be reached.
    unsafe { values.set_len(len) };
    values
}

/// [`build_with`] without data that threads keep.
pub fn build(len: usize, chunk: usize, work: impl Fn(usize, &mut [f32]) + Send + Sync) -> Vec<f32> {
    build_with(len, chunk, || (), |(), i, values| work(i, values))
}

/// A part of a result that is written from start to end, without zeroing.
pub struct Writer<'a> {
    values: &'a mut [MaybeUninit<f32>],
    written: usize,
}

impl Writer<'_> {
    /// Values of this part.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Writes up to `count` values behind the values that are already written.
    #[inline(always)]
    pub fn extend(&mut self, count: usize, values: impl Iterator<Item = f32>) {
        let to = &mut self.values[self.written..];
        let count = count.min(to.len());
        let mut written = 0;
        for (to, value) in to[..count].iter_mut().zip(values) {
            to.write(value);
            written += 1;
        }
        self.written += written;
    }

    /// [`extend`](Self::extend) of two parts.
    #[inline(always)]
    pub fn extend_two(
        first: &mut Writer,
        second: &mut Writer,
        count: usize,
        values: impl Iterator<Item = (f32, f32)>,
    ) {
        let (a, b) = (&mut first.values[first.written..], &mut second.values[second.written..]);
        let count = count.min(a.len()).min(b.len());
        let mut written = 0;
        for ((a, b), (x, y)) in a[..count].iter_mut().zip(&mut b[..count]).zip(values) {
            a.write(x);
            b.write(y);
            written += 1;
        }
        first.written += written;
        second.written += written;
    }

    /// Sets the rest to 0.
    fn finish(self) {
        self.values[self.written..].fill(MaybeUninit::new(0.0));
    }
}

/// `len` values, of which `work` writes one chunk of `chunk` after the other.
pub fn write(
    len: usize,
    chunk: usize,
    work: impl Fn(usize, &mut Writer) + Send + Sync,
) -> Vec<f32> {
    let mut values = Vec::with_capacity(len);
    let spare = &mut values.spare_capacity_mut()[..len];
    spare.par_chunks_mut(chunk.max(1)).enumerate().for_each(|(i, values)| {
        let mut writer = Writer { values, written: 0 };
        work(i, &mut writer);
        writer.finish();
    });
    // SAFETY: `len` is within the capacity. The chunks cover the first `len` elements. In each
    // chunk, a writer has initialised what it counts as written, and `finish` has initialised the
    // rest. Had one of the threads panicked, this would not be reached.
    unsafe { values.set_len(len) };
    values
}

/// Two results at once.
pub fn write_two(
    len: usize,
    chunk: usize,
    work: impl Fn(usize, &mut Writer, &mut Writer) + Send + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (Vec::with_capacity(len), Vec::with_capacity(len));
    let spare = first.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1));
    let spare = spare.zip(second.spare_capacity_mut()[..len].par_chunks_mut(chunk.max(1)));
    spare.enumerate().for_each(|(i, (first, second))| {
        let [mut first, mut second] = [first, second].map(|values| Writer { values, written: 0 });
        work(i, &mut first, &mut second);
        first.finish();
        second.finish();
    });
    // SAFETY: as in `write`, for both.
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
        }
    }

    #[test]
    fn what_is_not_written_is_zero() {
        for written in 0..5 {
            let values = || (0..written).map(|i| i as f32 + 1.0);
            let one = write(7, 4, |_, writer| writer.extend(9, values()));
            let (first, second) = write_two(7, 4, |_, first, second| {
                Writer::extend_two(first, second, 9, values().map(|x| (x, -x)));
            });
            let expected: Vec<f32> = (0..7)
                .map(|i| i % 4)
                .map(|i| if i < written { i as f32 + 1.0 } else { 0.0 })
                .collect();
            assert_eq!(one, expected);
            assert_eq!(first, expected);
            assert!(second.iter().zip(&expected).all(|(second, first)| *second == -first));
        }
    }
}

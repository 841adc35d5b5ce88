//! Working memory of threads, kept for the next kernel.

use std::cell::RefCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;

use crate::arithmetic::{Units, zeroed};

thread_local! {
    /// The free buffers of this thread.
    static KEPT: RefCell<Vec<Units<u32>>> = const { RefCell::new(Vec::new()) };
}

/// Buffers that a thread keeps: about as many as a kernel uses at once.
const BUFFERS: usize = 8;

/// A buffer of 4-byte units. It returns to the thread at the end. New zeroed memory from the
/// allocator would take as long as a small kernel.
#[derive(Debug)]
pub struct Scratch<U> {
    buffer: Units<u32>,
    len: usize,
    unit: PhantomData<U>,
}

impl<U: Pod> Scratch<U> {
    /// `len` units with any contents.
    pub fn new(len: usize) -> Self {
        const { assert!(size_of::<U>() == size_of::<u32>()) };
        let kept = KEPT.with_borrow_mut(|kept| {
            // The smallest buffer that is large enough, or else the largest.
            let fits = |buffer: &Units<u32>| (buffer.len() < len, buffer.len().abs_diff(len));
            let best = (0..kept.len()).min_by_key(|i| fits(&kept[*i]));
            best.map(|best| kept.swap_remove(best))
        });
        let mut buffer = kept.unwrap_or_else(|| zeroed(0));
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        Self { buffer, len, unit: PhantomData }
    }

    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        let mut scratch = Self::new(len);
        scratch.buffer[..len].fill(0);
        scratch
    }
}

impl<U: Pod> Deref for Scratch<U> {
    type Target = [U];

    fn deref(&self) -> &[U] {
        bytemuck::cast_slice(&self.buffer[..self.len])
    }
}

impl<U: Pod> DerefMut for Scratch<U> {
    fn deref_mut(&mut self) -> &mut [U] {
        bytemuck::cast_slice_mut(&mut self.buffer[..self.len])
    }
}

impl<U> Drop for Scratch<U> {
    fn drop(&mut self) {
        let buffer = std::mem::replace(&mut self.buffer, zeroed(0));
        // A thread that ends keeps no buffer.
        let _ = KEPT.try_with(|kept| {
            let mut kept = kept.borrow_mut();
            if kept.len() < BUFFERS {
                kept.push(buffer);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_kept_and_zero_where_asked() {
        let mut first = Scratch::<f32>::new(100);
        first.fill(7.0);
        let place = first.as_ptr() as usize;
        assert_eq!(place % 64, 0);
        drop(first);
        let second = Scratch::<u32>::zeroed(90);
        assert_eq!(second.as_ptr() as usize, place);
        assert_eq!(second.len(), 90);
        assert!(second.iter().all(|unit| *unit == 0));
        let third = Scratch::<u32>::new(50);
        assert_ne!(third.as_ptr() as usize, place);
    }
}

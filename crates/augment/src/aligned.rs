//! A buffer that is aligned to a cache line.

use std::ops::{Deref, DerefMut};

/// Values in a cache line of 64 bytes. The widest vector has as many.
const LINE: usize = 16;

/// A buffer of f32 that begins at a cache line. A vector across two cache lines takes two reads,
/// and large blocks from an allocator usually begin 16 bytes into one.
#[derive(Debug, Default)]
pub struct Aligned {
    memory: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// Changes the length and keeps an allocation that is large enough. The values are then
    /// unspecified.
    pub fn resize(&mut self, len: usize) {
        if self.memory.len() < len + LINE {
            self.memory = vec![0.0; len + LINE];
            self.start = self.memory.as_ptr().align_offset(LINE * size_of::<f32>()).min(LINE);
        }
        self.len = len;
    }
}

impl Deref for Aligned {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

impl Clone for Aligned {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.resize(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl PartialEq for Aligned {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_cache_line_whatever_its_length() {
        let mut buffer = Aligned::default();
        assert!(buffer.is_empty());
        for len in [1, 100, 7, 100_000] {
            buffer.resize(len);
            assert_eq!((buffer.len(), buffer.as_ptr() as usize % 64), (len, 0));
        }
        buffer.fill(2.0);
        let copy = buffer.clone();
        assert_eq!(copy.as_ptr() as usize % 64, 0);
        assert_eq!(copy, buffer);
    }
}

//! Reads weights from a tensor, for packing.

use std::ops::Range;

/// The weights of one group, as `(out, in, tap)` of the correlation that they are packed for: the
/// forward pass, or the gradient for the input, in which outputs and inputs change places.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    pub values: &'a [f32],
    /// From output channel to output channel, and from input channel to input channel; the smaller
    /// one is the number of taps of the tensor.
    pub out: usize,
    pub into: usize,
    /// Where each tap lies.
    pub taps: Vec<usize>,
}

/// The weights of some output channels and some input channels, close together.
#[derive(Debug, Default)]
pub struct Staged {
    values: Vec<f32>,
    out: usize,
    into: usize,
}

impl Source<'_> {
    /// Copies the weights of some channels. The runs of memory that they lie in are far apart, so
    /// that each is fetched as a whole: element by element the processor would wait for one line
    /// after the other.
    pub fn stage(&self, outs: Range<usize>, ins: Range<usize>, staged: &mut Staged) {
        staged.values.clear();
        let (rows, row, runs, run) = if self.into < self.out {
            (outs, self.out, ins, self.into)
        } else {
            (ins, self.into, outs, self.out)
        };
        let length = runs.len() * run;
        for first in rows {
            let start = first * row + runs.start * run;
            staged.values.extend_from_slice(&self.values[start..][..length]);
        }
        (staged.out, staged.into) =
            if self.into < self.out { (length, run) } else { (run, length) };
    }
}

impl Staged {
    /// The weights of output channels 0, 1, … for one input channel and one tap.
    #[inline(always)]
    pub fn line(&self, into: usize, tap: usize, line: &mut [f32]) {
        let values = &self.values[into * self.into + tap..];
        for (i, value) in line.iter_mut().enumerate() {
            *value = values[i * self.out];
        }
    }
}

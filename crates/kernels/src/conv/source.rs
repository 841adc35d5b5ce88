//! Reads weights from a tensor, for packing.

use std::ops::Range;

/// The weights of one group, as `(out, in, tap)` of the correlation that they are packed for. The
/// correlation is the forward pass or the gradient for the input. In the gradient, outputs and
/// inputs change places.
#[derive(Debug, Clone)]
pub struct Source<'a> {
    pub values: &'a [f32],
    /// The steps from one output channel to the next and from one input channel to the next. The
    /// smaller step is the number of taps of the tensor.
    pub out: usize,
    pub into: usize,
    /// The place of each tap.
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
    /// Copies the weights of some channels. They lie in runs of memory that are far apart. Each run
    /// is fetched as a whole. Element by element, the processor would wait for one cache line after
    /// the other.
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

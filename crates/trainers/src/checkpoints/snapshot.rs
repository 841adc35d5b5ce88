//! A state of the trainer that later steps do not change.

use crate::{Method, Optimizer};

/// A trainer's state after one step. Later steps do not change it. It is the content of a
/// [`Checkpoint`](crate::Checkpoint), to write now or later, on any thread.
///
/// It shares the trainer's tensors until the trainer replaces them. It keeps them in memory while
/// it lives.
#[derive(Debug)]
pub struct Snapshot<M: Method> {
    /// A copy by [`valid`](burn::module::Module::valid). So it has its own running statistics.
    pub(crate) method: M,
    pub(crate) optimizer: Optimizer,
    /// Optimiser steps of the whole run.
    pub(crate) steps: u64,
}

impl<M: Method> Snapshot<M> {
    /// Optimiser steps done.
    pub fn step(&self) -> u64 {
        self.optimizer.steps_done()
    }
}

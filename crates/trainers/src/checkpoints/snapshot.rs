//! A state of the trainer that later steps leave alone.

use crate::{Method, Optimizer};

/// A trainer's state after one step, which later steps leave as it is: what a
/// [`Checkpoint`](crate::Checkpoint) holds, to be written now or later, here or by another thread.
///
/// It shares the trainer's tensors for as long as they are the same, and keeps them in memory for
/// as long as it lives.
#[derive(Debug)]
pub struct Snapshot<M: Method> {
    /// As [`valid`](burn::module::Module::valid) makes it, so with running statistics of its own.
    pub(crate) method: M,
    pub(crate) optimizer: Optimizer,
    /// Of the whole run.
    pub(crate) steps: u64,
}

impl<M: Method> Snapshot<M> {
    /// Optimiser steps done.
    pub fn step(&self) -> u64 {
        self.optimizer.steps_done()
    }
}

//! The exchange between ranks, besides the statistics of batch norm.
//!
//! Every rank computes the loss of the whole batch and differentiates it by its own images only.
//! The sums of these gradients over ranks are the gradients of one process with the whole batch.

use std::sync::Arc;

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Tensor};
use selfsame_kernels::{Ranks, Together, all_gather, all_sum, current_ranks};
use selfsame_models::named::{NamedVisitor, visit_named};

use crate::TrainError;

/// See [`Step::all`](crate::Step::all).
pub(crate) fn gather_rows(x: Tensor<2>, ranks: &Arc<dyn Ranks>) -> Tensor<2> {
    let [batch, dim] = x.dims();
    let everyone = all_gather(x.clone().detach().reshape([batch * dim]), ranks);
    let rows = (0..ranks.count()).map(|rank| match rank == ranks.rank() {
        true => x.clone(),
        false => everyone.clone().narrow(0, rank, 1).reshape([batch, dim]),
    });
    let rows = rows.map(|rows| rows.unsqueeze_dim::<3>(1));
    let count = ranks.count();
    Tensor::cat(rows.collect(), 1).reshape([batch * count, dim])
}

/// See [`Step::mean`](crate::Step::mean).
pub(crate) fn mean_over_ranks(loss: Tensor<1>, ranks: &Arc<dyn Ranks>) -> Tensor<1> {
    gather_rows(loss.reshape([1, 1]), ranks).mean()
}

/// Replaces the gradients of `module` by their sums over ranks, in one exchange.
pub(crate) fn sum_gradients<M: Module>(
    module: &M,
    gradients: GradientsParams,
    ranks: &dyn Ranks,
) -> GradientsParams {
    let mut collect = Flat { gradients: &gradients, found: Vec::new() };
    visit_named(module, &mut collect);
    let flat = collect.found;
    if flat.is_empty() {
        return gradients;
    }
    let all = all_sum(Tensor::cat(flat, 0), ranks);
    let sums = GradientsParams::new();
    let mut replace = Replace { gradients: &gradients, all, taken: 0, sums };
    visit_named(module, &mut replace);
    replace.sums
}

/// Collects all gradients, one-dimensional and in f32.
struct Flat<'a> {
    gradients: &'a GradientsParams,
    found: Vec<Tensor<1>>,
}

impl NamedVisitor for Flat<'_> {
    fn visit<const D: usize>(&mut self, _: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let elements = gradient.shape().num_elements();
        self.found.push(gradient.reshape([elements]).cast(DType::F32));
    }
}

/// Takes the part of each parameter from the sums, in the order of [`Flat`].
struct Replace<'a> {
    gradients: &'a GradientsParams,
    all: Tensor<1>,
    taken: usize,
    sums: GradientsParams,
}

impl NamedVisitor for Replace<'_> {
    fn visit<const D: usize>(&mut self, _: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let length = gradient.shape().num_elements();
        let sum: Tensor<D> =
            self.all.clone().narrow(0, self.taken, length).reshape(gradient.shape());
        self.taken += length;
        self.sums.register(param.id, sum.cast(gradient.dtype()));
    }
}

/// The state of a rank, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It can go on.
    Ready,
    /// It can go on, and needs the figures of the next step at once.
    Reading,
    /// It has nothing more to do, or was told to stop.
    Done,
    /// It cannot go on.
    Failed,
}

/// Waits for all ranks and returns their common state. No rank may begin a step alone.
///
/// # Errors
/// Another rank failed. The error has the first such rank.
pub(crate) fn agree(mine: Standing) -> Result<Standing, TrainError> {
    let Some(Together { ranks, .. }) = current_ranks() else { return Ok(mine) };
    let all = ranks.gather(&[mine as u8]);
    let any = |standing| all.iter().position(|other| *other == standing as u8);
    match any(Standing::Failed) {
        Some(rank) if mine != Standing::Failed => Err(TrainError::OtherRank { rank }),
        Some(_) => Ok(Standing::Failed),
        None if any(Standing::Done).is_some() => Ok(Standing::Done),
        None if any(Standing::Reading).is_some() => Ok(Standing::Reading),
        None => Ok(Standing::Ready),
    }
}

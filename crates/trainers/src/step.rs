//! What a method gets in a training step: a batch of views, its place in the run, the other ranks.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_kernels::{Ranks, current_ranks};

use crate::ranks::{gather_rows, mean_over_ranks};

/// The views of some images on the training device, `[batch, 3, height, width]` each. Image `i` of
/// every view is the same image.
#[derive(Debug, Clone)]
pub struct Batch {
    views: Vec<Tensor<4>>,
}

impl Batch {
    /// At least two views with the same number of images. Sizes may differ.
    pub fn new(views: Vec<Tensor<4>>) -> Self {
        Self { views }
    }

    /// All views.
    pub fn views(&self) -> &[Tensor<4>] {
        &self.views
    }

    /// The first two views, for methods of two views.
    ///
    /// # Panics
    /// The batch has fewer. [`Trainer::fit`](crate::Trainer::fit) refuses such a batch before.
    pub fn pair(&self) -> [Tensor<4>; 2] {
        [self.views[0].clone(), self.views[1].clone()]
    }
}

/// The position of a method in its run. Its schedules and random draws depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Optimiser steps done before this one.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
}

impl Position {
    /// The share of the run, from 0 to 1.
    pub fn progress(&self) -> f64 {
        (self.step as f64 / self.steps.max(1) as f64).min(1.0)
    }
}

/// A training step on this rank.
///
/// Each rank has a part of the batch, and computes the loss of the whole batch. A [`BatchLoss`] is
/// such a loss: by [`all`](Self::all) and [`whole`](Self::whole), or by [`mean`](Self::mean). With
/// one process, these change nothing.
#[derive(Clone)]
pub struct Step {
    position: Position,
    ranks: Option<Arc<dyn Ranks>>,
}

/// The loss of the whole batch, `[1]`, the same on all ranks.
#[derive(Debug, Clone)]
pub struct BatchLoss(Tensor<1>);

impl BatchLoss {
    /// The loss as a tensor, `[1]`.
    pub fn tensor(self) -> Tensor<1> {
        self.0
    }
}

impl Step {
    /// A step at this position, with the ranks of
    /// [`together`](selfsame_kernels::together), if there are any.
    pub fn at(position: Position) -> Self {
        Self { position, ranks: current_ranks().map(|together| together.ranks) }
    }

    /// Where it is in the run.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The number of ranks.
    pub fn ranks(&self) -> usize {
        self.ranks.as_ref().map_or(1, |ranks| ranks.count())
    }

    /// The rows of all ranks, `[batch, dim]` → `[ranks · batch, dim]`. Images are dealt out to ranks
    /// in turn, and the rows are in the order that one process would have. Gradients flow to this
    /// rank's rows.
    ///
    /// For losses that compare images with each other: negatives, correlations, statistics.
    pub fn all(&self, rows: Tensor<2>) -> Tensor<2> {
        match &self.ranks {
            Some(ranks) => gather_rows(rows, ranks),
            None => rows,
        }
    }

    /// A loss of [`all`](Self::all) embeddings.
    pub fn whole(&self, loss: Tensor<1>) -> BatchLoss {
        BatchLoss(loss)
    }

    /// A loss that is a mean over images, of this rank's images alone. The result is the mean over
    /// ranks.
    pub fn mean(&self, loss: Tensor<1>) -> BatchLoss {
        BatchLoss(match &self.ranks {
            Some(ranks) => mean_over_ranks(loss, ranks),
            None => loss,
        })
    }
}

/// One view of some images as a data loader makes it on the CPU.
#[derive(Debug, Clone, PartialEq)]
pub struct HostView {
    /// Row-major `[batch, channels, height, width]`, normalised.
    pub pixels: Vec<f32>,
    /// `[batch, channels, height, width]`
    pub shape: [usize; 4],
}

/// The views of a batch, before they are on the training device.
#[derive(Debug, Clone)]
pub enum Views {
    /// As a data loader makes them.
    OnHost(Vec<HostView>),
    /// Made on the training device, `[batch, channels, height, width]` each, without autodiff.
    OnDevice(Vec<Tensor<4>>),
}

impl Views {
    /// Views of one shape, `[batch, channels, height, width]`, on the host.
    pub fn on_host(pixels: impl IntoIterator<Item = Vec<f32>>, shape: [usize; 4]) -> Self {
        Self::OnHost(pixels.into_iter().map(|pixels| HostView { pixels, shape }).collect())
    }

    /// The number of views of each image.
    pub fn count(&self) -> usize {
        match self {
            Self::OnHost(views) => views.len(),
            Self::OnDevice(views) => views.len(),
        }
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        match self {
            Self::OnHost(views) => views.first().map_or(0, |view| view.shape[0]),
            Self::OnDevice(views) => views.first().map_or(0, |view| view.dims()[0]),
        }
    }

    /// As tensors on an autodiff device.
    pub fn on_device(self, device: &Device) -> Batch {
        let from_host =
            |HostView { pixels, shape }| Tensor::from_data(TensorData::new(pixels, shape), device);
        Batch::new(match self {
            Self::OnHost(views) => views.into_iter().map(from_host).collect(),
            Self::OnDevice(views) => views.into_iter().map(Tensor::from_inner).collect(),
        })
    }

    /// Their values.
    pub fn into_host(self) -> Vec<HostView> {
        let read = |view: Tensor<4>| HostView {
            shape: view.dims(),
            pixels: view.into_data().iter::<f32>().collect(),
        };
        match self {
            Self::OnHost(views) => views,
            Self::OnDevice(views) => views.into_iter().map(read).collect(),
        }
    }
}

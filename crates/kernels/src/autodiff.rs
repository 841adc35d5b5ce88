//! Gradients of the kernels.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend};

use crate::ops::KernelOps;

#[derive(Debug)]
struct Conv;

/// Input, weight, stride and padding.
type ConvState<B> = (FloatTensor<B>, FloatTensor<B>, usize, usize);

impl<B: Backend + KernelOps> Backward<B, 2> for Conv {
    type State = ConvState<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let (x, weight, stride, padding) = ops.state;
        if let Some(node) = x_node {
            let dx = B::kernel_conv2d_input(x.clone(), weight.clone(), dy.clone(), stride, padding);
            grads.register::<B>(node.id, dx);
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::kernel_conv2d_weight(x, weight, dy, stride, padding));
        }
    }
}

/// Input, output, weight, mean, variance and ε.
struct NormState<B: Backend> {
    x: FloatTensor<B>,
    y: FloatTensor<B>,
    weight: FloatTensor<B>,
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    epsilon: f64,
}

impl<B: Backend> Clone for NormState<B> {
    fn clone(&self) -> Self {
        Self {
            x: self.x.clone(),
            y: self.y.clone(),
            weight: self.weight.clone(),
            mean: self.mean.clone(),
            variance: self.variance.clone(),
            epsilon: self.epsilon,
        }
    }
}

impl<B: Backend> std::fmt::Debug for NormState<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NormState").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Norm;

impl<B: Backend + KernelOps> Backward<B, 3> for Norm {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let NormState { x, y, weight, mean, variance, epsilon } = ops.state;
        let (dx, dweight, dbias) =
            B::kernel_norm_backward(dy, x, y, weight, mean, variance, epsilon);
        for (node, gradient) in ops.parents.into_iter().zip([dx, dweight, dbias]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormAdd;

impl<B: Backend + KernelOps> Backward<B, 4> for NormAdd {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let NormState { x, y, weight, mean, variance, epsilon } = ops.state;
        let (dx, dweight, dbias, dresidual) =
            B::kernel_norm_add_backward(dy, x, y, weight, mean, variance, epsilon);
        for (node, gradient) in ops.parents.into_iter().zip([dx, dweight, dbias, dresidual]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Backend + KernelOps, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let nodes = [x.node(), weight.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let y = B::kernel_conv2d(x.clone(), weight.clone(), stride, padding);
        match Conv.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, stride, padding), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn kernel_norm_relu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), weight.node(), bias.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let (y, mean, variance) =
            B::kernel_norm_relu(x.clone(), weight.clone(), bias.into_primitive(), epsilon);
        let statistics = (Self::from_inner(mean.clone()), Self::from_inner(variance.clone()));
        let output = match Norm.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(NormState { x, y: y.clone(), weight, mean, variance, epsilon }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (output, statistics.0, statistics.1)
    }

    fn kernel_norm_add_relu(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let (bias, residual) = (bias.into_primitive(), residual.into_primitive());
        let (y, mean, variance) =
            B::kernel_norm_add_relu(x.clone(), weight.clone(), bias, residual, epsilon);
        let statistics = (Self::from_inner(mean.clone()), Self::from_inner(variance.clone()));
        let output = match NormAdd.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                prep.finish(NormState { x, y: y.clone(), weight, mean, variance, epsilon }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        (output, statistics.0, statistics.1)
    }

    // Nobody differentiates a gradient again, so these need no graph.

    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let [x, weight, dy] = [x, weight, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_conv2d_input(x, weight, dy, stride, padding))
    }

    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let [x, weight, dy] = [x, weight, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_conv2d_weight(x, weight, dy, stride, padding))
    }

    fn kernel_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [dy, x, y] = [dy, x, y].map(|t| t.into_primitive());
        let [weight, mean, variance] = [weight, mean, variance].map(|t| t.into_primitive());
        let (dx, dw, db) = B::kernel_norm_backward(dy, x, y, weight, mean, variance, epsilon);
        (Self::from_inner(dx), Self::from_inner(dw), Self::from_inner(db))
    }

    fn kernel_norm_add_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [dy, x, y] = [dy, x, y].map(|t| t.into_primitive());
        let [weight, mean, variance] = [weight, mean, variance].map(|t| t.into_primitive());
        let (dx, dw, db, dr) =
            B::kernel_norm_add_backward(dy, x, y, weight, mean, variance, epsilon);
        let [dx, dw, db, dr] = [dx, dw, db, dr].map(Self::from_inner);
        (dx, dw, db, dr)
    }
}

//! Gradients of the kernels.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{AutodiffBackend, Backend, TensorMetadata};
use burn::tensor::DType;

use crate::Precision;
use crate::ops::{Conv, KernelOps, Norm, Normalized, Pool};
use crate::shared::Parameter;

#[derive(Debug)]
struct ConvNode;

/// Input and weight in the kernels' form, the weight's node in the graph, and the type of the
/// input's gradient.
type ConvState<B> = (FloatTensor<B>, FloatTensor<B>, Parameter<B>, Conv, DType);

impl<B: Backend + KernelOps> Backward<B, 2> for ConvNode {
    type State = ConvState<B>;

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let dy = grads.consume::<B>(&ops.node);
        let (x, weight, parameter, conv, dtype) = ops.state;
        if let Some(node) = x_node {
            let dx = B::kernel_conv2d_input(x.clone(), weight.clone(), dy.clone(), conv);
            grads.register::<B>(node.id, of_type::<B>(dx, dtype));
        }
        if let Some(node) = weight_node {
            let dw = match parameter.take(grads) {
                Some(so_far) => B::kernel_conv2d_weight_onto(x, weight, dy, so_far, conv),
                None => B::kernel_conv2d_weight(x, weight, dy, conv),
            };
            grads.register::<B>(node.id, dw);
        }
    }
}

#[derive(Debug)]
struct LinearNode;

impl<B: Backend + KernelOps> Backward<B, 2> for LinearNode {
    type State = (FloatTensor<B>, FloatTensor<B>, Precision, DType);

    fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let (x, weight, precision, dtype) = ops.state;
        let dy = B::kernel_operand(grads.consume::<B>(&ops.node), precision);
        if let Some(node) = x_node {
            let dx = B::kernel_linear_input(weight, dy.clone(), precision);
            grads.register::<B>(node.id, of_type::<B>(dx, dtype));
        }
        if let Some(node) = weight_node {
            grads.register::<B>(node.id, B::kernel_linear_weight(x, dy, precision));
        }
    }
}

/// A gradient in the type of its tensor.
fn of_type<B: Backend>(gradient: FloatTensor<B>, dtype: DType) -> FloatTensor<B> {
    if gradient.dtype() == dtype { gradient } else { B::float_cast(gradient, dtype.into()) }
}

struct NormState<B: Backend> {
    x: FloatTensor<B>,
    /// The output, if the backward pass needs it (with ReLU and a residual). Otherwise any tensor.
    y: FloatTensor<B>,
    weight: FloatTensor<B>,
    bias: FloatTensor<B>,
    /// Of weight and bias.
    parameters: [Parameter<B>; 2],
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    norm: Norm,
}

impl<B: Backend> Clone for NormState<B> {
    fn clone(&self) -> Self {
        Self {
            x: self.x.clone(),
            y: self.y.clone(),
            weight: self.weight.clone(),
            bias: self.bias.clone(),
            parameters: self.parameters.clone(),
            mean: self.mean.clone(),
            variance: self.variance.clone(),
            norm: self.norm.clone(),
        }
    }
}

impl<B: Backend> std::fmt::Debug for NormState<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NormState").finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct NormNode;

impl<B: Backend + KernelOps> Backward<B, 3> for NormNode {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let NormState { x, weight, bias, parameters, mean, variance, norm, .. } = ops.state;
        let so_far = Parameter::take_both(parameters.each_ref(), grads);
        let (dx, dweight, dbias) = match so_far {
            Some([dw, db]) => {
                B::kernel_norm_backward_onto(dy, x, weight, bias, mean, variance, dw, db, norm)
            }
            None => B::kernel_norm_backward(dy, x, weight, bias, mean, variance, norm),
        };
        for (node, gradient) in ops.parents.into_iter().zip([dx, dweight, dbias]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormAddNode;

impl<B: Backend + KernelOps> Backward<B, 4> for NormAddNode {
    type State = NormState<B>;

    fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let NormState { x, y, weight, parameters, mean, variance, norm, .. } = ops.state;
        let so_far = Parameter::take_both(parameters.each_ref(), grads);
        let (dx, dweight, dbias, dresidual) = match so_far {
            Some([dw, db]) => {
                B::kernel_norm_add_backward_onto(dy, x, y, weight, mean, variance, dw, db, norm)
            }
            None => B::kernel_norm_add_backward(dy, x, y, weight, mean, variance, norm),
        };
        for (node, gradient) in ops.parents.into_iter().zip([dx, dweight, dbias, dresidual]) {
            if let Some(node) = node {
                grads.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct MeanPoolNode;

impl<B: Backend + KernelOps> Backward<B, 1> for MeanPoolNode {
    type State = FloatTensor<B>;

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::kernel_mean_pool_backward(ops.state, dy));
        }
    }
}

#[derive(Debug)]
struct MaxPoolNode;

impl<B: Backend + KernelOps> Backward<B, 1> for MaxPoolNode {
    type State = (FloatTensor<B>, Pool);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        let (x, pool) = ops.state;
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::kernel_max_pool_backward(x, dy, pool));
        }
    }
}

impl<B: Backend + KernelOps, C: CheckpointStrategy> KernelOps for Autodiff<B, C> {
    fn kernel_max_pool(x: FloatTensor<Self>, pool: Pool) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        let y = B::kernel_max_pool(x.clone(), pool);
        match MaxPoolNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, pool), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn kernel_mean_pool(x: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let x = x.into_primitive();
        let y = B::kernel_mean_pool(x.clone());
        match MeanPoolNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(x, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn kernel_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let (nodes, dtype) = ([x.node(), weight.node()], x.dtype());
        // Images often come with their channels first, and the backward pass reads them again.
        let x = B::kernel_operand(x.into_primitive(), conv.precision);
        let parameter = Parameter::new(&weight);
        let weight = B::kernel_filter(weight.into_primitive(), conv.precision);
        let y = B::kernel_conv2d(x.clone(), weight.clone(), conv);
        match ConvNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, parameter, conv, dtype), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn kernel_linear(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let (nodes, dtype) = ([x.node(), weight.node()], x.dtype());
        let x = B::kernel_operand(x.into_primitive(), precision);
        let weight = B::kernel_operand(weight.into_primitive(), precision);
        let y = B::kernel_linear(x.clone(), weight.clone(), precision);
        match LinearNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish((x, weight, precision, dtype), y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    fn kernel_norm(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        norm: Norm,
    ) -> Normalized<Self> {
        let nodes = [x.node(), weight.node(), bias.node()];
        let parameters = [&weight, &bias].map(Parameter::new);
        let [x, weight, bias] = [x, weight, bias].map(|t| t.into_primitive());
        let running = [running_mean, running_variance].map(|t| t.into_primitive());
        let [running_mean, running_variance] = running;
        let (y, mean, variance, running_mean, running_variance) = B::kernel_norm(
            x.clone(),
            weight.clone(),
            bias.clone(),
            running_mean,
            running_variance,
            norm.clone(),
        );
        let constants = [mean.clone(), variance.clone(), running_mean, running_variance];
        let output = match NormNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let saved = x.clone();
                prep.finish(
                    NormState { x, y: saved, weight, bias, parameters, mean, variance, norm },
                    y,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        let [mean, variance, running_mean, running_variance] = constants.map(Self::from_inner);
        (output, mean, variance, running_mean, running_variance)
    }

    fn kernel_norm_add(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        running_mean: FloatTensor<Self>,
        running_variance: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        norm: Norm,
    ) -> Normalized<Self> {
        let nodes = [x.node(), weight.node(), bias.node(), residual.node()];
        let parameters = [&weight, &bias].map(Parameter::new);
        let (x, weight) = (x.into_primitive(), weight.into_primitive());
        let (bias, residual) = (bias.into_primitive(), residual.into_primitive());
        let running = [running_mean, running_variance].map(|t| t.into_primitive());
        let [running_mean, running_variance] = running;
        let (y, mean, variance, running_mean, running_variance) = B::kernel_norm_add(
            x.clone(),
            weight.clone(),
            bias.clone(),
            running_mean,
            running_variance,
            residual,
            norm.clone(),
        );
        let constants = [mean.clone(), variance.clone(), running_mean, running_variance];
        let output = match NormAddNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let saved = if norm.relu { y.clone() } else { x.clone() };
                prep.finish(
                    NormState { x, y: saved, weight, bias, parameters, mean, variance, norm },
                    y,
                )
            }
            OpsKind::UnTracked(prep) => prep.finish(y),
        };
        let [mean, variance, running_mean, running_variance] = constants.map(Self::from_inner);
        (output, mean, variance, running_mean, running_variance)
    }

    // Gradients are not differentiated again, so these need no graph.

    fn kernel_operand(x: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        Self::from_inner(B::kernel_operand(x.into_primitive(), precision))
    }

    fn kernel_filter(weight: FloatTensor<Self>, precision: Precision) -> FloatTensor<Self> {
        Self::from_inner(B::kernel_filter(weight.into_primitive(), precision))
    }

    fn kernel_max_pool_backward(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        pool: Pool,
    ) -> FloatTensor<Self> {
        let [x, dy] = [x, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_max_pool_backward(x, dy, pool))
    }

    fn kernel_mean_pool_backward(x: FloatTensor<Self>, dy: FloatTensor<Self>) -> FloatTensor<Self> {
        let [x, dy] = [x, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_mean_pool_backward(x, dy))
    }

    fn kernel_conv2d_input(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let [x, weight, dy] = [x, weight, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_conv2d_input(x, weight, dy, conv))
    }

    fn kernel_conv2d_weight(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let [x, weight, dy] = [x, weight, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_conv2d_weight(x, weight, dy, conv))
    }

    fn kernel_conv2d_weight_onto(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        so_far: FloatTensor<Self>,
        conv: Conv,
    ) -> FloatTensor<Self> {
        let [x, weight, dy, so_far] = [x, weight, dy, so_far].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_conv2d_weight_onto(x, weight, dy, so_far, conv))
    }

    fn kernel_linear_input(
        weight: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [weight, dy] = [weight, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_linear_input(weight, dy, precision))
    }

    fn kernel_linear_weight(
        x: FloatTensor<Self>,
        dy: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [x, dy] = [x, dy].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_linear_weight(x, dy, precision))
    }

    fn kernel_scale_shift(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let [x, scale, shift] = [x, scale, shift].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_scale_shift(x, scale, shift, relu))
    }

    fn kernel_scale_shift_add(
        x: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        relu: bool,
    ) -> FloatTensor<Self> {
        let [x, scale, shift, residual] = [x, scale, shift, residual].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_scale_shift_add(x, scale, shift, residual, relu))
    }

    fn kernel_norm_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [dy, x] = [dy, x].map(|t| t.into_primitive());
        let [weight, bias] = [weight, bias].map(|t| t.into_primitive());
        let [mean, variance] = [mean, variance].map(|t| t.into_primitive());
        let (dx, dw, db) = B::kernel_norm_backward(dy, x, weight, bias, mean, variance, norm);
        (Self::from_inner(dx), Self::from_inner(dw), Self::from_inner(db))
    }

    fn kernel_norm_add_backward(
        dy: FloatTensor<Self>,
        x: FloatTensor<Self>,
        y: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        norm: Norm,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [dy, x, y] = [dy, x, y].map(|t| t.into_primitive());
        let [weight, mean, variance] = [weight, mean, variance].map(|t| t.into_primitive());
        let (dx, dw, db, dr) = B::kernel_norm_add_backward(dy, x, y, weight, mean, variance, norm);
        let [dx, dw, db, dr] = [dx, dw, db, dr].map(Self::from_inner);
        (dx, dw, db, dr)
    }
}

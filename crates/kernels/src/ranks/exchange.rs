//! Exchanges tensors of all ranks: between their devices if possible, or else through host memory.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{
    Autodiff, AutodiffBackend, Backend, Dispatch, TensorMetadata, backend_extension,
};
use burn::tensor::{Shape, Tensor, TensorData};

use crate::ranks::{Ranks, gather_f32};

/// Exchanges through the host's memory, on every device.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    NdArray: cfg(feature = "ndarray"),
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
    Autodiff
)]
pub trait ExchangeOps: Backend {
    /// Everyone's values, `[n]` → `[ranks, n]`.
    #[fusion(default)]
    fn exchange_gather(x: FloatTensor<Self>, ranks: Arc<dyn Ranks>) -> FloatTensor<Self> {
        let [length] = x.shape().dims();
        let shape = Shape::new([ranks.count(), length]);
        on_host::<Self>(x, shape, |values| gather_f32(&*ranks, &values))
    }

    /// The sums over ranks of the rows for this rank, `[ranks, n]` → `[n]`.
    #[fusion(default)]
    fn exchange_scatter_sum(x: FloatTensor<Self>, ranks: Arc<dyn Ranks>) -> FloatTensor<Self> {
        let [_, length] = x.shape().dims();
        on_host::<Self>(x, Shape::new([length]), |mut values| {
            ranks.sum(&mut values);
            values[ranks.rank() * length..][..length].to_vec()
        })
    }
}

fn on_host<B: Backend>(
    x: FloatTensor<B>,
    shape: Shape,
    f: impl FnOnce(Vec<f32>) -> Vec<f32>,
) -> FloatTensor<B> {
    let (device, dtype) = (x.device(), x.dtype());
    let data = burn::tensor::read_sync(B::float_into_data(x));
    // Panics like `Tensor::into_data`: nothing can go on after a device has failed.
    let values = data.expect("the device returns its values").iter::<f32>().collect();
    B::float_from_data(TensorData::new(f(values), shape).convert_dtype(dtype), &device)
}

#[cfg(feature = "flex")]
impl ExchangeOps for burn::backend::Flex {}

#[cfg(feature = "ndarray")]
impl ExchangeOps for burn::backend::NdArray {}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl ExchangeOps for burn_cubecl::CubeBackend {}

#[derive(Debug)]
struct GatherNode;

impl<B: Backend + ExchangeOps> Backward<B, 1> for GatherNode {
    type State = Arc<dyn Ranks>;

    /// Every rank's output depends on this rank's values. So their gradient is a sum over all
    /// ranks.
    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let dy = grads.consume::<B>(&ops.node);
        if let [Some(node)] = ops.parents {
            grads.register::<B>(node.id, B::exchange_scatter_sum(dy, ops.state));
        }
    }
}

impl<B: Backend + ExchangeOps, C: CheckpointStrategy> ExchangeOps for Autodiff<B, C> {
    fn exchange_gather(x: FloatTensor<Self>, ranks: Arc<dyn Ranks>) -> FloatTensor<Self> {
        let nodes = [x.node()];
        let y = B::exchange_gather(x.into_primitive(), ranks.clone());
        match GatherNode.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => prep.finish(ranks, y),
            OpsKind::UnTracked(prep) => prep.finish(y),
        }
    }

    /// A gradient is not differentiated again.
    fn exchange_scatter_sum(x: FloatTensor<Self>, ranks: Arc<dyn Ranks>) -> FloatTensor<Self> {
        Self::from_inner(B::exchange_scatter_sum(x.into_primitive(), ranks))
    }
}

/// Everyone's values, `[n]` → `[ranks, n]`. The gradient of a rank's own values is the sum over
/// ranks of the gradients for its row.
pub fn all_gather(x: Tensor<1>, ranks: &Arc<dyn Ranks>) -> Tensor<2> {
    let Some(sums) = ranks.device_sums() else {
        let gathered = <Dispatch as ExchangeOps>::exchange_gather(x.into_dispatch(), ranks.clone());
        return Tensor::from_dispatch(gathered);
    };
    // Zeros add nothing to the rows of the others.
    let ([length], count, rank) = (x.dims(), ranks.count(), ranks.rank());
    let zeros = Tensor::<2>::zeros([count, length], (&x.device(), x.dtype()));
    let mine = zeros.slice_assign([rank..rank + 1, 0..length], x.unsqueeze());
    sums.sum(mine.reshape([count * length])).reshape([count, length])
}

/// The sums over ranks, `[n]`, with the same bits on all ranks. Without gradient.
pub fn all_sum(x: Tensor<1>, ranks: &dyn Ranks) -> Tensor<1> {
    if let Some(sums) = ranks.device_sums() {
        return sums.sum(x.detach());
    }
    let (device, dtype, [length]) = (x.device(), x.dtype(), x.dims());
    let mut values: Vec<f32> = x.detach().into_data().iter::<f32>().collect();
    ranks.sum(&mut values);
    Tensor::from_data(TensorData::new(values, [length]), (&device, dtype))
}

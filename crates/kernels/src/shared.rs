//! Weights that several batches use before one backward pass.

use std::cell::Cell;

use burn::backend::autodiff::grads::Gradients;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend};

thread_local! {
    static SHARED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a forward pass in which several batches use the same weights, for example two views. On a
/// GPU, the kernels then add the second gradient to the first. Otherwise, Burn adds them in a
/// separate pass. Gradients are the same.
///
/// The results of `f` on this thread **must be differentiated**. Otherwise the graph may keep them
/// until the weights are differentiated elsewhere.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use selfsame_kernels::{linear, sharing_weights};
///
/// let device = Device::flex().autodiff();
/// let w = Tensor::<2>::ones([2, 2], &device).require_grad();
/// let view = || Tensor::<2>::ones([3, 2], &device);
/// let both = || linear(view(), w.clone(), None) + linear(view(), w.clone(), None);
/// let loss = sharing_weights(both);
/// assert_eq!(w.grad(&loss.sum().backward()).unwrap().sum().into_scalar::<f32>(), 24.0);
/// ```
pub fn sharing_weights<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            SHARED.set(self.0);
        }
    }
    let _restore = Restore(SHARED.replace(true));
    f()
}

/// A parameter's node in the graph. With it, a backward step finds the sum of its gradients so far.
///
/// Burn finds a gradient only by its tensor. A tensor in a step's state counts as needed. So a
/// graph without a backward pass would never be freed. This is why it is only used within
/// [`sharing_weights`].
#[derive(Debug, Clone)]
pub struct Parameter<B: Backend>(Option<FloatTensor<Autodiff<B>>>);

impl<B: Backend> Parameter<B> {
    pub fn new(tensor: &FloatTensor<Autodiff<B>>) -> Self {
        Self(SHARED.get().then(|| tensor.clone()))
    }

    /// Takes the sum of the gradients so far. The next registered gradient is not added to it.
    pub fn take(&self, gradients: &mut Gradients) -> Option<FloatTensor<B>> {
        self.0.as_ref()?.grad_remove(gradients)
    }

    /// The nodes of two parameters, if both have one.
    pub fn take_both([a, b]: [&Self; 2], gradients: &mut Gradients) -> Option<[FloatTensor<B>; 2]> {
        match (a.take(gradients), b.take(gradients)) {
            (Some(a), Some(b)) => Some([a, b]),
            (of_a, of_b) => {
                a.put_back(of_a, gradients);
                b.put_back(of_b, gradients);
                None
            }
        }
    }

    fn put_back(&self, gradient: Option<FloatTensor<B>>, gradients: &mut Gradients) {
        if let Some((tensor, gradient)) = self.0.as_ref().zip(gradient) {
            gradients.register::<B>(tensor.id(), gradient);
        }
    }
}

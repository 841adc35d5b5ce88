//! The precision of products, and its scope.

use std::cell::Cell;

/// What convolutions and linear layers multiply. Weights, sums and statistics stay f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 bits of precision.
    #[default]
    F32,
    /// 8 bits of precision. Inputs, weights and gradients are rounded only when they are
    /// multiplied. Up to twice as fast on processors with AVX-512 BF16. Other processors emulate
    /// it. On a GPU with bf16, images are bf16 from the first convolution to the pooling. On a GPU
    /// without it, everything is f32.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `f` with this precision for convolutions and linear layers on this thread. It also holds
/// for their gradients, even if they are computed later.
///
/// ```
/// use burn::tensor::ops::ConvOptions;
/// use burn::tensor::{Device, Tensor};
/// use selfsame_kernels::{Precision, autocast, conv2d};
///
/// let device = Device::flex();
/// let (x, w) = (Tensor::full([1, 1, 1, 1], 1.001, &device), Tensor::ones([1, 1, 1, 1], &device));
/// let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
/// let y = autocast(Precision::Bf16, || conv2d(x, w, options));
/// assert_eq!(y.into_scalar::<f32>(), 1.0);
/// ```
pub fn autocast<R>(precision: Precision, f: impl FnOnce() -> R) -> R {
    struct Restore(Precision);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(precision));
    f()
}

/// The precision of the innermost [`autocast`].
pub fn current() -> Precision {
    CURRENT.get()
}

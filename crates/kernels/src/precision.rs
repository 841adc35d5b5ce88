//! The precision of products, and the scope that it holds for.

use std::cell::Cell;

/// What convolutions and linear layers multiply. Weights, sums and statistics stay f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 24 bits of precision.
    #[default]
    F32,
    /// 8 bits: inputs, weights and gradients are rounded when they are multiplied, and only then.
    /// Up to twice as fast on processors with AVX-512 BF16; on others it is emulated. On a GPU that
    /// has bf16, images come out of a convolution as bf16 and stay so up to the pooling; on one
    /// that has not, everything is f32.
    Bf16,
}

thread_local! {
    static CURRENT: Cell<Precision> = const { Cell::new(Precision::F32) };
}

/// Runs `f` with convolutions and linear layers of this precision: those that `f` computes on this
/// thread, and their gradients whenever they are computed.
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

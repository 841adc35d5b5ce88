//! Updates of one tensor each, on backends with tensors in this process's memory.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use super::SgdStep;
use super::slices;
use crate::host::HostBackend;

/// Updates of parameters, on f32 tensors.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait UpdateOps: Backend {
    /// `τ a + (1 − τ) b`, without gradient.
    fn update_moving_average(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        tau: f64,
    ) -> FloatTensor<Self>;

    /// The first value that is NaN or infinite, or else 0, `[1]`, without gradient.
    fn update_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The new parameter, without gradient.
    fn update_sgd_without_momentum(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> FloatTensor<Self>;

    /// The new parameter and its first velocity, without gradient.
    fn update_sgd_first(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The new parameter and the new velocity, without gradient.
    fn update_sgd(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `‖w‖`, `‖g‖` and `‖g + λ w‖`, each `[1]`, without gradient.
    fn update_norms(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        decay: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

macro_rules! host_updates {
    ($backend:ty) => {
        impl UpdateOps for $backend {
            fn update_moving_average(
                a: FloatTensor<Self>,
                b: FloatTensor<Self>,
                tau: f64,
            ) -> FloatTensor<Self> {
                let (shape, device) = (a.shape(), a.device());
                let y = Self::host(a, |a| Self::host(b, |b| slices::moving_average(a, b, tau)));
                Self::from_host(y, shape, &device)
            }

            fn update_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self> {
                let device = x.device();
                let found = Self::host(x, slices::not_finite).unwrap_or(0.0);
                Self::from_host(vec![found], Shape::new([1]), &device)
            }

            fn update_sgd_without_momentum(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> FloatTensor<Self> {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let w = Self::host(w, |w| {
                    Self::host(g, |g| slices::sgd_without_momentum(w, g, scale, step))
                });
                Self::from_host(w, shape, &device)
            }

            fn update_sgd_first(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let (w, v) =
                    Self::host(w, |w| Self::host(g, |g| slices::sgd(w, g, None, scale, step)));
                (Self::from_host(w, shape.clone(), &device), Self::from_host(v, shape, &device))
            }

            fn update_sgd(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                v: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let (w, v) = Self::host(w, |w| {
                    Self::host(g, |g| Self::host(v, |v| slices::sgd(w, g, Some(v), scale, step)))
                });
                (Self::from_host(w, shape.clone(), &device), Self::from_host(v, shape, &device))
            }

            fn update_norms(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                decay: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let device = w.device();
                let norms = Self::host(w, |w| Self::host(g, |g| slices::norms(w, g, decay)));
                let [w, g, decayed] =
                    norms.map(|norm| Self::from_host(vec![norm as f32], Shape::new([1]), &device));
                (w, g, decayed)
            }
        }
    };
}

#[cfg(feature = "flex")]
host_updates!(burn::backend::Flex);
#[cfg(feature = "ndarray")]
host_updates!(burn::backend::NdArray);

impl<B: Backend + UpdateOps, C: CheckpointStrategy> UpdateOps for Autodiff<B, C> {
    fn update_moving_average(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        tau: f64,
    ) -> FloatTensor<Self> {
        let [a, b] = [a, b].map(|t| t.into_primitive());
        Self::from_inner(B::update_moving_average(a, b, tau))
    }

    fn update_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::update_not_finite(x.into_primitive()))
    }

    fn update_sgd_without_momentum(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> FloatTensor<Self> {
        let [w, g, scale] = [w, g, scale].map(|t| t.into_primitive());
        Self::from_inner(B::update_sgd_without_momentum(w, g, scale, step))
    }

    fn update_sgd_first(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g, scale] = [w, g, scale].map(|t| t.into_primitive());
        let (w, v) = B::update_sgd_first(w, g, scale, step);
        (Self::from_inner(w), Self::from_inner(v))
    }

    fn update_sgd(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g, v, scale] = [w, g, v, scale].map(|t| t.into_primitive());
        let (w, v) = B::update_sgd(w, g, v, scale, step);
        (Self::from_inner(w), Self::from_inner(v))
    }

    fn update_norms(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        decay: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g] = [w, g].map(|t| t.into_primitive());
        let (w, g, decayed) = B::update_norms(w, g, decay);
        (Self::from_inner(w), Self::from_inner(g), Self::from_inner(decayed))
    }
}

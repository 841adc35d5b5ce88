//! Updates of parameters, as an extension of Burn's backends.

use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, AutodiffBackend, Backend, TensorMetadata, backend_extension};
use burn::tensor::Shape;

use crate::host::HostBackend;
use crate::ops::SgdStep;
use crate::update;

/// Updates of one parameter.
#[backend_extension(Flex: cfg(feature = "flex"), NdArray: cfg(feature = "ndarray"), Autodiff)]
pub trait UpdateOps: Backend {
    /// `τ a + (1 − τ) b`, without gradient.
    fn kernel_moving_average(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        tau: f64,
    ) -> FloatTensor<Self>;

    /// The first value that is NaN or infinite, or else 0, `[1]`, without gradient.
    fn kernel_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// The new parameter, without gradient.
    fn kernel_sgd_without_momentum(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> FloatTensor<Self>;

    /// The new parameter and its first velocity, without gradient.
    fn kernel_sgd_first(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// The new parameter and the new velocity, without gradient.
    fn kernel_sgd(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// `‖w‖`, `‖g‖` and `‖g + λ w‖`, each `[1]`, without gradient.
    fn kernel_update_norms(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        decay: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

macro_rules! host_updates {
    ($backend:ty) => {
        impl UpdateOps for $backend {
            fn kernel_moving_average(
                a: FloatTensor<Self>,
                b: FloatTensor<Self>,
                tau: f64,
            ) -> FloatTensor<Self> {
                let (shape, device) = (a.shape(), a.device());
                let y = Self::host(a, |a| Self::host(b, |b| update::moving_average(a, b, tau)));
                Self::from_host(y, shape, &device)
            }

            fn kernel_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self> {
                let device = x.device();
                let found = Self::host(x, update::not_finite).unwrap_or(0.0);
                Self::from_host(vec![found], Shape::new([1]), &device)
            }

            fn kernel_sgd_without_momentum(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> FloatTensor<Self> {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let w = Self::host(w, |w| {
                    Self::host(g, |g| update::sgd_without_momentum(w, g, scale, step))
                });
                Self::from_host(w, shape, &device)
            }

            fn kernel_sgd_first(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let (w, v) =
                    Self::host(w, |w| Self::host(g, |g| update::sgd(w, g, None, scale, step)));
                (Self::from_host(w, shape.clone(), &device), Self::from_host(v, shape, &device))
            }

            fn kernel_sgd(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                v: FloatTensor<Self>,
                scale: FloatTensor<Self>,
                step: SgdStep,
            ) -> (FloatTensor<Self>, FloatTensor<Self>) {
                let (shape, device) = (w.shape(), w.device());
                let scale = Self::host(scale, |scale| scale[0]);
                let (w, v) = Self::host(w, |w| {
                    Self::host(g, |g| Self::host(v, |v| update::sgd(w, g, Some(v), scale, step)))
                });
                (Self::from_host(w, shape.clone(), &device), Self::from_host(v, shape, &device))
            }

            fn kernel_update_norms(
                w: FloatTensor<Self>,
                g: FloatTensor<Self>,
                decay: f64,
            ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
                let device = w.device();
                let norms = Self::host(w, |w| Self::host(g, |g| update::norms(w, g, decay)));
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
    fn kernel_moving_average(
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        tau: f64,
    ) -> FloatTensor<Self> {
        let [a, b] = [a, b].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_moving_average(a, b, tau))
    }

    fn kernel_not_finite(x: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::from_inner(B::kernel_not_finite(x.into_primitive()))
    }

    fn kernel_sgd_without_momentum(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> FloatTensor<Self> {
        let [w, g, scale] = [w, g, scale].map(|t| t.into_primitive());
        Self::from_inner(B::kernel_sgd_without_momentum(w, g, scale, step))
    }

    fn kernel_sgd_first(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g, scale] = [w, g, scale].map(|t| t.into_primitive());
        let (w, v) = B::kernel_sgd_first(w, g, scale, step);
        (Self::from_inner(w), Self::from_inner(v))
    }

    fn kernel_sgd(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        v: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        step: SgdStep,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g, v, scale] = [w, g, v, scale].map(|t| t.into_primitive());
        let (w, v) = B::kernel_sgd(w, g, v, scale, step);
        (Self::from_inner(w), Self::from_inner(v))
    }

    fn kernel_update_norms(
        w: FloatTensor<Self>,
        g: FloatTensor<Self>,
        decay: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [w, g] = [w, g].map(|t| t.into_primitive());
        let (w, g, decayed) = B::kernel_update_norms(w, g, decay);
        (Self::from_inner(w), Self::from_inner(g), Self::from_inner(decayed))
    }
}

//! The search for NaN and infinity before weights change.

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use selfsame_kernels::{AnyTensor, not_finite, not_finite_values};
use selfsame_models::named::{NamedVisitor, visit_named};

/// The first parameter with NaN or infinity in its gradient, with the value that [`not_finite`]
/// found.
pub(crate) fn first_not_finite<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    device: &Device,
) -> Option<(String, f32)> {
    let (mut names, gradients) = all(module, gradients);
    let (index, value) = not_finite(device, gradients)?;
    Some((names.swap_remove(index), value))
}

/// A value for each parameter with a gradient, `[n]`, from [`not_finite_values`]. It stays on the
/// device.
pub(crate) fn gradient_values<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    device: &Device,
) -> (Vec<String>, Tensor<1>) {
    let (names, gradients) = all(module, gradients);
    (names, not_finite_values(device, gradients))
}

/// All gradients by the path of the parameter.
fn all<M: Module>(module: &M, gradients: &GradientsParams) -> (Vec<String>, Vec<AnyTensor>) {
    let mut collect = Collect { gradients, names: Vec::new(), found: Vec::new() };
    visit_named(module, &mut collect);
    (collect.names, collect.found)
}

struct Collect<'a> {
    gradients: &'a GradientsParams,
    names: Vec<String>,
    found: Vec<AnyTensor>,
}

impl NamedVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        self.names.push(name.to_owned());
        self.found.push(gradient.into());
    }
}

use burn::module::{Module, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use selfsame_kernels::not_finite;
use selfsame_models::named::{NamedVisitor, visit_named};

/// The first parameter whose gradient has NaN or an infinity in it, with what [`not_finite`] found there.
pub(crate) fn first_not_finite<M: Module>(
    module: &M,
    gradients: &GradientsParams,
    device: &Device,
) -> Option<(String, f32)> {
    let (mut names, tensors): (Vec<_>, Vec<_>) = flat(module, gradients).into_iter().unzip();
    let (index, value) = not_finite(device, tensors)?;
    Some((names.swap_remove(index), value))
}

/// The sum of each parameter's gradient, `[1]`, left on the device: not finite where a value of it is not.
pub(crate) fn gradient_sums<M: Module>(
    module: &M,
    gradients: &GradientsParams,
) -> Vec<(String, Tensor<1>)> {
    let flat = flat(module, gradients).into_iter();
    flat.map(|(name, gradient)| (name, gradient.sum())).collect()
}

/// All gradients, one-dimensional, by the path of the parameter.
pub(crate) fn flat<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<(String, Tensor<1>)> {
    let mut collect = Collect { gradients, found: Vec::new() };
    visit_named(module, &mut collect);
    collect.found
}

struct Collect<'a> {
    gradients: &'a GradientsParams,
    found: Vec<(String, Tensor<1>)>,
}

impl NamedVisitor for Collect<'_> {
    fn visit<const D: usize>(&mut self, name: &str, param: &Param<Tensor<D>>) {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return };
        let elements = gradient.shape().num_elements();
        self.found.push((name.to_owned(), gradient.reshape([elements])));
    }
}

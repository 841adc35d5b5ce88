//! Updates of one tensor.

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use super::SgdStep;
use super::any::on_host as has_kernels;
use super::ops::UpdateOps;

/// A moving average in one pass: `τ average + (1 − τ) value`. No gradient flows through.
pub fn moving_average<const D: usize>(average: Tensor<D>, value: Tensor<D>, tau: f64) -> Tensor<D> {
    if !has_kernels(&average) || !has_kernels(&value) || average.dims() != value.dims() {
        return (average.mul_scalar(tau) + value.mul_scalar(1.0 - tau)).detach();
    }
    let (average, value) = (average.into_dispatch(), value.into_dispatch());
    Tensor::from_dispatch(<Dispatch as UpdateOps>::update_moving_average(average, value, tau))
}

/// A step of stochastic gradient descent as in PyTorch, in one pass: `g ← r · (g + λ w)`,
/// `v ← μ v + g`, `w ← w − lr · v` (Nesterov: `w ← w − lr · (g + μ v)`). The first velocity is the
/// first gradient. Returns the new parameter and, unless μ = 0, the new velocity. No gradient flows
/// through.
///
/// `scale` is r, `[1]`: LARS' trust ratio, or 1 if there is none.
pub fn sgd_step<const D: usize>(
    parameter: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    scale: Option<Tensor<1>>,
    step: SgdStep,
) -> (Tensor<D>, Option<Tensor<D>>) {
    let velocity = velocity.filter(|_| step.momentum != 0.0);
    let fits = |t: &Tensor<D>| has_kernels(t) && t.dims() == parameter.dims();
    let all = [&parameter, &gradient].into_iter().chain(&velocity).all(fits);
    if !all || !scale.iter().all(has_kernels) {
        return plain_sgd_step(parameter, gradient, velocity, scale, step);
    }
    let scale = scale.unwrap_or_else(|| Tensor::ones([1], &parameter.device())).into_dispatch();
    let (w, g) = (parameter.into_dispatch(), gradient.into_dispatch());
    let (w, v) = match velocity {
        Some(v) => <Dispatch as UpdateOps>::update_sgd(w, g, v.into_dispatch(), scale, step),
        None if step.momentum == 0.0 => {
            let w = <Dispatch as UpdateOps>::update_sgd_without_momentum(w, g, scale, step);
            return (Tensor::from_dispatch(w), None);
        }
        None => <Dispatch as UpdateOps>::update_sgd_first(w, g, scale, step),
    };
    (Tensor::from_dispatch(w), Some(Tensor::from_dispatch(v)))
}

fn plain_sgd_step<const D: usize>(
    parameter: Tensor<D>,
    mut gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    scale: Option<Tensor<1>>,
    step: SgdStep,
) -> (Tensor<D>, Option<Tensor<D>>) {
    if step.weight_decay != 0.0 {
        gradient = gradient + parameter.clone().mul_scalar(step.weight_decay);
    }
    if let Some(scale) = scale {
        gradient = gradient * scale.reshape([1; D]);
    }
    let velocity = match velocity {
        Some(velocity) => velocity.mul_scalar(step.momentum) + gradient.clone(),
        None => gradient.clone(),
    };
    let direction = match step.nesterov {
        true => gradient + velocity.clone().mul_scalar(step.momentum),
        false => velocity.clone(),
    };
    let parameter = (parameter - direction.mul_scalar(step.learning_rate)).detach();
    (parameter, (step.momentum != 0.0).then(|| velocity.detach()))
}

/// `‖w‖₂`, `‖g‖₂` and `‖g + λ w‖₂` over all elements, each `[1]`, in one pass. LARS scales a step
/// by them. No gradient flows through.
pub fn update_norms<const D: usize>(
    parameter: &Tensor<D>,
    gradient: &Tensor<D>,
    weight_decay: f64,
) -> [Tensor<1>; 3] {
    let (w, g) = (parameter.clone().detach(), gradient.clone().detach());
    if !has_kernels(&w) || !has_kernels(&g) || w.dims() != g.dims() {
        let decayed = g.clone() + w.clone().mul_scalar(weight_decay);
        return [w, g, decayed].map(|x| x.square().sum().sqrt());
    }
    let (w, g) = (w.into_dispatch(), g.into_dispatch());
    let (w, g, decayed) = <Dispatch as UpdateOps>::update_norms(w, g, weight_decay);
    [w, g, decayed].map(Tensor::from_dispatch)
}

//! The losses in f64: against PyTorch, and their gradients against finite differences.

use burn::tensor::Tensor;
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{noise, tensor};
use selfsame_tests::objectives::{OBJECTIVES, compare, pair};

#[test]
fn losses_and_gradients() {
    let source = "lightly; PyTorch from the papers' equations";
    let names = "NT-Xent, MoCo v3, SimSiam, VICReg, DINO, W-MSE, LeJEPA";
    let mut loss = Item::new("seven more losses, f64", source, 1e-6).note(names);
    let mut gradient = Item::new("gradients of seven more losses, f64", source, 1e-6).note(names);
    let device = crate::device().autodiff();
    for objective in &OBJECTIVES {
        compare(objective, &device, &mut loss, &mut gradient, |_| false);
    }
    loss.finish();
    gradient.finish();
}

/// The derivative along a random direction, for every case of every objective: above all the proof
/// that W-MSE's first-order whitening has the whole gradient.
#[test]
fn gradients_agree_with_finite_differences() {
    let device = crate::device();
    let autodiff = device.clone().autodiff();
    for objective in &OBJECTIVES {
        for &(batch, dim, scale, offset, case) in objective.shapes.iter().copied().flatten() {
            let [a, b] = pair(batch, dim, scale, offset);
            let direction = noise(9, batch * dim, scale, 0.0);
            let shape = [batch, dim];

            let tracked = tensor::<2>(a.clone(), shape, &autodiff).require_grad();
            let other = tensor::<2>(b.clone(), shape, &autodiff);
            let gradients = (objective.loss)(tracked.clone(), other).backward();
            let gradient = tracked.grad(&gradients).expect("the first tensor learns");
            let step: Tensor<2> = tensor(direction, shape, &device);
            let terms = gradient * step.clone();
            let analytic = terms.clone().sum().into_scalar::<f64>();
            let size = terms.square().sum().sqrt().into_scalar::<f64>();

            let [a, b] = [a, b].map(|z| tensor::<2>(z, shape, &device));
            let end = |h: f64| {
                let moved = a.clone() + step.clone().mul_scalar(h);
                (objective.loss)(moved, b.clone()).into_scalar::<f64>()
            };
            // The fourth-order rule: what such a step leaves out is far below the bound.
            let h = 1e-4;
            let slope = |h: f64| (end(h) - end(-h)) / (2.0 * h);
            let numeric = (4.0 * slope(h) - slope(2.0 * h)) / 3.0;
            let rounding = 10.0 * f64::EPSILON * end(0.0).abs() / h;
            assert!(
                (numeric - analytic).abs() <= 1e-6 * (analytic.abs() + size) + rounding,
                "{}, {case}: {numeric} is not {analytic}",
                objective.name
            );
        }
    }
}

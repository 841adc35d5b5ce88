use burn::tensor::{Device, Tensor};
use selfsame_losses::{BarlowTwinsLoss, JointEmbeddingLoss, regression_loss};
use selfsame_tests::fidelity::Item;
use selfsame_tests::inputs::{noise, reference, sampled, tensor, values};

/// (batch, dim, scale, offset) and the case's name; as in `objectives.py`.
const SHAPES: [(usize, usize, f32, f32, &str); 14] = [
    (2, 1, 1.0, 0.0, "2x1x1x0"),
    (2, 8192, 1.0, 0.0, "2x8192x1x0"),
    (3, 7, 1.0, 0.0, "3x7x1x0"),
    (16, 2048, 1.0, 0.0, "16x2048x1x0"),
    (33, 17, 1.0, 0.0, "33x17x1x0"),
    (64, 512, 1.0, 0.0, "64x512x1x0"),
    (512, 1, 1.0, 0.0, "512x1x1x0"),
    (512, 256, 1.0, 0.0, "512x256x1x0"),
    (64, 32, 1e-3, 0.5, "64x32x0.001x0.5"),
    (64, 32, 1e-2, 1.0, "64x32x0.01x1"),
    (64, 32, 1.0, 100.0, "64x32x1x100"),
    (128, 64, 5.0, -1000.0, "128x64x5x-1000"),
    (64, 32, 1e-5, 0.0, "64x32x1e-05x0"),
    (64, 32, 1e4, 0.0, "64x32x10000x0"),
];

fn pair(batch: usize, dim: usize, scale: f32, offset: f32) -> [Tensor<2>; 2] {
    let device = Device::flex().autodiff();
    let count = batch * dim;
    let a = noise((batch * 31 + dim) as u64, count, scale, offset);
    let b = noise((batch * 37 + dim + 1) as u64, count, scale, offset);
    let b = b.iter().zip(&a).map(|(b, a)| b + a * 0.5).collect();
    [a, b].map(|values| tensor(values, [batch, dim], &device).require_grad())
}

#[test]
fn byol_loss_and_gradient() {
    let reference = reference("losses");
    let source = "PyTorch `cosine_similarity`";
    let mut loss_item = Item::new("BYOL loss", source, 1e-5);
    let mut gradient = Item::new("BYOL gradient", source, 1e-5)
        .note("in one dimension it is 0 on paper: relative to the size of the terms that cancel");
    let mut collapsed = Item::new("BYOL gradient, nearly collapsed", source, 1e-4).note(
        "unit vectors 1e-3 apart: their difference has lost three of f32's seven digits before any \
         formula sees it",
    );
    for (batch, dim, scale, offset, case) in SHAPES {
        let [q, z] = pair(batch, dim, scale, offset);
        let loss = regression_loss(q.clone(), z);
        let gradients = loss.backward();
        let expected = |part: &str| &reference[&format!("byol/{case}/{part}")].values;
        loss_item.compare(case, &[loss.into_scalar::<f32>()], expected("loss"));
        // ∂L/∂q is 2/N times a difference of unit vectors over ‖q‖.
        let smallest = values(q.clone().abs().min());
        let cancelling = 2.0 / (batch as f64 * f64::from(smallest[0]));
        let cancelling = if dim == 1 { cancelling } else { 0.0 };
        let ours = sampled(q.grad(&gradients).unwrap());
        let item = if scale < 0.01 * offset.abs() { &mut collapsed } else { &mut gradient };
        item.compare_at_scale(case, &ours, expected("grad_a"), cancelling);
    }
    loss_item.finish();
    gradient.finish();
    collapsed.finish();
}

#[test]
fn barlow_twins_loss_and_gradients() {
    let reference = reference("losses");
    let mut loss_item = Item::new("Barlow Twins loss", "lightly `BarlowTwinsLoss`", 1e-5)
        .note("of two rows and one dimension it is 0 on paper: relative to the 1 that cancels");
    let mut gradient = Item::new("Barlow Twins gradients", "lightly `BarlowTwinsLoss`", 1e-5).note(
        "two standardised rows are their signs, so the gradient is 0 on paper: relative to the size \
         of the terms that cancel",
    );
    for (batch, dim, scale, offset, case) in SHAPES {
        let [a, b] = pair(batch, dim, scale, offset);
        let loss = BarlowTwinsLoss::default().forward(a.clone(), b.clone());
        let gradients = loss.backward();
        let expected = |part: &str| &reference[&format!("barlow-twins/{case}/{part}")].values;
        let zero_on_paper = if (batch, dim) == (2, 1) { 1.0 } else { 0.0 };
        let ours = [loss.into_scalar::<f32>()];
        loss_item.compare_at_scale(case, &ours, expected("loss"), zero_on_paper);
        for (z, part) in [(a, "grad_a"), (b, "grad_b")] {
            let ours = sampled(z.grad(&gradients).unwrap());
            let cancelling = if batch == 2 { dim as f64 } else { 0.0 };
            gradient.compare_at_scale(&format!("{case} {part}"), &ours, expected(part), cancelling);
        }
    }
    loss_item.finish();
    gradient.finish();
}

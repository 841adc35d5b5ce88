//! The losses that `reference/objectives.py` computes as `methods.safetensors`, and their
//! comparison.
//!
//! Shared by the tests in f32 and in f64, since a device's float type is fixed once per process.

use burn::tensor::{Device, Tensor};
use selfsame_losses::{
    DinoLoss, JointEmbeddingLoss, LeJepaLoss, MocoV3Loss, NtXentLoss, SimSiamLoss, VicRegLoss,
    WMseLoss, epps_pulley,
};

use crate::fidelity::Item;
use crate::inputs::{noise, reference, sampled, tensor};

/// (batch, dim, scale, offset) of a case, and its name.
pub type Shape = (usize, usize, f32, f32, &'static str);

const METHOD_SHAPES: &[Shape] = &[
    (3, 7, 1.0, 0.0, "3x7x1x0"),
    (33, 17, 1.0, 0.0, "33x17x1x0"),
    (64, 512, 1.0, 0.0, "64x512x1x0"),
    (128, 64, 1.0, 0.0, "128x64x1x0"),
    (64, 32, 1.0, 100.0, "64x32x1x100"),
    (64, 32, 1e-2, 1.0, "64x32x0.01x1"),
    (64, 32, 1e-3, 0.0, "64x32x0.001x0"),
    (64, 32, 30.0, 0.0, "64x32x30x0"),
];
const ONE_DIMENSION: &[Shape] =
    &[(256, 1, 1.0, 0.0, "256x1x1x0"), (64, 1, 1e-2, 1.0, "64x1x0.01x1")];
const SLICED_SHAPES: &[Shape] = &[(33, 17, 1.0, 0.0, "33x17x1x0"), (48, 7, 1.0, 0.0, "48x7x1x0")];
const WHITENING_SHAPES: &[Shape] = &[
    (128, 64, 1.0, 0.0, "128x64x1x0"),
    (64, 32, 1.0, 10.0, "64x32x1x10"),
    (64, 32, 1e-2, 1.0, "64x32x0.01x1"),
    (64, 32, 1e3, 0.0, "64x32x1000x0"),
];

/// A loss of two tensors, as `objectives.py` has it under the same name.
pub struct Objective {
    /// Its name in the reference file.
    pub name: &'static str,
    /// Ours.
    pub loss: fn(Tensor<2>, Tensor<2>) -> Tensor<1>,
    /// Whether the second tensor gets a gradient too.
    pub learns_from_both: bool,
    /// The cases.
    pub shapes: &'static [&'static [Shape]],
}

/// All of them.
pub const OBJECTIVES: [Objective; 12] = [
    Objective {
        name: "nt-xent-0.5",
        loss: |a, b| NtXentLoss { temperature: 0.5 }.forward(a, b),
        learns_from_both: true,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "nt-xent-0.05",
        loss: |a, b| NtXentLoss { temperature: 0.05 }.forward(a, b),
        learns_from_both: true,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "moco-v3-1",
        loss: |q, k| MocoV3Loss { temperature: 1.0 }.forward(q, k),
        learns_from_both: false,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "moco-v3-0.05",
        loss: |q, k| MocoV3Loss { temperature: 0.05 }.forward(q, k),
        learns_from_both: false,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "simsiam",
        loss: |p, z| SimSiamLoss.symmetric((p.clone(), p), (z.clone(), z)),
        learns_from_both: false,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "vicreg",
        loss: |a, b| VicRegLoss::default().forward(a, b),
        learns_from_both: true,
        shapes: &[METHOD_SHAPES, ONE_DIMENSION],
    },
    Objective {
        name: "dino",
        loss: |s, t| {
            let center = t.clone().narrow(0, 0, 1).squeeze_dim(0);
            let views = [s, t].map(|x| (x.clone(), x.flip([0])));
            let [students, teachers] = views;
            DinoLoss::default().symmetric(students, teachers, center, 0.04)
        },
        learns_from_both: false,
        shapes: &[METHOD_SHAPES],
    },
    Objective {
        name: "w-mse-16",
        loss: |a, b| WMseLoss { sub_batch: 16, epsilon: 0.0 }.forward(a, b),
        learns_from_both: true,
        shapes: &[SLICED_SHAPES],
    },
    Objective {
        name: "w-mse-64",
        loss: |a, b| WMseLoss { sub_batch: 64, epsilon: 0.0 }.forward(a, b),
        learns_from_both: true,
        shapes: &[SLICED_SHAPES, WHITENING_SHAPES],
    },
    Objective {
        name: "w-mse-64-shrunk",
        loss: |a, b| WMseLoss { sub_batch: 64, epsilon: 1e-2 }.forward(a, b),
        learns_from_both: true,
        shapes: &[SLICED_SHAPES, WHITENING_SHAPES],
    },
    Objective {
        name: "epps-pulley",
        loss: |a, _| epps_pulley(a, 17),
        learns_from_both: false,
        shapes: &[METHOD_SHAPES, ONE_DIMENSION],
    },
    Objective {
        name: "le-jepa",
        loss: |a, b| LeJepaLoss::default().forward(a, b, 0),
        learns_from_both: true,
        shapes: &[ONE_DIMENSION],
    },
];

/// Two views that agree in part: b = noise + a half of a.
pub fn pair(batch: usize, dim: usize, scale: f32, offset: f32) -> [Vec<f32>; 2] {
    let count = batch * dim;
    let a = noise((batch * 31 + dim) as u64, count, scale, offset);
    let b = noise((batch * 37 + dim + 1) as u64, count, scale, offset);
    let b = b.iter().zip(&a).map(|(b, a)| b + a * 0.5).collect();
    [a, b]
}

/// Compares loss and gradients of every case of an objective with its reference; `device` is one
/// with autodiff.
///
/// Cases that `left_out` names are passed over.
pub fn compare(
    objective: &Objective,
    device: &Device,
    loss_item: &mut Item,
    gradient_item: &mut Item,
    left_out: impl Fn(&Shape) -> bool,
) {
    let reference = reference("methods");
    for shape in objective.shapes.iter().copied().flatten().filter(|s| !left_out(s)) {
        let (batch, dim, scale, offset, name) = *shape;
        let [a, b] = pair(batch, dim, scale, offset)
            .map(|values| tensor::<2>(values, [batch, dim], device).require_grad());
        let loss = (objective.loss)(a.clone(), b.clone());
        let gradients = loss.backward();
        let case = format!("{}/{name}", objective.name);
        let expected = |part: &str| &reference[&format!("{case}/{part}")].values;

        loss_item.compare(&case, &sampled(loss), expected("loss"));
        for (z, part, learns) in [(a, "grad_a", true), (b, "grad_b", objective.learns_from_both)] {
            let gradient = z.grad(&gradients);
            assert_eq!(gradient.is_some(), learns, "{case}/{part}");
            if let Some(gradient) = gradient {
                gradient_item.compare(
                    &format!("{case}/{part}"),
                    &sampled(gradient),
                    expected(part),
                );
            }
        }
    }
}

//! The nine losses on wide embeddings, far from 0, and with half of a batch alike, against
//! `reference/extremes.json`, which `reference/extremes.py` computed in f64.
//!
//! `tests/bare` includes this file too. It builds Burn with as few features as it trains with, and
//! knows no crate of ours but the losses.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_losses::{
    BarlowTwinsLoss, DinoLoss, JointEmbeddingLoss, LeJepaLoss, MocoV3Loss, NtXentLoss, SimSiamLoss,
    VicRegLoss, WMseLoss, regression_loss,
};
use serde_json::{Value, json};

use super::noise::noise;

/// Errors of this size pass however near PyTorch's f32 comes: (value, gradient).
const FLOOR: [f64; 2] = [1e-6, 1e-5];

/// A loss of two views by its name in the reference file.
fn loss(name: &str, a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    let twice = |z: &Tensor<2>| (z.clone(), z.clone());
    match name {
        "BYOL" => regression_loss(a, b),
        "Barlow Twins" => BarlowTwinsLoss::default().forward(a, b),
        "NT-Xent" => NtXentLoss { temperature: 0.5 }.forward(a, b),
        "MoCo v3" => MocoV3Loss { temperature: 1.0 }.forward(a, b),
        "SimSiam" => SimSiamLoss.symmetric(twice(&a), twice(&b)),
        "VICReg" => VicRegLoss::default().forward(a, b),
        "W-MSE" => WMseLoss { sub_batch: a.dims()[0], epsilon: 0.0 }.forward(a, b),
        "DINO" => {
            let center = b.clone().narrow(0, 0, 1).squeeze_dim(0);
            let views = |z: Tensor<2>| (z.clone(), z.flip([0]));
            DinoLoss::default().symmetric(views(a), views(b), center, 0.04)
        }
        "LeJEPA" => LeJepaLoss::default().forward(a, b, 0),
        _ => panic!("no loss {name}"),
    }
}

/// Two views that agree in part, each step one operation in f32.
fn pair(batch: usize, dim: usize, condition: &str) -> [Vec<f32>; 2] {
    let count = batch * dim;
    let a = noise((batch * 31 + dim) as u64, count, 1.0, 0.0);
    let b = noise((batch * 37 + dim + 1) as u64, count, 1.0, 0.0);
    let b = b.iter().zip(&a).map(|(b, a)| b + a * 0.5).collect();
    let mut views: [Vec<f32>; 2] = [a, b];
    for view in &mut views {
        match condition {
            "plain" => {}
            "far from 0" => view.iter_mut().for_each(|x| *x += 1000.0),
            "half alike" => (batch / 2..batch).for_each(|row| view.copy_within(..dim, row * dim)),
            _ => panic!("no condition {condition}"),
        }
    }
    views
}

/// The worst errors over all shapes: ours and those of PyTorch in f32, each (value, gradient).
#[derive(Debug, Default)]
struct Worst {
    ours: [f64; 2],
    torch: [f64; 2],
}

/// Compares all cases of the reference file's text.
///
/// `features`: how Burn was built; the measurements go by this name to `cargo xtask fidelity`,
/// where that runs the test.
///
/// # Panics
/// Where an error is three times that of PyTorch in f32, and more than rounding.
pub fn compare(reference: &str, features: &str) {
    let reference: Value = serde_json::from_str(reference).expect("the file is JSON");
    let mut all: BTreeMap<[String; 2], Worst> = BTreeMap::new();
    for case in reference["cases"].as_array().expect("there are cases") {
        let worst = all.entry(["loss", "condition"].map(|key| text(&case[key]))).or_default();
        let torch = ["value", "gradient"].map(|part| number(&case["torch_f32"][part]));
        let ours = errors(case);
        for (worst, new) in [(&mut worst.ours, ours), (&mut worst.torch, torch)] {
            worst.iter_mut().zip(new).for_each(|(worst, new)| *worst = worst.max(new));
        }
    }
    if let Some(folder) = std::env::var_os("SELFSAME_FIDELITY") {
        write(&all, features, Path::new(&folder)).expect("the measurements can be written");
    }
    assert_eq!(all.len(), 27, "nine losses under three conditions");
    let missed = all.iter().flat_map(|([loss, condition], Worst { ours, torch })| {
        let beyond = (0..2).filter(|i| ours[*i] > FLOOR[*i].max(3.0 * torch[*i]));
        beyond.map(move |i| {
            let (part, ours, torch) = (["value", "gradient"][i], ours[i], torch[i]);
            format!("{loss}, {condition}, {part}: {ours:.1e}, PyTorch {torch:.1e}\n")
        })
    });
    let missed: String = missed.collect();
    assert!(missed.is_empty(), "beyond three times PyTorch's error:\n{missed}");
}

/// Of the value and of the worst gradient.
fn errors(case: &Value) -> [f64; 2] {
    let device = Device::flex().autodiff();
    let [batch, dim] = ["batch", "dim"].map(|key| number(&case[key]) as usize);
    let [a, b] = pair(batch, dim, &text(&case["condition"])).map(|values| {
        Tensor::<2>::from_data(TensorData::new(values, [batch, dim]), &device).require_grad()
    });
    let value = loss(&text(&case["loss"]), a.clone(), b.clone());
    let gradients = value.backward();
    let expected = number(&case["value"]);
    let value = relative(f64::from(value.into_scalar::<f32>()) - expected, expected);
    let of_gradients = [("a", a), ("b", b)].map(|(side, z)| {
        let (ours, expected) = (z.grad(&gradients), case["gradients"].get(side));
        assert_eq!(ours.is_some(), expected.is_some(), "gradient into {side}: {case}");
        ours.zip(expected).map_or(0.0, |(ours, expected)| {
            gradient_error(&ours.into_data().try_to_vec::<f32>().expect("f32"), expected)
        })
    });
    [value, of_gradients[0].max(of_gradients[1])]
}

/// Some elements relative to the largest of them; some projections and the norm relative to the
/// norm.
fn gradient_error(ours: &[f32], expected: &Value) -> f64 {
    let numbers = |key: &str| -> Vec<f64> {
        expected[key].as_array().expect("numbers").iter().map(number).collect()
    };
    let (samples, projections, norm) =
        (numbers("samples"), numbers("projections"), number(&expected["norm"]));
    let stride = (ours.len() / samples.len()).max(1);
    let largest = samples.iter().fold(0.0, |largest: f64, s| largest.max(s.abs()));
    let of_samples = ours.iter().step_by(stride).zip(&samples);
    let of_samples = of_samples.map(|(o, r)| relative(f64::from(*o) - r, largest));
    let of_projections = projections.iter().enumerate().map(|(i, expected)| {
        let onto = noise(1000 + i as u64, ours.len(), 1.0, 0.0);
        let ours: f64 = ours.iter().zip(onto).map(|(o, d)| f64::from(*o) * f64::from(d)).sum();
        relative(ours - expected, norm)
    });
    let our_norm = ours.iter().map(|o| f64::from(*o).powi(2)).sum::<f64>().sqrt();
    of_samples.chain(of_projections).fold(relative(our_norm - norm, norm), f64::max)
}

/// NaN counts as infinitely wrong.
fn relative(difference: f64, size: f64) -> f64 {
    let error = (difference / size).abs();
    if error.is_nan() { f64::INFINITY } else { error }
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

fn write(all: &BTreeMap<[String; 2], Worst>, features: &str, folder: &Path) -> std::io::Result<()> {
    let folder = folder.join("extremes");
    std::fs::create_dir_all(&folder)?;
    let rows = all.iter().map(|([loss, condition], Worst { ours, torch })| {
        json!({ "loss": loss, "condition": condition, "ours": ours, "torch": torch })
    });
    std::fs::write(
        folder.join(features).with_extension("json"),
        json!(rows.collect::<Vec<_>>()).to_string(),
    )
}

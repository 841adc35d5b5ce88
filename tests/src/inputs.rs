//! Inputs that this side and the generator of `tests/reference` compute to the same bits.
//!
//! Each is [`noise`] followed by single, correctly rounded f32 operations, so no input has to be
//! stored. `reference/common.py` is the other side.

use std::path::Path;

pub use crate::noise::{noise, unit};
use burn::module::Module;
use burn::tensor::{DType, Device, Tensor, TensorData};
use selfsame_models::weights::{Array, StateDict, load_state_dict, read_safetensors, state_dict};

/// [`noise`] of scale 1 around 0 as a tensor.
pub fn noise_tensor<const D: usize>(seed: u64, shape: [usize; D], device: &Device) -> Tensor<D> {
    tensor(noise(seed, shape.iter().product(), 1.0, 0.0), shape, device)
}

/// Row-major `[batch, 3, side, side]`: four quarters of one colour each, with finer noise on top.
pub fn images(seed: u64, batch: usize, side: usize) -> Vec<f32> {
    let coarse = unit(seed, batch * 3 * 4);
    let fine = unit(seed + 1, batch * 3 * side * side);
    fine.iter()
        .enumerate()
        .map(|(i, fine)| {
            let (plane, y, x) = (i / (side * side), i / side % side, i % side);
            let quarter = coarse[plane * 4 + y / (side / 2) * 2 + x / (side / 2)];
            (quarter * 2.0 - 1.0) + (fine - 0.5) * 0.5
        })
        .collect()
}

/// The value of a parameter or running statistic, by its name and shape.
pub fn parameter(name: &str, shape: &[usize]) -> Vec<f32> {
    let u = unit(name_seed(name), shape.iter().product());
    let map = |f: &dyn Fn(f32) -> f32| u.iter().map(|u| f(*u)).collect();
    if name.ends_with("running_var") {
        map(&|u| u + 0.5)
    } else if name.ends_with("running_mean") {
        map(&|u| (u - 0.5) * 0.2)
    } else if shape.len() == 1 {
        let base = if name.ends_with("weight") { 0.75 } else { -0.25 };
        map(&|u| u * 0.5 + base)
    } else {
        let fan_in: usize = shape[1..].iter().product();
        let bound = (6.0 / fan_in as f32).sqrt();
        map(&|u| (u * 2.0 - 1.0) * bound)
    }
}

/// FNV-1a of a parameter's name.
pub fn name_seed(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// Gives a module the weights that belong to its names; `rename` says which name counts.
pub fn fill<M: Module>(module: M, rename: impl Fn(&str) -> String) -> M {
    let names = state_dict(&module).expect("weights can be read");
    let dict: StateDict = names
        .into_iter()
        .map(|(name, Array { shape, .. })| {
            let values = parameter(&rename(&name), &shape);
            (name, Array { shape, values })
        })
        .collect();
    load_state_dict(module, &dict).expect("names and shapes are the module's own")
}

/// A reference file of `tests/reference`.
pub fn reference(name: &str) -> StateDict {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference");
    let file = folder.join(name).with_extension("safetensors");
    read_safetensors(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display())).0
}

/// At most 256 elements at a regular stride, as the generator stores large tensors.
pub fn sampled<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let all = values(tensor);
    let stride = (all.len() / 256).max(1);
    all.into_iter().step_by(stride).take(256).collect()
}

/// A tensor on `device`.
pub fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// All elements in row-major order, as f32.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.try_into_data_dtype(DType::F32).expect("a float tensor");
    data.try_into_vec().expect("f32 by now")
}

//! The kernels and Burn's plain operations against the formulas in f64, forward and backward, over
//! random shapes, on every backend that has kernels.

mod reference;

use std::f64::consts::TAU;

use burn::tensor::Gradients;
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm_train, conv2d as plain_conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;
use reference::Sum;
use selfsame_kernels::{batch_norm_relu, conv2d};

fn devices() -> Vec<Device> {
    vec![
        Device::flex().autodiff(),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "supported until Burn removes it")]
        Device::ndarray().autodiff(),
    ]
}

/// Normal values of mean 0.3, the same for the same seed whatever else runs beside this test.
fn normal(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut uniform = || {
        // SplitMix64
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    };
    let box_muller = |u: f64, v: f64| (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
    (0..count).map(|_| (0.3 + box_muller(uniform(), uniform())) as f32).collect()
}

fn tensor<const D: usize>(values: &[f32], shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Every value within `tolerance` of the reference, measured by what its sum is made of: a sum
/// whose terms cancel can be no more exact than its terms.
fn check<const D: usize>(what: &str, got: Tensor<D>, expected: &[Sum], tolerance: f64) {
    let got = values(got);
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected.value).abs();
        assert!(
            error <= tolerance * expected.magnitude + 1e-30,
            "{what}[{i}]: {got} against {expected:?}"
        );
    }
}

/// The gradients of `sum(y · dy)`.
fn backward<const D: usize>(y: Tensor<D>, dy: Tensor<D>) -> Gradients {
    (y * dy).sum().backward()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn conv2d_and_its_gradients(
        seed in any::<u64>(), batch in 1usize..12, channels in (1usize..7, 1usize..9),
        side in (1usize..19, 1usize..19), kernel in prop_oneof![Just(1usize), Just(3), Just(7)],
        stride in 1usize..4, padding in 0usize..4,
    ) {
        let padding = padding.min(kernel - 1);
        let grown = |side: usize| side.max(kernel.saturating_sub(2 * padding));
        let conv = reference::Conv {
            batch, channels_in: channels.0, channels_out: channels.1, height: grown(side.0),
            width: grown(side.1), kernel, stride, padding,
        };
        let (x_shape, w_shape, y_shape) = (conv.x_shape(), conv.w_shape(), conv.y_shape());
        let x = normal(seed, x_shape.iter().product());
        let w = normal(seed ^ 1, w_shape.iter().product());
        let dy = normal(seed ^ 2, y_shape.iter().product());
        let expected = conv.run(&x, &w, &dy);
        for device in devices() {
            let x = tensor(&x, x_shape, &device).require_grad();
            let w = tensor(&w, w_shape, &device).require_grad();
            let dy = tensor(&dy, y_shape, &device);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            for (name, y) in [
                ("kernel", conv2d(x.clone(), w.clone(), stride, padding)),
                ("plain", plain_conv2d(x.clone(), w.clone(), None, options)),
            ] {
                check(&format!("{name} y"), y.clone(), &expected.y, 1e-6);
                let gradients = backward(y, dy.clone());
                check(&format!("{name} dx"), x.grad(&gradients).unwrap(), &expected.dx, 1e-6);
                check(&format!("{name} dw"), w.grad(&gradients).unwrap(), &expected.dw, 1e-6);
            }
        }
    }

    #[test]
    fn batch_norm_residual_and_relu_and_their_gradients(
        seed in any::<u64>(), batch in 1usize..9, channels in 1usize..7,
        side in (2usize..11, 2usize..11), with_residual in any::<bool>(),
    ) {
        let shape = [batch, channels, side.0, side.1];
        let count = shape.iter().product();
        let norm = reference::Norm { batch, channels, plane: side.0 * side.1, epsilon: 1e-5 };
        let (x, r) = (normal(seed, count), normal(seed ^ 1, count));
        let (w, b) = (normal(seed ^ 2, channels), normal(seed ^ 3, channels));
        let mut dy = normal(seed ^ 4, count);
        let expected = norm.run(&x, &w, &b, with_residual.then_some(&r), &mut dy);
        for device in devices() {
            let (x, r) = (tensor(&x, shape, &device), tensor(&r, shape, &device));
            let (x, r) = (x.require_grad(), r.require_grad());
            let w = tensor(&w, [channels], &device).require_grad();
            let b = tensor(&b, [channels], &device).require_grad();
            let dy = tensor(&dy, shape, &device);
            let residual = with_residual.then(|| r.clone());
            let ours = batch_norm_relu(x.clone(), w.clone(), b.clone(), 1e-5, residual);
            let plain = batch_norm_train(x.clone(), w.clone(), b.clone(), 1e-5);
            let sum = if with_residual { plain.output + r.clone() } else { plain.output };
            for (name, output, mean, variance) in [
                ("kernel", ours.output, ours.mean, ours.variance),
                ("plain", relu(sum), plain.mean, plain.variance),
            ] {
                check(&format!("{name} y"), output.clone(), &expected.y, 2e-6);
                check(&format!("{name} mean"), mean, &expected.mean, 1e-6);
                check(&format!("{name} variance"), variance, &expected.variance, 1e-6);
                let gradients = backward(output, dy.clone());
                check(&format!("{name} dx"), x.grad(&gradients).unwrap(), &expected.dx, 2e-6);
                check(&format!("{name} dw"), w.grad(&gradients).unwrap(), &expected.dw, 2e-6);
                check(&format!("{name} db"), b.grad(&gradients).unwrap(), &expected.db, 2e-6);
                if with_residual {
                    let dr = r.grad(&gradients).unwrap();
                    check(&format!("{name} dr"), dr, &expected.dr, 1e-6);
                }
            }
        }
    }
}

/// Large means and small deviations, where the one-pass variance fails.
#[test]
fn statistics_survive_a_large_mean() {
    let device = Device::flex().autodiff();
    let x: Vec<f32> = normal(0, 400).iter().map(|v| 1000.0 + 0.1 * v).collect();
    let x = tensor(&x, [8, 2, 5, 5], &device);
    let (w, b) = (Tensor::ones([2], &device), Tensor::zeros([2], &device));
    let ours = batch_norm_relu(x.clone(), w, b, 1e-5, None);
    let x = values(x);
    for c in 0..2 {
        let channel: Vec<f64> =
            (0..400).filter(|i| i / 25 % 2 == c).map(|i| f64::from(x[i])).collect();
        let mean = channel.iter().sum::<f64>() / 200.0;
        let variance = channel.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 200.0;
        let ours = f64::from(values(ours.variance.clone())[c]);
        assert!((ours / variance - 1.0).abs() < 1e-4, "{ours} {variance}");
    }
}

/// What has no kernel takes the plain operations: other float types, plain devices.
#[test]
fn other_types_fall_back() {
    let device = Device::flex();
    let x = tensor(&normal(0, 150), [2, 3, 5, 5], &device);
    let w = tensor(&normal(1, 108), [4, 3, 3, 3], &device);
    let double = conv2d(
        x.clone().cast(burn::tensor::FloatDType::F64),
        w.clone().cast(burn::tensor::FloatDType::F64),
        1,
        1,
    );
    assert_eq!(double.dtype(), burn::tensor::DType::F64);
    let double: Vec<f64> = double.into_data().try_into_vec().unwrap();
    for (single, double) in values(conv2d(x, w, 1, 1)).into_iter().zip(double) {
        assert!((f64::from(single) - double).abs() < 1e-5, "{single} against {double}");
    }
}

/// A NaN anywhere in a channel must be seen at the end, not turned into 0 by the ReLU.
#[test]
fn nan_comes_through() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::full([2, 3, 4, 4], f32::NAN, &device);
    let (w, b) = (Tensor::ones([3], &device), Tensor::zeros([3], &device));
    let residual = Tensor::<4>::ones([2, 3, 4, 4], &device);
    for residual in [None, Some(residual)] {
        let y = batch_norm_relu(x.clone(), w.clone(), b.clone(), 1e-5, residual).output;
        assert!(values(y).iter().all(|y| y.is_nan()));
    }
    let weight = Tensor::<4>::ones([2, 3, 3, 3], &device);
    assert!(values(conv2d(x, weight, 1, 1)).iter().all(|y| y.is_nan()));
}

//! The kernels against Burn's plain operations, forward and backward, over random shapes, on every
//! backend that has kernels.

use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm_train, conv2d as plain_conv2d};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};
use proptest::prelude::*;
use selfsame_kernels::{batch_norm_relu, conv2d};

fn devices() -> Vec<Device> {
    vec![
        Device::flex().autodiff(),
        #[cfg(feature = "ndarray")]
        #[expect(deprecated, reason = "supported until Burn removes it")]
        Device::ndarray().autodiff(),
    ]
}

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Normal(0.3, 1.0), device).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Largest difference over the largest value.
fn apart<const D: usize>(a: Tensor<D>, b: Tensor<D>) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let (a, b) = (values(a), values(b));
    let size = b.iter().map(|b| b.abs()).fold(1e-3, f32::max);
    a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / size
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn conv2d_and_its_gradients(
        batch in 1usize..12, channels in (1usize..7, 1usize..9), side in (1usize..19, 1usize..19),
        kernel in prop_oneof![Just(1usize), Just(3), Just(7)], stride in 1usize..4,
        padding in 0usize..4,
    ) {
        prop_assume!(padding < kernel);
        prop_assume!(side.0 + 2 * padding >= kernel && side.1 + 2 * padding >= kernel);
        for device in devices() {
            let x = random([batch, channels.0, side.0, side.1], &device);
            let w = random([channels.1, channels.0, kernel, kernel], &device);
            let ours = conv2d(x.clone(), w.clone(), stride, padding);
            let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            let plain = plain_conv2d(x.clone(), w.clone(), None, options);
            prop_assert!(apart(ours.clone(), plain.clone()) < 1e-5);
            let weight = random(plain.dims(), &device).detach();
            let ours = (ours * weight.clone()).sum().backward();
            let plain = (plain * weight).sum().backward();
            prop_assert!(apart(x.grad(&ours).unwrap(), x.grad(&plain).unwrap()) < 1e-5);
            prop_assert!(apart(w.grad(&ours).unwrap(), w.grad(&plain).unwrap()) < 1e-5);
        }
    }

    #[test]
    fn batch_norm_residual_and_relu_and_their_gradients(
        batch in 1usize..9, channels in 1usize..7, side in (2usize..11, 2usize..11),
        with_residual in any::<bool>(),
    ) {
        for device in devices() {
            let shape = [batch, channels, side.0, side.1];
            let (x, r) = (random(shape, &device), random(shape, &device));
            let (w, b) = (random([channels], &device), random([channels], &device));
            let residual = with_residual.then(|| r.clone());
            let ours = batch_norm_relu(x.clone(), w.clone(), b.clone(), 1e-5, residual);
            let plain = batch_norm_train(x.clone(), w.clone(), b.clone(), 1e-5);
            let sum = if with_residual { plain.output + r.clone() } else { plain.output };
            // A ReLU input within rounding of 0 may go either way.
            let margin = values(sum.clone().abs().min());
            prop_assume!(margin[0] > 1e-4);
            let output = relu(sum);
            prop_assert!(apart(ours.output.clone(), output.clone()) < 1e-5);
            prop_assert!(apart(ours.mean, plain.mean) < 1e-5);
            prop_assert!(apart(ours.variance, plain.variance) < 1e-5);
            let weight = random(shape, &device).detach();
            let ours = (ours.output * weight.clone()).sum().backward();
            let plain = (output * weight).sum().backward();
            prop_assert!(apart(x.grad(&ours).unwrap(), x.grad(&plain).unwrap()) < 1e-4);
            prop_assert!(apart(w.grad(&ours).unwrap(), w.grad(&plain).unwrap()) < 1e-5);
            prop_assert!(apart(b.grad(&ours).unwrap(), b.grad(&plain).unwrap()) < 1e-5);
            if with_residual {
                prop_assert!(apart(r.grad(&ours).unwrap(), r.grad(&plain).unwrap()) < 1e-5);
            }
        }
    }
}

/// Large means and small deviations, where the one-pass variance fails.
#[test]
fn statistics_survive_a_large_mean() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::random([8, 2, 5, 5], Distribution::Normal(1000.0, 0.1), &device);
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
    let x = Tensor::<4>::random([2, 3, 5, 5], Distribution::Default, &device);
    let w = Tensor::<4>::random([4, 3, 3, 3], Distribution::Default, &device);
    let double = conv2d(
        x.clone().cast(burn::tensor::FloatDType::F64),
        w.clone().cast(burn::tensor::FloatDType::F64),
        1,
        1,
    );
    assert_eq!(double.dtype(), burn::tensor::DType::F64);
    let single = conv2d(x, w, 1, 1);
    assert!(apart(single, double.cast(burn::tensor::FloatDType::F32)) < 1e-5);
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

//! The layers of encoders and heads.
//!
//! They are Burn's operations under PyTorch's parameter names and layouts (`weight`, `bias`,
//! `running_mean`, `running_var`; a linear weight is `[out, in]`), so weight files need no
//! translation. Batch norm has PyTorch's arithmetic. Between layers, images are `[batch, height,
//! width, channels]`, the layout of the kernels.

use burn::module::{Module, ModuleMapper, Param, RunningState};
use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;
use selfsame_kernels::{
    BatchNormOptions, BatchNormOutput, Running, batch_norm, conv2d, scale_shift,
};

use crate::init::WeightInit;

/// A square 2-D convolution without bias, as in a ResNet.
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[channels_out, channels_in, kernel, kernel]`
    pub weight: Param<Tensor<4>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// He-initialised; `padding` zeros are added on all four sides.
    pub fn new(
        [channels_in, channels_out]: [usize; 2],
        kernel: usize,
        stride: usize,
        padding: usize,
        init: &mut WeightInit,
    ) -> Self {
        let weight = init.he_normal([channels_out, channels_in, kernel, kernel]);
        Self { weight, stride, padding }
    }

    /// `[batch, height, width, channels_in]` → `[batch, height', width', channels_out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = ConvOptions::new([self.stride; 2], [self.padding; 2], [1; 2], 1);
        conv2d(x, self.weight.val(), options)
    }
}

/// A fully connected layer.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[features_out, features_in]`
    pub weight: Param<Tensor<2>>,
    /// `[features_out]`
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// Initialised as PyTorch's `nn.Linear`.
    pub fn new([features_in, features_out]: [usize; 2], bias: bool, init: &mut WeightInit) -> Self {
        let weight = init.uniform_fan_in([features_out, features_in], features_in);
        let bias = bias.then(|| init.uniform_fan_in([features_out], features_in));
        Self { weight, bias }
    }

    /// `[batch, features_in]` → `[batch, features_out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let bias = self.bias.as_ref().map(Param::val);
        selfsame_kernels::linear(x, self.weight.val(), bias)
    }
}

/// Batch normalisation (Ioffe & Szegedy, 2015) with PyTorch's arithmetic: the batch is
/// normalised with its **biased** variance, the running variance averages the **unbiased** one
/// (Burn's own layer averages the biased one, 1.6 % apart at a batch of 64 vectors).
///
/// It follows Burn's rule for modes. On an autodiff device it trains: it uses the statistics of the
/// batch and updates the running ones, even if its parameters need no gradients (a BYOL target is
/// in train mode, too). On a plain device it uses the running statistics.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// γ, `[features]`
    pub weight: Param<Tensor<1>>,
    /// β, `[features]`
    pub bias: Param<Tensor<1>>,
    /// `[features]`
    pub running_mean: RunningState<Tensor<1>>,
    /// Unbiased, `[features]`
    pub running_var: RunningState<Tensor<1>>,
}

impl BatchNorm {
    /// The share of a batch in the running statistics.
    const MOMENTUM: f64 = 0.1;
    /// Added to the variance.
    const EPSILON: f64 = 1e-5;

    /// γ = `scale`, β = 0, running mean 0, running variance 1.
    pub fn new(features: usize, scale: f32, init: &WeightInit) -> Self {
        Self {
            weight: init.constant(features, scale),
            bias: init.constant(features, 0.0),
            running_mean: RunningState::new(Tensor::zeros([features], init.device())),
            running_var: RunningState::new(Tensor::ones([features], init.device())),
        }
    }

    /// Fixed γ = 1 and β = 0: only standardisation.
    pub fn without_affine(features: usize, init: &WeightInit) -> Self {
        let fixed = |value| init.constant(features, value).set_require_grad(false);
        Self { weight: fixed(1.0), bias: fixed(0.0), ..Self::new(features, 1.0, init) }
    }

    /// `[batch, features, …]` → the same shape.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let shape = x.shape();
        let (batch, features) = (shape[0], self.weight.dims()[0]);
        let positions = shape.num_elements() / (batch * features).max(1);
        let images = x.reshape([batch, features, positions, 1]).permute([0, 2, 3, 1]);
        self.forward_images(images).permute([0, 3, 1, 2]).reshape(shape)
    }

    /// For images, `[batch, height, width, features]`. Uses the kernels if the device has them.
    pub fn forward_images(&self, x: Tensor<4>) -> Tensor<4> {
        if !x.device().is_autodiff() {
            return self.evaluate(x, None, false);
        }
        self.train(x, None, false)
    }

    /// Batch norm, then the residual if there is one, then ReLU. They are fused if there are
    /// kernels: `relu(norm(x) + residual)`, all `[batch, height, width, features]`.
    pub fn forward_relu(&self, x: Tensor<4>, residual: Option<Tensor<4>>) -> Tensor<4> {
        if !x.device().is_autodiff() {
            return self.evaluate(x, residual, true);
        }
        self.train(x, residual, true)
    }

    /// [`forward_relu`](Self::forward_relu) for vectors, `[batch, features]`.
    pub fn forward_vectors_relu(&self, x: Tensor<2>) -> Tensor<2> {
        let [batch, features] = x.dims();
        self.forward_relu(x.reshape([batch, 1, 1, features]), None).reshape([batch, features])
    }

    /// With the running statistics: one scale and one shift per feature.
    fn evaluate(&self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        let deviation = self.running_var.value().add_scalar(Self::EPSILON).sqrt();
        let scale = self.weight.val() / deviation;
        let shift = self.bias.val() - self.running_mean.value() * scale.clone();
        scale_shift(x, scale, shift, residual, relu)
    }

    /// With the statistics of the batch. They also update the running ones.
    fn train(&self, x: Tensor<4>, residual: Option<Tensor<4>>, relu: bool) -> Tensor<4> {
        let running =
            Running { mean: self.running_mean.value(), variance: self.running_var.value() };
        let options = BatchNormOptions { epsilon: Self::EPSILON, momentum: Self::MOMENTUM, relu };
        let (weight, bias) = (self.weight.val(), self.bias.val());
        let BatchNormOutput { output, running, .. } =
            batch_norm(x, weight, bias, residual, running, &options);
        set(&self.running_mean, running.mean);
        set(&self.running_var, running.variance);
        output
    }
}

/// Replaces the value of the state. [`RunningState::update`] would delay it until the next update,
/// and divide it by the number of threads with a value. This costs a launch on a GPU for each state
/// of each layer.
fn set(state: &RunningState<Tensor<1>>, value: Tensor<1>) {
    state.clone().map(&mut Replace(value));
}

struct Replace(Tensor<1>);

impl ModuleMapper for Replace {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|_| Tensor::from_dispatch(self.0.clone().into_dispatch()))
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tolerance};

    use super::*;

    fn input(device: &Device) -> Tensor<2> {
        Tensor::from_floats([[1.0, 10.0], [2.0, 14.0], [6.0, 12.0]], device)
    }

    #[test]
    fn batch_norm_trains_on_an_autodiff_device_with_unbiased_running_variance() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(2, 1.0, &WeightInit::new(0, 0, &device));
        let y = norm.forward(input(&device));
        let mean = y.mean_dim(0).into_data();
        mean.assert_approx_eq::<f32>(&[[0.0, 0.0]].into(), Tolerance::absolute(1e-6));
        // Unbiased variances are 7 and 4; the running ones start at 1.
        norm.running_mean
            .value()
            .into_data()
            .assert_approx_eq::<f32>(&[0.3, 1.2].into(), Tolerance::absolute(1e-5));
        norm.running_var
            .value()
            .into_data()
            .assert_approx_eq::<f32>(&[1.6, 1.3].into(), Tolerance::absolute(1e-5));
    }

    #[test]
    fn batch_norm_uses_running_statistics_in_a_validation_snapshot() {
        let device = Device::flex().autodiff();
        let norm = BatchNorm::new(2, 1.0, &WeightInit::new(0, 0, &device));
        norm.forward(input(&device));
        let snapshot = norm.valid();
        let x = input(&Device::flex());
        let before = snapshot.forward(x.clone()).into_data();
        let expected = (1.0 - 0.3) / (1.6f32 + 1e-5).sqrt();
        let got = before.try_to_vec::<f32>().unwrap()[0];
        assert!((got - expected).abs() < 1e-5, "{got} against {expected}");
        // Later training must not change the snapshot.
        norm.forward(input(&device));
        assert_eq!(snapshot.forward(x).into_data(), before);
    }

    #[test]
    fn linear_is_x_wt_plus_b() {
        let device = Device::flex();
        let mut linear = Linear::new([2, 1], true, &mut WeightInit::new(0, 0, &device));
        linear.weight = Param::from_tensor(Tensor::from_floats([[2.0, -1.0]], &device));
        linear.bias = Some(Param::from_tensor(Tensor::from_floats([0.5], &device)));
        let y = linear.forward(Tensor::from_floats([[3.0, 4.0]], &device));
        assert_eq!(y.into_scalar::<f32>(), 2.5);
    }
}

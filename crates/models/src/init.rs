//! Initial weights that depend only on a seed.
//!
//! Burn draws initial weights lazily from the backend's global generator. So they depend on the
//! backend and on the order of first use. Here they come from ChaCha8 on the CPU, in the order of
//! construction. The same seed gives the same bits on every device, so runs are comparable across
//! backends.

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// A stream of initial weights on one device.
#[derive(Debug, Clone)]
pub struct WeightInit {
    rng: ChaCha8Rng,
    device: Device,
}

impl WeightInit {
    /// The stream `stream` of `seed`. Different streams (encoder, projector, …) are independent. So
    /// a change of one part does not change the weights of the others.
    pub fn new(seed: u64, stream: u64, device: &Device) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self { rng, device: device.clone() }
    }

    /// The device of the parameters.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// He initialisation for a convolution followed by ReLU: `N(0, 2 / fan_out)`, with
    /// `fan_out = channels_out · kernel²` (He et al., 2015, section 2.2, backward form).
    ///
    /// `shape`: `[channels_out, channels_in, kernel, kernel]`.
    pub fn he_normal(&mut self, shape: [usize; 4]) -> Param<Tensor<4>> {
        let fan_out = shape[0] * shape[2] * shape[3];
        let std = (2.0 / fan_out as f32).sqrt();
        self.draw(shape, |rng| {
            let normal: f32 = StandardNormal.sample(rng);
            normal * std
        })
    }

    /// `U(−1/√fan_in, 1/√fan_in)`: PyTorch's default for the weight and the bias of a linear layer.
    /// All published recipes here use it.
    pub fn uniform_fan_in<const D: usize>(
        &mut self,
        shape: [usize; D],
        fan_in: usize,
    ) -> Param<Tensor<D>> {
        let bound = 1.0 / (fan_in as f32).sqrt();
        self.draw(shape, |rng| (rng.random::<f32>() * 2.0 - 1.0) * bound)
    }

    /// A constant vector: batch-norm scales (1, or 0 to start a residual block as identity) and
    /// shifts (0).
    pub fn constant(&self, len: usize, value: f32) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::full([len], value, &self.device))
    }

    fn draw<const D: usize, R>(
        &mut self,
        shape: [usize; D],
        mut sample: impl FnMut(&mut ChaCha8Rng) -> R,
    ) -> Param<Tensor<D>>
    where
        R: burn::tensor::Element,
        ChaCha8Rng: Rng,
    {
        let values: Vec<R> = (0..shape.iter().product()).map(|_| sample(&mut self.rng)).collect();
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(param: &Param<Tensor<4>>) -> Vec<f32> {
        param.val().into_data().try_to_vec().unwrap()
    }

    #[test]
    fn a_seed_fixes_the_weights_and_streams_differ() {
        let device = Device::flex();
        let draw =
            |seed, stream| values(&WeightInit::new(seed, stream, &device).he_normal([4, 3, 3, 3]));
        assert_eq!(draw(7, 0), draw(7, 0));
        assert_ne!(draw(7, 0), draw(8, 0));
        assert_ne!(draw(7, 0), draw(7, 1));
    }

    #[test]
    fn he_normal_has_the_stated_variance() {
        let device = Device::flex();
        let w = values(&WeightInit::new(0, 0, &device).he_normal([64, 64, 3, 3]));
        let variance = w.iter().map(|w| f64::from(w * w)).sum::<f64>() / w.len() as f64;
        let expected = 2.0 / (64.0 * 9.0);
        assert!((variance / expected - 1.0).abs() < 0.03, "{variance} against {expected}");
    }
}

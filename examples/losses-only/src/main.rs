//! `selfsame-losses` in a hand-written Burn training loop: a linear map learns which half of its
//! inputs two noisy copies of the same vectors have in common.

use burn::nn::LinearConfig;
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::{Device, Distribution, Tensor};
use selfsame_losses::BarlowTwinsLoss;

fn main() {
    let device = Device::flex().autodiff();
    device.seed(0);
    let mut model = LinearConfig::new(16, 8).init(&device);
    let mut optimizer = AdamConfig::new().init();
    let loss = BarlowTwinsLoss::default();
    let (mut first, mut last) = (f32::NAN, f32::NAN);
    for step in 0..200 {
        let clean = Tensor::<2>::random([64, 16], Distribution::Normal(0.0, 1.0), &device);
        let noise =
            |std: f64| Tensor::<2>::random([64, 8], Distribution::Normal(0.0, std), &device);
        let noisy = || clean.clone() + Tensor::cat(vec![noise(0.1), noise(3.0)], 1);
        let terms = loss.terms(model.forward(noisy()), model.forward(noisy()));
        let total = terms.invariance + terms.redundancy.mul_scalar(loss.lambda);
        let gradients = GradientsParams::from_grads(total.backward(), &model);
        model = optimizer.step(1e-2, model, gradients);
        last = total.into_scalar::<f32>();
        if step == 0 {
            first = last;
        }
    }
    println!("Barlow Twins loss: {first:.3} at first, {last:.3} after 200 steps");
    assert!(last < first / 2.0, "the loss did not fall");
}

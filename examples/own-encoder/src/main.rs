//! Trains BYOL around a network of one's own, and scores its features by k-NN.

use std::error::Error;
use std::sync::Arc;

use burn::module::Module;
use burn::nn::PaddingConfig2d::Explicit;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, activation::relu};
use selfsame::augment::ViewPair;
use selfsame::data::{LoaderConfig, ShapesDataset, ViewLoader};
use selfsame::eval::{Knn, Labelled, LabelledImages, Probe, extract};
use selfsame::models::Encoder;
use selfsame::trainers::{ByolConfig, MethodSettings, Trainer, TrainerConfig};
use selfsame::{LoaderSource, PlainImages};

/// Three convolutions and a mean over the image.
#[derive(Module, Debug)]
struct Small {
    layers: Vec<Conv2d>,
}

impl Encoder for Small {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let maps = self.layers.iter().fold(images, |x, layer| relu(layer.forward(x)));
        let [batch, channels, ..] = maps.dims();
        maps.mean_dims(&[2, 3]).reshape([batch, channels])
    }

    fn feature_dim(&self) -> usize {
        64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = Device::flex().autodiff();
    let conv = |channels| {
        let config = Conv2dConfig::new(channels, [3, 3]).with_stride([2, 2]);
        config.with_padding(Explicit(1, 1, 1, 1)).init(&device)
    };
    let encoder = Small { layers: vec![conv([3, 16]), conv([16, 32]), conv([32, 64])] };
    let byol = ByolConfig { projector_hidden: 128, predictor_hidden: 128, ..Default::default() };

    let (steps, mean, std) = (60, [0.5; 3], [0.25; 3]);
    let images = Arc::new(ShapesDataset::new(0, 0, 960));
    let views = Arc::new(ViewPair::byol(32, mean, std)?);
    let loader = LoaderConfig { batch_size: 64, ..Default::default() };
    let loader = ViewLoader::new(images.clone(), views, &loader)?;
    let settings = TrainerConfig::sgd(0.05, steps);
    let mut trainer = Trainer::new(byol.build(encoder, 0, &device)?, settings, &device)?;
    trainer.fit(&mut LoaderSource(loader.stream(0, steps)), &mut ())?;

    let trained = trainer.method().valid().online.encoder;
    let features = |images: Arc<ShapesDataset>| -> Result<Labelled, Box<dyn Error>> {
        let images = PlainImages::sized(images, 32, mean, std)?;
        Ok(Labelled::new(&extract(&trained, &images, 64, &Device::flex())?, &images.labels())?)
    };
    let test = features(Arc::new(ShapesDataset::new(0, 960, 320)))?;
    println!("k-NN: {:.3}", Knn { k: 20, temperature: 0.1 }.score(&features(images)?, &test)?.top1);
    Ok(())
}

//! Trains BYOL around a network of one's own, and scores its features by k-NN.

use std::{error::Error, sync::Arc};

use burn::module::Module;
use burn::nn::PaddingConfig2d::Explicit;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, activation::relu};
use selfsame::augment::ViewPair;
use selfsame::data::{ImageDataset, LoaderConfig, Source, ViewLoader};
use selfsame::eval::{Knn, Labelled, LabelledImages, Probe, extract};
use selfsame::models::Encoder;
use selfsame::trainers::{ByolConfig, MethodSettings, Trainer, TrainerConfig};
use selfsame::{LoaderSource, PlainImages, open_images};

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
    let (steps, mean, std) = (200, [0.29; 3], [0.35; 3]);
    let data = open_images(&Source::Named("fashion-mini".into()))?.limit(Some(2000), Some(500))?;
    let views = Arc::new(ViewPair::byol(28, mean, std)?);
    let settings = LoaderConfig { batch_size: 64, ..Default::default() };
    let loader = ViewLoader::new(data.train.clone(), views, &settings)?;
    let byol = byol.build(encoder, 0, &device)?;
    let mut trainer = Trainer::new(byol, TrainerConfig::sgd(0.05, steps), &device)?;
    trainer.fit(&mut LoaderSource(loader.stream(0, steps)), &mut ())?;

    let trained = trainer.method().valid().online.encoder;
    let features = |images: &Arc<dyn ImageDataset>| -> Result<Labelled, Box<dyn Error>> {
        let images = PlainImages::sized(images.clone(), 28, mean, std)?;
        Ok(Labelled::new(&extract(&trained, &images, 64, &Device::flex())?, &images.labels())?)
    };
    let test = features(data.test.as_ref().ok_or("no test images")?)?;
    let knn = Knn { k: 20, temperature: 0.1 };
    println!("k-NN: {}", knn.score(&features(&data.train)?, &test)?.top1);
    Ok(())
}

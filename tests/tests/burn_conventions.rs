//! Our data sets behind Burn's own loader.

use std::sync::Arc;

use burn::data::dataloader::DataLoaderBuilder;
use burn::tensor::Device;
use selfsame_augment::ViewPair;
use selfsame_data::{BurnImages, ShapesDataset, ViewBatcher};

/// Two workers of Burn's loader make the views that one makes, of each image once, with its label.
#[test]
fn burns_loader_makes_our_views() {
    let device = Device::flex();
    let shapes = Arc::new(ShapesDataset::new(0, 0, 10));
    let pair = ViewPair::cifar(8, [0.5; 3], [0.25; 3]).unwrap();
    let epoch = |epoch: u64, workers: usize| {
        let batcher = ViewBatcher { generator: Arc::new(pair.clone()), seed: 1, epoch };
        let loader = DataLoaderBuilder::new(batcher)
            .batch_size(4)
            .num_workers(workers)
            .set_device(device.clone())
            .build(BurnImages(shapes.clone()));
        let mut images: Vec<(i64, Vec<f32>)> = Vec::new();
        for batch in loader.iter() {
            let batch = batch.unwrap();
            assert_eq!(batch.views.len(), 2);
            let count = batch.labels.dims()[0];
            let labels = batch.labels.into_data().convert::<i64>().try_into_vec::<i64>().unwrap();
            let pixels = batch.views[1].to_data().try_into_vec::<f32>().unwrap();
            assert_eq!(batch.views[1].dims(), [count, 3, 8, 8]);
            images.extend(labels.into_iter().zip(pixels.chunks(3 * 64).map(<[f32]>::to_vec)));
        }
        images.sort_by(|a, b| a.partial_cmp(b).unwrap());
        images
    };
    let one = epoch(0, 1);
    assert_eq!(one.len(), 10);
    assert_eq!(one, epoch(0, 2));
    assert_ne!(one, epoch(1, 1));
}

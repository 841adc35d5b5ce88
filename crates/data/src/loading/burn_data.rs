//! Burn's conventions for data (feature `burn`): a data set for its loaders, and a batcher that
//! makes views.

use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::{Dataset, DatasetError};
use burn::tensor::{Device, Int, Tensor, TensorData};
use image::RgbImage;
use selfsame_augment::{RgbSource, ViewGenerator, render_batch};

use crate::ImageDataset;

/// A data set in the form that Burn's transforms and loaders take.
#[derive(Clone)]
pub struct BurnImages(pub Arc<dyn ImageDataset>);

/// One image of a [`BurnImages`].
#[derive(Debug, Clone, PartialEq)]
pub struct ImageItem {
    /// Its index in the data set, which keys the randomness of its views.
    pub index: usize,
    /// Decoded.
    pub image: Arc<RgbImage>,
    /// Its class.
    pub label: Option<u32>,
}

impl Dataset<ImageItem> for BurnImages {
    fn get(&self, index: usize) -> Result<ImageItem, DatasetError> {
        let image = self.0.image(index).map_err(DatasetError::new)?;
        Ok(ImageItem { index, image, label: self.0.label(index) })
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Makes the views of a batch. The views of an image depend on the seed, the epoch and its index,
/// not on its batch or thread.
#[derive(Clone)]
pub struct ViewBatcher {
    /// The generator of all views.
    pub generator: Arc<dyn ViewGenerator>,
    /// The seed of all randomness.
    pub seed: u64,
    /// The epoch. Burn's loaders do not tell it to a batcher: make one batcher for each epoch, or
    /// all epochs see the same views.
    pub epoch: u64,
}

/// A batch of a [`ViewBatcher`].
#[derive(Debug, Clone)]
pub struct ViewTensors {
    /// For each view, `[batch, 3, size, size]`, normalised.
    pub views: Vec<Tensor<4>>,
    /// `[batch]`, −1 without a label.
    pub labels: Tensor<1, Int>,
}

impl Batcher<ImageItem, ViewTensors> for ViewBatcher {
    /// Images without pixels are left out.
    fn batch(&self, items: Vec<ImageItem>, device: &Device) -> ViewTensors {
        let mut sources = Vec::new();
        let mut labels = Vec::new();
        for item in &items {
            if let Ok(source) = RgbSource::try_from(&*item.image) {
                sources.push((item.index as u64, source));
                labels.push(item.label.map_or(-1, i64::from));
            }
        }
        let mut pixels = Vec::new();
        render_batch(&*self.generator, &sources, self.seed, self.epoch, &mut pixels)
            .expect("buffers have the views' sizes");
        let views = pixels.into_iter().enumerate().map(|(view, pixels)| {
            let size = self.generator.view_size(view);
            Tensor::from_data(TensorData::new(pixels, [sources.len(), 3, size, size]), device)
        });
        let views = views.collect();
        let count = labels.len();
        ViewTensors { views, labels: Tensor::from_data(TensorData::new(labels, [count]), device) }
    }
}

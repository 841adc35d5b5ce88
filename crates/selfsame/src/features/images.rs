//! Data sets in the form for trainers and evaluation.

use std::cell::RefCell;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use image::RgbImage;
use rayon::prelude::*;
use selfsame_augment::{
    AugmentError, PlainView, RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair,
    images_on_device,
};
use selfsame_data::{DrawnBatch, ImageDataset, Subset, ViewStream};
use selfsame_eval::{Features, LabelledImages, raw_pixels};
use selfsame_trainers::{HostView, ViewSource, Views};

use crate::evenly::evenly;
use crate::observer::{Tally, Unit, Voice};
use crate::settings::RunConfig;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A data set for evaluation: whole images, no augmentation.
pub struct PlainImages {
    dataset: Arc<dyn ImageDataset>,
    view: PlainView,
    mean: [f32; 3],
    std: [f32; 3],
}

/// The side of images whose pixels are features.
pub const PIXEL_SIDE: u32 = 32;

impl PlainImages {
    pub(crate) fn new(dataset: Arc<dyn ImageDataset>, config: &RunConfig) -> anyhow::Result<Self> {
        let settings = config.views.view(0);
        Ok(Self::sized(dataset, settings.size, settings.mean, settings.std)?)
    }

    /// Images as an encoder gets them: the central square, of `size` pixels, with each channel
    /// normalised by `mean` and `std`.
    ///
    /// # Errors
    /// A size of 0, or a standard deviation that is not above 0.
    pub fn sized(
        dataset: Arc<dyn ImageDataset>,
        size: u32,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Result<Self, AugmentError> {
        Ok(Self { dataset, view: PlainView::new(size, mean, std)?, mean, std })
    }

    /// Up to `count` images, evenly over the set.
    pub(crate) fn some(
        images: &Arc<dyn ImageDataset>,
        count: usize,
        config: &RunConfig,
    ) -> anyhow::Result<Self> {
        let chosen = evenly(images.len(), count).into_iter().map(|i| i as u32).collect();
        Self::new(Arc::new(Subset::new(images.clone(), chosen)), config)
    }

    /// Pixels as features: the baseline for any encoder. Larger views are reduced to 32×32. More
    /// pixels take gigabytes, and only make neighbours of images that are aligned by chance.
    pub(crate) fn pixels(&self) -> anyhow::Result<Features> {
        let (view, dataset) = (self.pixel_view(PIXEL_SIDE)?, self.dataset.clone());
        Ok(raw_pixels(&Self { dataset, view, mean: self.mean, std: self.std })?)
    }

    /// The view of an image for [`pixels`](Self::pixels), no larger than `most`.
    pub(crate) fn pixel_view(&self, most: u32) -> anyhow::Result<PlainView> {
        let size = (self.view.view_size(0) as u32).min(most);
        Ok(PlainView::new(size, self.mean, self.std)?)
    }

    /// The view of an image for encoders.
    pub(crate) fn view(&self) -> &PlainView {
        &self.view
    }

    /// The name of an image for a person.
    pub(crate) fn name(&self, index: usize) -> PathBuf {
        self.dataset.name(index)
    }

    /// The side of an image for the encoder.
    pub(crate) fn side(&self) -> usize {
        self.view.view_size(0)
    }

    /// Prepares one decoded image for the encoder, into `[3, side, side]`.
    pub(crate) fn prepare(&self, image: &RgbImage, out: &mut [f32]) -> Result<(), BoxError> {
        // Nothing is random, so the index does not matter.
        Ok(first_view(image, 0, &self.view, out)?)
    }

    /// The images, to choose from.
    pub(crate) fn shared(&self) -> Arc<dyn ImageDataset> {
        self.dataset.clone()
    }

    pub(crate) fn dataset(&self) -> &dyn ImageDataset {
        &*self.dataset
    }
}

impl LabelledImages for PlainImages {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        first_views(&*self.dataset, &self.view, range, out)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.dataset.label(index)
    }
}

/// Images with progress while they are read.
pub struct Watched<'a> {
    images: &'a PlainImages,
    name: &'a str,
    tally: RefCell<Tally>,
}

impl<'a> Watched<'a> {
    pub fn new(images: &'a PlainImages, name: &'a str, voice: &Voice) -> Self {
        Self { images, name, tally: RefCell::new(voice.brief_tally(Unit::Items)) }
    }
}

impl LabelledImages for Watched<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        let (done, total) = (range.end as u64, self.len() as u64);
        let shape = self.images.read(range, out)?;
        self.tally.borrow_mut().show(self.name, done, Some(total));
        Ok(shape)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }
}

/// Appends the first view of each image in `range` to `out`, `[images, 3, size, size]`. Returns the
/// shape of a view. Views are made on all threads. A view depends only on the image's index.
pub fn first_views(
    images: &dyn ImageDataset,
    generator: &dyn ViewGenerator,
    range: Range<usize>,
    out: &mut Vec<f32>,
) -> Result<[usize; 3], BoxError> {
    let size = generator.view_size(0);
    let length = 3 * size * size;
    let start = out.len();
    out.resize(start + range.len() * length, 0.0);
    let views = out[start..].par_chunks_exact_mut(length).zip(range);
    views.try_for_each(|(view, index)| -> Result<(), BoxError> {
        Ok(first_view(&*images.image(index)?, index, generator, view)?)
    })?;
    Ok([3, size, size])
}

/// The first view of the image `index`, `[3, size, size]`.
pub fn first_view(
    image: &RgbImage,
    index: usize,
    generator: &dyn ViewGenerator,
    out: &mut [f32],
) -> Result<(), AugmentError> {
    let mut rng = ViewKey { seed: 0, epoch: 0, image: index as u64, view: 0 }.rng();
    generator.render(RgbSource::try_from(image)?, 0, &mut rng, ViewBuffer::Planar(out))
}

/// A loader's stream as a source of training batches.
pub struct LoaderSource(
    /// The stream.
    pub ViewStream,
);

impl ViewSource for LoaderSource {
    fn next_views(&mut self) -> Option<Result<Views, BoxError>> {
        Some(self.0.next()?.map_err(Into::into).map(|batch| {
            let views = batch.views.into_iter().zip(batch.sizes);
            let view = |(pixels, size)| HostView { pixels, shape: [batch.batch, 3, size, size] };
            Views::OnHost(views.map(view).collect())
        }))
    }
}

/// A loader's stream of view parameters as a source of training batches. The training device makes
/// the views.
pub struct DeviceSource {
    pub stream: ViewStream<DrawnBatch>,
    pub views: ViewPair,
    /// The device, without autodiff.
    pub device: Device,
}

impl ViewSource for DeviceSource {
    fn next_views(&mut self) -> Option<Result<Views, BoxError>> {
        Some(self.stream.next()?.map_err(Into::into).and_then(|batch| {
            let DrawnBatch { pixels, shape, drawn, .. } = batch;
            let [first, second] = drawn.as_slice() else {
                return Err("the loader must draw two views".into());
            };
            let images = images_on_device(pixels, shape, &self.device);
            let [of_first, of_second] = self.views.configs();
            Ok(Views::OnDevice(vec![
                of_first.render_on_device(images.clone(), first),
                of_second.render_on_device(images, second),
            ]))
        }))
    }
}

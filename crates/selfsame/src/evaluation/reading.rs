//! Reads images once for several uses: features under several encoders, and pixels.

use std::ops::Range;

use burn::tensor::Device;
use rayon::prelude::*;
use selfsame_augment::ViewGenerator;
use selfsame_eval::{EvalError, Features, LabelledImages, extract};
use selfsame_models::ResNet;

use crate::features::images::{PlainImages, first_view};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request about some images. Indices are in ascending order.
pub struct Wanted<'a> {
    /// Encoders, each with its images.
    pub encoders: Vec<(&'a ResNet, &'a [usize])>,
    /// The images whose pixels are wanted, and the side that larger images are reduced to.
    pub pixels: &'a [usize],
    pub pixel_side: u32,
}

/// The results, in the order of the request.
pub struct Found {
    pub features: Vec<Features>,
    pub pixels: Features,
}

impl Wanted<'_> {
    /// All wanted images.
    pub fn images(&self) -> Vec<usize> {
        let lists = self.encoders.iter().map(|(_, rows)| *rows).chain([self.pixels]);
        let mut all: Vec<usize> = lists.flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Decodes every wanted image once, `batch` at a time on all threads. Tells `read` how many
    /// more are done.
    pub fn read(
        &self,
        images: &PlainImages,
        batch: usize,
        device: &Device,
        read: &mut dyn FnMut(usize),
    ) -> anyhow::Result<Found> {
        let pixel_view = images.pixel_view(self.pixel_side)?;
        let [side, pixel_side] = [images.view().view_size(0), pixel_view.view_size(0)];
        let mut features = vec![Vec::new(); self.encoders.len()];
        let mut pixels = Vec::new();
        for chunk in self.images().chunks(batch.max(1)) {
            let render = |index: &usize| -> anyhow::Result<Rendered> {
                let seen = self.encoders.iter().any(|(_, rows)| rows.binary_search(index).is_ok());
                let sampled = self.pixels.binary_search(index).is_ok();
                let image = images.dataset().image(*index)?;
                let view = |wanted: bool, view: &dyn ViewGenerator, side: usize| {
                    let mut out = vec![0f32; if wanted { 3 * side * side } else { 0 }];
                    if wanted {
                        first_view(&image, *index, view, &mut out)?;
                    }
                    anyhow::Ok(out)
                };
                let seen_view = view(seen, images.view(), side)?;
                let pixels = match sampled && seen && side == pixel_side {
                    true => seen_view.clone(),
                    false => view(sampled, &pixel_view, pixel_side)?,
                };
                Ok(Rendered { index: *index, view: seen_view, pixels })
            };
            let rendered: Vec<Rendered> =
                chunk.par_iter().map(render).collect::<anyhow::Result<_>>()?;
            for ((encoder, rows), features) in self.encoders.iter().zip(&mut features) {
                let some: Vec<&Rendered> =
                    rendered.iter().filter(|r| rows.binary_search(&r.index).is_ok()).collect();
                if some.is_empty() {
                    continue;
                }
                let views = Views { images: &some, side };
                let found = extract(*encoder, &views, some.len(), device);
                features.extend_from_slice(found.map_err(|e| named(e, &some))?.values());
            }
            rendered.iter().for_each(|r| pixels.extend_from_slice(&r.pixels));
            read(chunk.len());
        }
        let features = self.encoders.iter().zip(features).map(|((encoder, rows), values)| {
            use selfsame_models::Encoder;
            Features::new(values, rows.len(), encoder.feature_dim())
        });
        Ok(Found {
            features: features.collect::<Result<_, _>>()?,
            pixels: Features::new(pixels, self.pixels.len(), 3 * pixel_side * pixel_side)?,
        })
    }
}

/// An image in the wanted forms. A form that nobody wants is empty.
struct Rendered {
    index: usize,
    view: Vec<f32>,
    pixels: Vec<f32>,
}

/// A batch of images for an encoder.
struct Views<'a> {
    images: &'a [&'a Rendered],
    side: usize,
}

impl LabelledImages for Views<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        self.images[range].iter().for_each(|image| out.extend_from_slice(&image.view));
        Ok([3, self.side, self.side])
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }
}

/// The error with the image's number in the whole set.
fn named(error: EvalError, images: &[&Rendered]) -> EvalError {
    match error {
        EvalError::NotFinite { row, dim, value } => {
            EvalError::NotFinite { row: images.get(row).map_or(row, |i| i.index), dim, value }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use image::RgbImage;
    use selfsame_data::{DataError, ImageDataset, InMemory};
    use selfsame_models::init::WeightInit;

    use super::*;
    use crate::features::images::PIXEL_SIDE;
    use crate::settings::Method;
    use crate::settings::RunConfig;

    /// Counts how often images are read.
    struct Counting {
        images: InMemory,
        reads: AtomicUsize,
    }

    impl ImageDataset for Counting {
        fn len(&self) -> usize {
            self.images.len()
        }
        fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            self.images.image(index)
        }
        fn label(&self, index: usize) -> Option<u32> {
            self.images.label(index)
        }
        fn class_names(&self) -> &[String] {
            self.images.class_names()
        }
        fn visit_files(&self, _: &mut dyn FnMut(&Path)) {}
    }

    /// Eleven images of 40 pixels, and views of `side`.
    fn images(side: u32) -> (Arc<Counting>, RunConfig, PlainImages) {
        let image = |seed: u32| {
            RgbImage::from_fn(40, 40, |x, y| {
                image::Rgb([(x * (seed + 3)) as u8, (y * 5 + seed) as u8, (x * y) as u8])
            })
        };
        let images =
            InMemory::new((0..11).map(image).collect(), vec![None; 11], Vec::new()).unwrap();
        let counting = Arc::new(Counting { images, reads: AtomicUsize::new(0) });
        let mut config = crate::settings::defaults::config(Method::Byol, None);
        config.views.size = Some(side);
        config.encoder.base_width = 2;
        let plain = PlainImages::new(counting.clone(), &config).unwrap();
        (counting, config, plain)
    }

    #[test]
    fn two_encoders_and_pixels_take_one_reading_of_each_image() {
        let device = Device::default();
        for (side, pixel_side) in [(20, 32), (36, 32), (36, 16)] {
            let (counting, config, plain) = images(side);
            let encoder = |seed| {
                config.encoder.resnet().init(&mut WeightInit::new(seed, 0, &device)).unwrap()
            };
            let encoders: [ResNet; 2] = [encoder(1), encoder(2)];
            let all: Vec<usize> = (0..11).collect();
            let some = [1, 2, 7, 10];
            let wanted = Wanted {
                encoders: vec![(&encoders[0], &all), (&encoders[1], &some)],
                pixels: &some,
                pixel_side,
            };
            let mut told = 0;
            let found = wanted.read(&plain, 4, &device, &mut |n| told += n).unwrap();
            assert_eq!((counting.reads.load(Ordering::Relaxed), told), (11, 11));
            // The results are as if each is read alone.
            let whole = extract(&encoders[0], &plain, 4, &device).unwrap();
            let other = extract(&encoders[1], &plain, 4, &device).unwrap();
            for (a, b) in whole.values().iter().zip(found.features[0].values()) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
            let chosen = other.select(&some);
            assert_eq!(found.features[1].rows(), 4);
            for (a, b) in chosen.values().iter().zip(found.features[1].values()) {
                assert!((a - b).abs() < 1e-4, "{a} {b}");
            }
            if pixel_side == PIXEL_SIDE {
                assert_eq!(found.pixels, plain.pixels().unwrap().select(&some));
            }
            // Three channels, for any size of view.
            assert_eq!(found.pixels.dim(), 3 * (side.min(pixel_side) as usize).pow(2));
        }
    }
}

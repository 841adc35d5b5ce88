//! Features of images that are read once. Each batch is decoded, prepared, encoded and dropped.

use burn::tensor::Device;
use rayon::prelude::*;
use selfsame_data::DataError;
use selfsame_eval::{Features, LabelledImages, encode, images_together};
use selfsame_models::Encoder;
use sha2::{Digest, Sha256};

use crate::features::images::PlainImages;
use crate::observer::{Unit, Voice};

/// A hash of an image's size and pixels.
pub type PixelKey = [u8; 16];

/// The readable images of a set, and their features.
#[derive(Debug, PartialEq)]
pub struct Streamed {
    /// One row for each readable image.
    pub features: Features,
    /// The index of each row's image in the set, ascending.
    pub images: Vec<usize>,
    pub pixels: Vec<PixelKey>,
    /// The indices of the other images, ascending, with the reasons.
    pub unreadable: Vec<(usize, String)>,
}

/// The key of a decoded image.
pub fn pixel_key(image: &image::RgbImage) -> PixelKey {
    let mut key = Sha256::new();
    key.update(image.width().to_le_bytes());
    key.update(image.as_raw());
    let hash: [u8; 32] = key.finalize().into();
    let mut key = PixelKey::default();
    key.copy_from_slice(&hash[..16]);
    key
}

/// Reads every image once and keeps only its features. Memory holds one batch of pixels (see
/// [`selfsame_eval::BATCH_BYTES`]) and one decoded image for each thread. `what` is the text of the
/// progress.
///
/// # Errors
/// The device fails, or features are not finite. An unreadable image is no error.
pub fn stream(
    encoder: &impl Encoder,
    images: &PlainImages,
    batch_size: usize,
    device: &Device,
    what: &str,
    voice: &Voice,
) -> anyhow::Result<Streamed> {
    let (total, dim, side) = (images.len(), encoder.feature_dim(), images.side());
    let length = 3 * side * side;
    let together = images_together(batch_size, length);
    let mut values = Vec::with_capacity(total.saturating_mul(dim));
    let (mut found, mut keys, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
    let mut tally = (total > together).then(|| voice.tally(Unit::Items));
    for start in (0..total).step_by(together) {
        let range = start..total.min(start + together);
        let mut pixels = vec![0f32; range.len() * length];
        let read: Vec<Result<PixelKey, DataError>> = range
            .clone()
            .into_par_iter()
            .zip(pixels.par_chunks_exact_mut(length))
            .map(|(index, out)| {
                let image = images.dataset().decode(index)?;
                images.prepare(&image, out).map_err(|e| DataError::Request(e.to_string()))?;
                Ok(pixel_key(&image))
            })
            .collect();
        let mut kept = 0;
        for ((place, index), read) in range.enumerate().zip(read) {
            match read {
                Ok(key) => {
                    pixels.copy_within(place * length..(place + 1) * length, kept * length);
                    kept += 1;
                    found.push(index);
                    keys.push(key);
                }
                Err(error) => unreadable.push((index, error.reason())),
            }
        }
        pixels.truncate(kept * length);
        if kept > 0 {
            values.extend(encode(encoder, pixels, [3, side, side], device)?);
        }
        if let Some(tally) = &mut tally {
            tally.show(what, total.min(start + together) as u64, Some(total as u64));
        }
    }
    let features = Features::new(values, found.len(), dim)?;
    Ok(Streamed { features, images: found, pixels: keys, unreadable })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use burn::tensor::Tensor;
    use image::{Rgb, RgbImage};
    use selfsame_data::ImageDataset;

    use super::*;
    use crate::settings::Method;

    /// The mean of each channel: an encoder without weights.
    struct Means;

    impl Encoder for Means {
        fn forward(&self, images: Tensor<4>) -> Tensor<2> {
            images.mean_dim(3).mean_dim(2).squeeze_dims(&[2, 3])
        }
        fn feature_dim(&self) -> usize {
            3
        }
    }

    /// Images decoded on demand. Every seventh is damaged. Counts the use of each way of reading.
    struct OnDemand {
        images: usize,
        decoded: AtomicUsize,
    }

    impl ImageDataset for OnDemand {
        fn len(&self) -> usize {
            self.images
        }
        /// A caller that keeps this result keeps the whole set in memory.
        fn image(&self, _: usize) -> Result<Arc<RgbImage>, DataError> {
            Err(DataError::Request("images are to be decoded and forgotten".into()))
        }
        fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            match index % 7 {
                6 => Err(DataError::Request("damaged".into())),
                _ => Ok(RgbImage::from_pixel(5, 4, Rgb([index as u8, 0, 255]))),
            }
        }
        fn label(&self, _: usize) -> Option<u32> {
            None
        }
        fn class_names(&self) -> &[String] {
            &[]
        }
        fn name(&self, index: usize) -> PathBuf {
            format!("{index}.png").into()
        }
    }

    #[test]
    fn every_image_is_decoded_once_and_damaged_ones_have_no_row() {
        let mut config = crate::settings::defaults::config(Method::Byol, None);
        config.views.size = Some(4);
        (config.views.mean, config.views.std) = (Some([0.0; 3]), Some([1.0 / 255.0; 3]));
        let set = Arc::new(OnDemand { images: 30, decoded: AtomicUsize::new(0) });
        let images = PlainImages::new(set.clone(), &config).unwrap();
        let device = crate::device::parse("flex").unwrap();
        let all = stream(&Means, &images, 8, &device, "images", &Voice::silent()).unwrap();
        assert_eq!(set.decoded.load(Ordering::Relaxed), 30);
        let expected: Vec<usize> = (0..30).filter(|index| index % 7 != 6).collect();
        assert_eq!(all.images, expected);
        for (row, index) in all.features.iter().zip(&expected) {
            assert!((row[0] - *index as f32).abs() < 1e-3, "{row:?} is not of image {index}");
        }
        let damaged: Vec<usize> = all.unreadable.iter().map(|(index, _)| *index).collect();
        assert_eq!(damaged, [6, 13, 20, 27]);
        assert_eq!(all.pixels[1], pixel_key(&set.decode(1).unwrap()));
        // The batch size changes nothing.
        assert_eq!(stream(&Means, &images, 1, &device, "images", &Voice::silent()).unwrap(), all);
    }
}

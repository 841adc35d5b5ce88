//! Features of images by an encoder (feature `burn`).

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_models::Encoder;

use crate::{EvalError, Features, LabelledImages};

/// The most bytes of pixels that go through an encoder together.
///
/// The activations of a layer take five to twenty times as much, and two or three layers are in
/// memory at once. 27 images of 224 pixels fit, with some 250 MB in a ResNet-18.
pub const BATCH_BYTES: usize = 16 << 20;

/// How many images of `values` numbers each go through an encoder together: at most `batch_size`,
/// and as many as [`BATCH_BYTES`] hold, but at least one.
pub fn images_together(batch_size: usize, values: usize) -> usize {
    (BATCH_BYTES / size_of::<f32>() / values.max(1)).min(batch_size).max(1)
}

/// The features of all images, `batch_size` at a time or fewer (see [`BATCH_BYTES`]).
///
/// The encoder must be on `device`, and the device must be a plain one. On a plain device, batch
/// norm uses its running statistics, as evaluation requires. A validation snapshot
/// (`model.valid()`) is on a plain device.
///
/// # Errors
/// An autodiff device, unreadable images, features that are not finite.
pub fn extract(
    encoder: &impl Encoder,
    images: &dyn LabelledImages,
    batch_size: usize,
    device: &Device,
) -> Result<Features, EvalError> {
    let mut values = Vec::with_capacity(images.len() * encoder.feature_dim());
    let mut start = 0;
    while start < images.len() {
        let mut pixels = Vec::new();
        // The first image gives the size.
        let shape = images.read(start..start + 1, &mut pixels).map_err(EvalError::Images)?;
        let together = images_together(batch_size, pixels.len());
        let end = (start + together).min(images.len());
        if start + 1 < end {
            images.read(start + 1..end, &mut pixels).map_err(EvalError::Images)?;
        }
        values.extend(encode(encoder, pixels, shape, device)?);
        start = end;
    }
    Features::new(values, images.len(), encoder.feature_dim())
}

/// The features of one batch, `[images, dim]`: `pixels` are `[images, channels, height, width]`,
/// row-major, and `shape` is that of one image. Encoder and device as in [`extract`].
///
/// # Errors
/// An autodiff device, or one that fails.
pub fn encode(
    encoder: &impl Encoder,
    pixels: Vec<f32>,
    shape: [usize; 3],
    device: &Device,
) -> Result<Vec<f32>, EvalError> {
    if device.is_autodiff() {
        let reason =
            "features are extracted on a plain device; on an autodiff device batch norm trains";
        return Err(EvalError::Request(reason.into()));
    }
    let [c, h, w] = shape;
    let images = pixels.len() / (c * h * w).max(1);
    let input = Tensor::<4>::from_data(TensorData::new(pixels, [images, c, h, w]), device);
    let features = encoder.forward(input).into_data();
    features.try_into_vec::<f32>().map_err(|e| EvalError::Device(format!("{e:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_by_number_and_by_bytes() {
        assert_eq!(images_together(256, 3 * 32 * 32), 256);
        assert_eq!(images_together(256, 3 * 224 * 224), 27);
        assert_eq!(images_together(8, 3 * 224 * 224), 8);
        assert_eq!((images_together(0, 3), images_together(256, 1 << 30)), (1, 1));
        assert!(27 * 3 * 224 * 224 * size_of::<f32>() <= BATCH_BYTES);
    }
}

use burn::tensor::{Device, Tensor, TensorData};
use selfsame_models::Encoder;

use crate::{EvalError, Features, LabelledImages};

/// The features of all images, `batch_size` at a time.
///
/// The encoder must be on `device`, a plain one: there batch norm uses its running statistics,
/// which is what evaluation means. A validation snapshot (`model.valid()`) is.
///
/// # Errors
/// An autodiff device, unreadable images, features that are not finite.
pub fn extract(
    encoder: &impl Encoder,
    images: &dyn LabelledImages,
    batch_size: usize,
    device: &Device,
) -> Result<Features, EvalError> {
    if device.is_autodiff() {
        let reason =
            "features are extracted on a plain device; on an autodiff device batch norm trains";
        return Err(EvalError::Request(reason.into()));
    }
    let mut values = Vec::with_capacity(images.len() * encoder.feature_dim());
    let batch_size = batch_size.max(1);
    let mut start = 0;
    while start < images.len() {
        let end = (start + batch_size).min(images.len());
        let mut pixels = Vec::new();
        let [c, h, w] = images.read(start..end, &mut pixels).map_err(EvalError::Images)?;
        let input = Tensor::<4>::from_data(TensorData::new(pixels, [end - start, c, h, w]), device);
        let features = encoder.forward(input).into_data();
        let features =
            features.try_into_vec::<f32>().map_err(|e| EvalError::Device(format!("{e:?}")))?;
        values.extend(features);
        start = end;
    }
    Features::new(values, images.len(), encoder.feature_dim())
}

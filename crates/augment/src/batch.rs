//! The views of a whole batch, in parallel.

use rayon::prelude::*;

use crate::{AugmentError, RgbSource, ViewBuffer, ViewGenerator, ViewKey};

/// All views of a batch, in parallel over the images on rayon's current pool.
///
/// - `sources`: each image with its index in the data set, which keys its randomness.
/// - `out[v]` becomes `[batch, 3, size, size]` with the size of view v; allocations are reused.
///
/// The result does not depend on the number of threads.
///
/// # Errors
/// Those of [`ViewGenerator::render`].
pub fn render_batch(
    generator: &dyn ViewGenerator,
    sources: &[(u64, RgbSource<'_>)],
    seed: u64,
    epoch: u64,
    out: &mut Vec<Vec<f32>>,
) -> Result<(), AugmentError> {
    out.resize_with(generator.view_count(), Vec::new);
    out.iter_mut().enumerate().try_for_each(|(view, pixels)| {
        let length = 3 * generator.view_size(view).pow(2);
        pixels.resize(sources.len() * length, 0.0);
        pixels.par_chunks_exact_mut(length).zip(sources).try_for_each(|(out, (image, source))| {
            let key = ViewKey { seed, epoch, image: *image, view: view as u64 };
            generator.render(*source, view, &mut key.rng(), ViewBuffer::Planar(out))
        })
    })
}

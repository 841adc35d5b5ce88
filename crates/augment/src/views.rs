use std::cell::RefCell;

use rayon::prelude::*;

use crate::{
    AugmentError, ColorJitter, CropWindow, GaussianBlur, Grayscale, HorizontalFlip, Image,
    Interpolation, RandomResizedCrop, RgbSource, Solarize, Transform, ViewConfig, ViewKey, ViewRng,
    resize,
};

/// Maps an image to its views.
pub trait ViewGenerator: Send + Sync {
    /// How many views it makes of an image.
    fn view_count(&self) -> usize;

    /// Height and width of every view.
    fn view_size(&self) -> (usize, usize);

    /// Renders view `view` of `source` into `out`: planar RGB `[3, height, width]`, normalised.
    ///
    /// # Errors
    /// A view that does not exist, or a buffer of another length than `3 · height · width`.
    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: &mut [f32],
    ) -> Result<(), AugmentError>;
}

/// The two views of the non-contrastive methods, each with its own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewPair {
    configs: [ViewConfig; 2],
}

thread_local! {
    static IMAGE: RefCell<Image> = RefCell::default();
}

impl ViewPair {
    /// Two views of the same size.
    ///
    /// # Errors
    /// As [`ViewConfig::validate`], or two different sizes.
    pub fn new(first: ViewConfig, second: ViewConfig) -> Result<Self, AugmentError> {
        first.validate()?;
        second.validate()?;
        if first.size != second.size {
            let reason =
                format!("both views must have one size, not {} and {}", first.size, second.size);
            return Err(AugmentError::Config { field: "size", reason });
        }
        Ok(Self { configs: [first, second] })
    }

    /// The pair of BYOL and Barlow Twins (Grill et al., 2020, appendix B; Zbontar et al., 2021,
    /// section 2.2): blur always in the first view and rarely in the second, solarisation in the
    /// second only.
    ///
    /// # Errors
    /// A size of 0 or above 4096, or statistics that cannot normalise.
    pub fn byol(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let first = ViewConfig { size, mean, std, ..ViewConfig::default() };
        let second =
            ViewConfig { blur_probability: 0.1, solarize_probability: 0.2, ..first.clone() };
        Self::new(first, second)
    }

    /// The same pair without blur, as the CIFAR recipes have it.
    ///
    /// # Errors
    /// As [`byol`](Self::byol).
    pub fn cifar(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let [first, second] = Self::byol(size, mean, std)?.configs;
        Self::new(
            ViewConfig { blur_probability: 0.0, ..first },
            ViewConfig { blur_probability: 0.0, ..second },
        )
    }

    /// The settings of both views.
    pub fn configs(&self) -> &[ViewConfig; 2] {
        &self.configs
    }
}

impl ViewGenerator for ViewPair {
    fn view_count(&self) -> usize {
        2
    }

    fn view_size(&self) -> (usize, usize) {
        let size = self.configs[0].size as usize;
        (size, size)
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: &mut [f32],
    ) -> Result<(), AugmentError> {
        let config = self.configs.get(view).ok_or(AugmentError::View { view, count: 2 })?;
        IMAGE.with_borrow_mut(|image| {
            config.augment(source, rng, image);
            normalize(image, config.mean, config.std, out)
        })
    }
}

impl ViewConfig {
    /// Crop, flip, jitter, grayscale, blur, solarise: everything but the normalisation.
    fn augment(&self, source: RgbSource<'_>, rng: &mut ViewRng, image: &mut Image) {
        let size = self.size as usize;
        let crop = RandomResizedCrop { scale: self.crop_scale, ratio: self.crop_ratio };
        let window = crop.sample(source.width(), source.height(), rng);
        resize(source, window, size, size, self.interpolation, image);
        HorizontalFlip { probability: self.flip_probability }.apply(image, rng);
        ColorJitter {
            probability: self.jitter_probability,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
        }
        .apply(image, rng);
        Grayscale { probability: self.grayscale_probability }.apply(image, rng);
        GaussianBlur { probability: self.blur_probability, sigma: self.blur_sigma }
            .apply(image, rng);
        Solarize { probability: self.solarize_probability, threshold: self.solarize_threshold }
            .apply(image, rng);
    }
}

/// An image as evaluation sees it: no randomness, the whole picture.
///
/// The largest central square is resized (bilinear, antialiased) to the view's side; an image that
/// has the size already is only normalised.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainView {
    size: u32,
    mean: [f32; 3],
    std: [f32; 3],
}

impl PlainView {
    /// Square views of `size` pixels.
    ///
    /// # Errors
    /// A size of 0 or above 4096, or statistics that cannot normalise.
    pub fn new(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        ViewConfig { size, mean, std, ..ViewConfig::default() }.validate()?;
        Ok(Self { size, mean, std })
    }
}

impl ViewGenerator for PlainView {
    fn view_count(&self) -> usize {
        1
    }

    fn view_size(&self) -> (usize, usize) {
        (self.size as usize, self.size as usize)
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        _: &mut ViewRng,
        out: &mut [f32],
    ) -> Result<(), AugmentError> {
        if view > 0 {
            return Err(AugmentError::View { view, count: 1 });
        }
        let (width, height) = (source.width(), source.height());
        let side = width.min(height);
        let window =
            CropWindow { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side };
        let size = self.size as usize;
        IMAGE.with_borrow_mut(|image| {
            resize(source, window, size, size, Interpolation::Bilinear, image);
            normalize(image, self.mean, self.std, out)
        })
    }
}

fn normalize(
    image: &Image,
    mean: [f32; 3],
    std: [f32; 3],
    out: &mut [f32],
) -> Result<(), AugmentError> {
    let expected = image.data().len();
    if out.len() != expected {
        return Err(AugmentError::Length { what: "the view buffer", found: out.len(), expected });
    }
    let planes = image.planes();
    for (c, to) in out.chunks_exact_mut(expected / 3).enumerate() {
        let (mean, scale) = (mean[c], 1.0 / std[c]);
        for (to, from) in to.iter_mut().zip(planes[c]) {
            *to = (from - mean) * scale;
        }
    }
    Ok(())
}

/// All views of a batch, in parallel over the images on rayon's current pool.
///
/// - `sources`: each image with its index in the data set, which keys its randomness.
/// - `out[v]` becomes `[batch, 3, height, width]`; allocations are reused.
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
    let (height, width) = generator.view_size();
    let length = 3 * height * width;
    out.resize_with(generator.view_count(), Vec::new);
    out.iter_mut().enumerate().try_for_each(|(view, pixels)| {
        pixels.resize(sources.len() * length, 0.0);
        pixels.par_chunks_exact_mut(length).zip(sources).try_for_each(|(out, (image, source))| {
            let key = ViewKey { seed, epoch, image: *image, view: view as u64 };
            generator.render(*source, view, &mut key.rng(), out)
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MEAN: [f32; 3] = [0.5; 3];
    const STD: [f32; 3] = [0.25; 3];

    fn noise(width: u32, height: u32) -> Vec<u8> {
        (0..3 * width * height).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
    }

    fn batch(pair: &ViewPair, threads: usize) -> Vec<Vec<f32>> {
        let pixels = noise(20, 16);
        let source = RgbSource::new(&pixels, 20, 16).unwrap();
        let sources: Vec<_> = (0..9).map(|i| (i, source)).collect();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut out = Vec::new();
        pool.install(|| render_batch(pair, &sources, 5, 1, &mut out)).unwrap();
        out
    }

    #[test]
    fn a_batch_is_the_same_on_one_and_on_three_threads() {
        let pair = ViewPair::byol(12, MEAN, STD).unwrap();
        let one = batch(&pair, 1);
        assert_eq!(one, batch(&pair, 3));
        assert_eq!((one.len(), one[0].len()), (2, 9 * 3 * 12 * 12));
        // Views of one image differ, and so do images with the same pixels.
        assert_ne!(one[0][..432], one[1][..432]);
        assert_ne!(one[0][..432], one[0][432..864]);
    }

    #[test]
    fn the_pairs_are_asymmetric_as_published() {
        let pair = ViewPair::byol(32, MEAN, STD).unwrap();
        let [a, b] = pair.configs();
        assert_eq!((a.blur_probability, b.blur_probability), (1.0, 0.1));
        assert_eq!((a.solarize_probability, b.solarize_probability), (0.0, 0.2));
        let cifar = ViewPair::cifar(32, MEAN, STD).unwrap();
        assert!(cifar.configs().iter().all(|c| c.blur_probability == 0.0));
        assert_eq!(cifar.configs()[1].solarize_probability, 0.2);
    }

    #[test]
    fn without_any_chance_a_view_is_the_normalised_image() {
        let still = ViewConfig {
            size: 8,
            crop_scale: [1.0, 1.0],
            crop_ratio: [1.0, 1.0],
            flip_probability: 0.0,
            jitter_probability: 0.0,
            grayscale_probability: 0.0,
            blur_probability: 0.0,
            mean: MEAN,
            std: STD,
            ..ViewConfig::default()
        };
        let pair = ViewPair::new(still.clone(), still).unwrap();
        let pixels = noise(8, 8);
        let source = RgbSource::new(&pixels, 8, 8).unwrap();
        let key = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 };
        let (mut view, mut plain) = (vec![0.0; 192], vec![0.0; 192]);
        pair.render(source, 0, &mut key.rng(), &mut view).unwrap();
        PlainView::new(8, MEAN, STD)
            .unwrap()
            .render(source, 0, &mut key.rng(), &mut plain)
            .unwrap();
        let expected = (f32::from(pixels[3]) / 255.0 - 0.5) / 0.25;
        assert!((view[1] - expected).abs() < 1e-5 && (plain[1] - expected).abs() < 1e-5);
    }

    #[test]
    fn wrong_buffers_and_views_are_errors() {
        let pair = ViewPair::cifar(8, MEAN, STD).unwrap();
        let pixels = noise(4, 4);
        let source = RgbSource::new(&pixels, 4, 4).unwrap();
        let mut rng = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 }.rng();
        assert!(pair.render(source, 2, &mut rng, &mut [0.0; 192]).is_err());
        assert!(pair.render(source, 0, &mut rng, &mut [0.0; 191]).is_err());
        assert!(RgbSource::new(&pixels, 4, 5).is_err() && RgbSource::new(&[], 0, 0).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn any_image_and_any_valid_setting_gives_values_in_range(
            (width, height) in (1u32..50, 1u32..50),
            size in 1u32..40,
            low in 0.001f32..1.0,
            ratio in 0.01f32..1.0,
            strength in 0.0f32..10.0,
            hue in 0.0f32..0.5,
            sigma in 0.001f32..100.0,
            seed: u64,
        ) {
            let config = ViewConfig {
                size,
                crop_scale: [low, 1.0],
                crop_ratio: [ratio, 1.0 / ratio],
                jitter_probability: 1.0,
                brightness: strength,
                contrast: strength,
                saturation: strength,
                hue,
                blur_sigma: [0.001, sigma],
                solarize_probability: 0.5,
                mean: [0.0; 3],
                std: [1.0; 3],
                ..ViewConfig::default()
            };
            let bilinear = ViewConfig { interpolation: Interpolation::Bilinear, ..config.clone() };
            let pair = ViewPair::new(config, bilinear).unwrap();
            let pixels = noise(width, height);
            let source = RgbSource::new(&pixels, width, height).unwrap();
            let mut out = Vec::new();
            render_batch(&pair, &[(0, source)], seed, 0, &mut out).unwrap();
            for value in out.iter().flatten() {
                prop_assert!((0.0..=1.0).contains(value), "{value}");
            }
        }
    }
}

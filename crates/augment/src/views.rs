//! Images to views: the trait, and the published pairs and crops behind it.

use std::cell::RefCell;

use crate::buffer::Statistics;
use crate::{
    AugmentError, CropWindow, Image, Interpolation, RgbSource, ViewBuffer, ViewConfig, ViewParams,
    ViewRng, resize,
};

/// Maps an image to its views, which are squares.
pub trait ViewGenerator: Send + Sync {
    /// How many views it makes of an image.
    fn view_count(&self) -> usize;

    /// Height and width of view `view`, in pixels.
    fn view_size(&self, view: usize) -> usize;

    /// Draws view `view` of an image of `width × height` pixels. [`render`](Self::render) makes
    /// this view from a generator of random numbers in the same state.
    ///
    /// # Errors
    /// A view that does not exist.
    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        rng: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError>;

    /// Renders view `view` of `source` into `out`.
    ///
    /// # Errors
    /// A view that does not exist, or a buffer of another length than `3 · size · size`.
    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError>;
}

/// The settings of view `view`.
fn config_of(configs: &[ViewConfig], view: usize) -> Result<&ViewConfig, AugmentError> {
    configs.get(view).ok_or(AugmentError::View { view, count: configs.len() })
}

/// Draws and renders view `view` of the views with these settings.
fn render_one(
    configs: &[ViewConfig],
    source: RgbSource<'_>,
    view: usize,
    rng: &mut ViewRng,
    out: ViewBuffer<'_>,
) -> Result<(), AugmentError> {
    let config = config_of(configs, view)?;
    let params = config.draw(source.width(), source.height(), rng);
    config.render(source, &params, out)
}

/// The two views of the joint-embedding methods, each with its own settings.
#[derive(Debug, Clone, PartialEq)]
pub struct ViewPair {
    configs: [ViewConfig; 2],
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
        let first = published(size, mean, std);
        let second = first.clone().gaussian_blur(0.1, [0.1, 2.0]).solarize(0.2, 128.0 / 255.0);
        Self::new(first, second)
    }

    /// The same pair without blur, as the CIFAR recipes have it.
    ///
    /// # Errors
    /// As [`byol`](Self::byol).
    pub fn cifar(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let [first, second] = Self::byol(size, mean, std)?.configs;
        Self::new(first.gaussian_blur(0.0, [0.1, 2.0]), second.gaussian_blur(0.0, [0.1, 2.0]))
    }

    /// SimCLR's pair (Chen et al., 2020, appendix A) at colour distortion strength 1: twice BYOL's
    /// jitter, and blur in every second view.
    ///
    /// # Errors
    /// As [`byol`](Self::byol).
    pub fn simclr(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let view = published(size, mean, std)
            .color_jitter(0.8, [0.8, 0.8, 0.8, 0.2])
            .gaussian_blur(0.5, [0.1, 2.0]);
        Self::new(view.clone(), view)
    }

    /// MoCo v3's pair for convolutional encoders (Chen et al., 2021, appendix A and its code):
    /// BYOL's, with crops of at least a fifth of the image.
    ///
    /// # Errors
    /// As [`byol`](Self::byol).
    pub fn moco_v3(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let [first, second] = Self::byol(size, mean, std)?.configs;
        let crop = |view: ViewConfig| view.random_resized_crop([0.2, 1.0], [3.0 / 4.0, 4.0 / 3.0]);
        Self::new(crop(first), crop(second))
    }

    /// VICReg's pair (Bardes et al., 2022, appendix C.1): both views alike, blur in every second
    /// and solarisation in every tenth.
    ///
    /// # Errors
    /// As [`byol`](Self::byol).
    pub fn vicreg(size: u32, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let view =
            published(size, mean, std).gaussian_blur(0.5, [0.1, 2.0]).solarize(0.1, 128.0 / 255.0);
        Self::new(view.clone(), view)
    }

    /// The settings of both views.
    pub fn configs(&self) -> &[ViewConfig; 2] {
        &self.configs
    }
}

/// What the published recipes have in common: BYOL's first view.
fn published(size: u32, mean: [f32; 3], std: [f32; 3]) -> ViewConfig {
    ViewConfig::plain(size)
        .random_resized_crop([0.08, 1.0], [3.0 / 4.0, 4.0 / 3.0])
        .horizontal_flip(0.5)
        .color_jitter(0.8, [0.4, 0.4, 0.2, 0.1])
        .grayscale(0.2)
        .gaussian_blur(1.0, [0.1, 2.0])
        .normalize(mean, std)
}

impl ViewGenerator for ViewPair {
    fn view_count(&self) -> usize {
        2
    }

    fn view_size(&self, _: usize) -> usize {
        self.configs[0].size as usize
    }

    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        rng: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError> {
        Ok(config_of(&self.configs, view)?.draw(width, height, rng))
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        render_one(&self.configs, source, view, rng, out)
    }
}

/// Two large views and some small ones (Caron et al., 2020), numbered in that order.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiCrop {
    configs: Vec<ViewConfig>,
}

impl MultiCrop {
    /// The most local views of one image. More are taken for a mistake.
    const MAX_LOCALS: usize = 64;

    /// The two global views and `locals` views with the settings of `local`.
    ///
    /// # Errors
    /// As [`ViewConfig::validate`], or more than 64 local views.
    pub fn new(
        global: [ViewConfig; 2],
        local: &ViewConfig,
        locals: usize,
    ) -> Result<Self, AugmentError> {
        if locals > Self::MAX_LOCALS {
            let reason = format!("{locals} is not allowed, it must be from 0 to 64");
            return Err(AugmentError::Config { field: "locals", reason });
        }
        let configs: Vec<_> =
            global.into_iter().chain(std::iter::repeat_n(local.clone(), locals)).collect();
        configs.iter().try_for_each(ViewConfig::validate)?;
        Ok(Self { configs })
    }

    /// DINO's views (Caron et al., 2021, appendix and code). Two views of 224 pixels see at least
    /// 40 % of the image, and `locals` views of 96 pixels at most that. The first view is always
    /// blurred, the second rarely, and half of the local ones. Only the second is solarised.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn dino(locals: usize, mean: [f32; 3], std: [f32; 3]) -> Result<Self, AugmentError> {
        let ratio = [3.0 / 4.0, 4.0 / 3.0];
        let first = published(224, mean, std).random_resized_crop([0.4, 1.0], ratio);
        let second = first.clone().gaussian_blur(0.1, [0.1, 2.0]).solarize(0.2, 128.0 / 255.0);
        let local = published(96, mean, std)
            .random_resized_crop([0.05, 0.4], ratio)
            .gaussian_blur(0.5, [0.1, 2.0]);
        Self::new([first, second], &local, locals)
    }

    /// The settings of all views.
    pub fn configs(&self) -> &[ViewConfig] {
        &self.configs
    }
}

impl ViewGenerator for MultiCrop {
    fn view_count(&self) -> usize {
        self.configs.len()
    }

    fn view_size(&self, view: usize) -> usize {
        self.configs.get(view).map_or(0, |config| config.size as usize)
    }

    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        rng: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError> {
        Ok(config_of(&self.configs, view)?.draw(width, height, rng))
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        render_one(&self.configs, source, view, rng, out)
    }
}

thread_local! {
    static IMAGE: RefCell<Image> = RefCell::default();
}

/// An image as evaluation sees it: no randomness, the whole picture.
///
/// The largest central square is resized (bilinear, antialiased) to the view's side. An image of
/// that size is only normalised.
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

    fn view_size(&self, _: usize) -> usize {
        self.size as usize
    }

    fn draw(
        &self,
        width: u32,
        height: u32,
        view: usize,
        _: &mut ViewRng,
    ) -> Result<ViewParams, AugmentError> {
        if view > 0 {
            return Err(AugmentError::View { view, count: 1 });
        }
        let side = width.min(height);
        let crop =
            CropWindow { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side };
        Ok(ViewParams {
            crop,
            flip: false,
            jitter: None,
            grayscale: false,
            blur: None,
            solarize: false,
        })
    }

    fn render(
        &self,
        source: RgbSource<'_>,
        view: usize,
        rng: &mut ViewRng,
        out: ViewBuffer<'_>,
    ) -> Result<(), AugmentError> {
        let window = self.draw(source.width(), source.height(), view, rng)?.crop;
        let size = self.size as usize;
        IMAGE.with_borrow_mut(|image| {
            resize(source, window, size, size, Interpolation::Bilinear, image);
            out.write(image, &[], Statistics { mean: self.mean, std: self.std })
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{ViewKey, render_batch};

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
        pair.render(source, 0, &mut key.rng(), ViewBuffer::Planar(&mut view)).unwrap();
        PlainView::new(8, MEAN, STD)
            .unwrap()
            .render(source, 0, &mut key.rng(), ViewBuffer::Planar(&mut plain))
            .unwrap();
        let expected = (f32::from(pixels[3]) / 255.0 - 0.5) / 0.25;
        assert!((view[1] - expected).abs() < 1e-5 && (plain[1] - expected).abs() < 1e-5);
    }

    /// The three forms of one view.
    #[test]
    fn forms_differ_in_order_and_rounding_only() {
        let pair = ViewPair::byol(12, MEAN, STD).unwrap();
        let pixels = noise(20, 16);
        let source = RgbSource::new(&pixels, 20, 16).unwrap();
        for image in 0..20 {
            let key = ViewKey { seed: 0, epoch: 0, image, view: 1 };
            let (mut planar, mut interleaved) = (vec![0.0; 432], vec![0.0; 432]);
            let mut rgb = vec![0; 432];
            for out in [
                ViewBuffer::Planar(&mut planar),
                ViewBuffer::Interleaved(&mut interleaved),
                ViewBuffer::Rgb8(&mut rgb),
            ] {
                pair.render(source, 1, &mut key.rng(), out).unwrap();
            }
            for (i, value) in interleaved.iter().enumerate() {
                let (pixel, channel) = (i / 3, i % 3);
                assert_eq!(planar[channel * 144 + pixel], *value);
                let level = (value * STD[channel] + MEAN[channel]) * 255.0;
                assert!((level - f32::from(rgb[i])).abs() < 0.501, "{level} {}", rgb[i]);
            }
        }
    }

    /// Caron et al., 2021: global crops see at least 40 % of the image, local ones at most that.
    #[test]
    fn dino_has_two_large_views_and_small_ones() {
        let views = MultiCrop::dino(6, MEAN, STD).unwrap();
        assert_eq!(views.view_count(), 8);
        let sizes: Vec<usize> = (0..9).map(|view| views.view_size(view)).collect();
        assert_eq!(sizes, [224, 224, 96, 96, 96, 96, 96, 96, 0]);
        for (i, config) in views.configs().iter().enumerate() {
            for image in 0..50 {
                let mut rng = ViewKey { seed: 0, epoch: 0, image, view: i as u64 }.rng();
                let CropWindow { width, height, .. } = config.draw(400, 400, &mut rng).crop;
                let share = f64::from(width * height) / 160_000.0;
                // Whole pixels: half a percent of the area.
                let allowed = if i < 2 { 0.395..1.01 } else { 0.045..0.405 };
                assert!(allowed.contains(&share), "view {i}: {share}");
            }
        }
        let pixels = noise(20, 16);
        let source = RgbSource::new(&pixels, 20, 16).unwrap();
        let mut out = Vec::new();
        render_batch(&views, &[(0, source)], 0, 0, &mut out).unwrap();
        let lengths: Vec<usize> = out.iter().map(|view| view.len() / 3).collect();
        assert_eq!(lengths[..3], [224 * 224, 224 * 224, 96 * 96]);
        assert!(MultiCrop::dino(65, MEAN, STD).is_err());
    }

    #[test]
    fn recipes_differ_where_their_papers_do() {
        let pair = |make: fn(u32, [f32; 3], [f32; 3]) -> Result<ViewPair, AugmentError>| {
            make(224, MEAN, STD).unwrap().configs().clone()
        };
        let [byol, simclr, moco, vicreg] =
            [ViewPair::byol, ViewPair::simclr, ViewPair::moco_v3, ViewPair::vicreg].map(pair);
        assert_eq!(simclr[0], simclr[1]);
        assert_eq!(vicreg[0], vicreg[1]);
        assert_eq!((simclr[0].brightness, simclr[0].hue), (0.8, 0.2));
        assert_eq!((simclr[0].blur_probability, simclr[0].solarize_probability), (0.5, 0.0));
        assert_eq!((vicreg[0].blur_probability, vicreg[0].solarize_probability), (0.5, 0.1));
        // MoCo v3 is BYOL with larger crops.
        let crop = |view: &ViewConfig| ViewConfig { crop_scale: [0.08, 1.0], ..view.clone() };
        assert_eq!([crop(&moco[0]), crop(&moco[1])], byol);
        assert_eq!(moco[0].crop_scale, [0.2, 1.0]);
    }

    #[test]
    fn what_was_drawn_can_be_read() {
        let config = ViewPair::byol(32, MEAN, STD).unwrap().configs()[1].clone();
        let texts: Vec<String> = (0..200)
            .map(|image| {
                let mut rng = ViewKey { seed: 0, epoch: 0, image, view: 1 }.rng();
                config.draw(100, 80, &mut rng).to_string()
            })
            .collect();
        assert!(texts.iter().all(|text| text.starts_with("crop ")));
        for word in ["flipped", "hue ", "grayscale", "blur σ ", "solarised"] {
            let having = texts.iter().filter(|text| text.contains(word)).count();
            assert!((5..195).contains(&having), "{word}: {having}");
        }
    }

    #[test]
    fn wrong_buffers_and_views_are_errors() {
        let pair = ViewPair::cifar(8, MEAN, STD).unwrap();
        let pixels = noise(4, 4);
        let source = RgbSource::new(&pixels, 4, 4).unwrap();
        let mut rng = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 }.rng();
        let mut render = |view, length| {
            pair.render(source, view, &mut rng, ViewBuffer::Planar(&mut vec![0.0; length]))
        };
        assert!(render(0, 192).is_ok() && render(2, 192).is_err() && render(0, 191).is_err());
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

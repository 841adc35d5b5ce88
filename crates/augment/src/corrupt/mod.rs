//! The fifteen corruptions of ImageNet-C and CIFAR-10-C (Hendrycks & Dietterich, 2019, section 4).
//! They measure the robustness of an encoder.
//!
//! Parameters and semantics are those of the authors' programs `make_cifar_c.py` and
//! `make_imagenet_c.py` (<https://github.com/hendrycks/robustness>), their accidents included.
//! Where a corruption differs, its module says so. `docs/decisions/0009-corruptions.md` has the
//! measured differences.

mod blur;
mod digital;
mod elastic;
mod filter;
mod frost;
mod jpeg;
mod noise;
mod weather;

use std::str::FromStr;

use image::RgbImage;

use crate::{AugmentError, Image, RgbSource, ViewKey, ViewRng};

/// One of the fifteen corruptions.
///
/// ```
/// use image::RgbImage;
/// use selfsame_augment::{Corruption, RgbSource, Severity};
///
/// let photo = RgbImage::from_pixel(32, 32, image::Rgb([200, 40, 90]));
/// let source = RgbSource::try_from(&photo)?;
/// for corruption in Corruption::ALL {
///     for severity in Severity::ALL {
///         let mut rng = corruption.key(severity, 0, 17).rng();
///         let corrupted = corruption.apply(severity, source, &mut rng);
///         assert_eq!(corrupted.dimensions(), (32, 32));
///     }
/// }
/// # Ok::<(), selfsame_augment::AugmentError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Corruption {
    /// Normal noise in every channel.
    GaussianNoise,
    /// Poisson noise, as of few photons.
    ShotNoise,
    /// Values replaced by 0 or 1: salt and pepper in every channel.
    ImpulseNoise,
    /// A disc, as of a lens out of focus.
    DefocusBlur,
    /// Pixels copied from near by, between two Gaussian blurs.
    GlassBlur,
    /// Half a bell along a random direction within 45° of the horizontal.
    MotionBlur,
    /// The mean of the image at several magnifications.
    ZoomBlur,
    /// Flakes that fall, over a whitened image.
    Snow,
    /// Ice crystals blended in. The authors' photographs of frost are not part of this crate. It
    /// draws feathers of ice with the brightness, contrast and tint of those pictures.
    Frost,
    /// A plasma fractal added, and the range restored.
    Fog,
    /// HSV's value raised.
    Brightness,
    /// Blended with the mean of each channel.
    Contrast,
    /// A random affine map and a smooth random displacement.
    ElasticTransform,
    /// Shrunk and enlarged with a box.
    Pixelate,
    /// Through JPEG at a low quality, 4:2:0 as Pillow writes it.
    JpegCompression,
}

/// The paper's four families of corruptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CorruptionFamily {
    /// Gaussian, shot and impulse noise.
    Noise,
    /// Defocus, glass, motion and zoom blur.
    Blur,
    /// Snow, frost, fog and brightness.
    Weather,
    /// Contrast, elastic transform, pixelation and JPEG.
    Digital,
}

impl CorruptionFamily {
    /// In the paper's order.
    pub const ALL: [Self; 4] = [Self::Noise, Self::Blur, Self::Weather, Self::Digital];

    /// The family's name, such as `weather`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Blur => "blur",
            Self::Weather => "weather",
            Self::Digital => "digital",
        }
    }
}

/// How strong a corruption is, from 1 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Severity(u8);

impl Severity {
    /// From the mildest to the strongest.
    pub const ALL: [Self; 5] = [Self(1), Self(2), Self(3), Self(4), Self(5)];

    /// # Errors
    /// A level that is not from 1 to 5.
    pub fn new(level: u8) -> Result<Self, AugmentError> {
        crate::ops::check((1..=5).contains(&level), "severity", level, "from 1 to 5")?;
        Ok(Self(level))
    }

    /// From 1 to 5.
    pub fn level(self) -> u8 {
        self.0
    }
}

impl Corruption {
    /// In the paper's order, the families one after the other.
    pub const ALL: [Self; 15] = [
        Self::GaussianNoise,
        Self::ShotNoise,
        Self::ImpulseNoise,
        Self::DefocusBlur,
        Self::GlassBlur,
        Self::MotionBlur,
        Self::ZoomBlur,
        Self::Snow,
        Self::Frost,
        Self::Fog,
        Self::Brightness,
        Self::Contrast,
        Self::ElasticTransform,
        Self::Pixelate,
        Self::JpegCompression,
    ];

    /// The name of its file in CIFAR-10-C and of its folder in ImageNet-C, such as
    /// `gaussian_noise`.
    pub fn name(self) -> &'static str {
        match self {
            Self::GaussianNoise => "gaussian_noise",
            Self::ShotNoise => "shot_noise",
            Self::ImpulseNoise => "impulse_noise",
            Self::DefocusBlur => "defocus_blur",
            Self::GlassBlur => "glass_blur",
            Self::MotionBlur => "motion_blur",
            Self::ZoomBlur => "zoom_blur",
            Self::Snow => "snow",
            Self::Frost => "frost",
            Self::Fog => "fog",
            Self::Brightness => "brightness",
            Self::Contrast => "contrast",
            Self::ElasticTransform => "elastic_transform",
            Self::Pixelate => "pixelate",
            Self::JpegCompression => "jpeg_compression",
        }
    }

    /// Its family in the paper.
    pub fn family(self) -> CorruptionFamily {
        match self {
            Self::GaussianNoise | Self::ShotNoise | Self::ImpulseNoise => CorruptionFamily::Noise,
            Self::DefocusBlur | Self::GlassBlur | Self::MotionBlur | Self::ZoomBlur => {
                CorruptionFamily::Blur
            }
            Self::Snow | Self::Frost | Self::Fog | Self::Brightness => CorruptionFamily::Weather,
            Self::Contrast | Self::ElasticTransform | Self::Pixelate | Self::JpegCompression => {
                CorruptionFamily::Digital
            }
        }
    }

    /// Whether the result depends on the generator.
    pub fn is_random(self) -> bool {
        !matches!(
            self,
            Self::DefocusBlur
                | Self::ZoomBlur
                | Self::Brightness
                | Self::Contrast
                | Self::Pixelate
                | Self::JpegCompression
        )
    }

    /// The key of this corruption of one image: the corrupted image depends on nothing else. No
    /// view of a training run has such a key, since no run reaches its epoch.
    pub fn key(self, severity: Severity, seed: u64, image: u64) -> ViewKey {
        let view = 5 * self as u64 + u64::from(severity.level() - 1);
        ViewKey { seed, epoch: u64::MAX, image, view }
    }

    /// Corrupts an image of any size.
    ///
    /// Up to 64 pixels on the shorter side the parameters are CIFAR-10-C's, made for 32 pixels.
    /// Above that they are ImageNet-C's, made for 224. Lengths in pixels are multiplied by the
    /// shorter side over 32 or 224, so at these two sizes everything is as published. Values are
    /// cut to whole levels and not rounded, as in the authors' programs.
    ///
    /// Time grows with the number of pixels. For the blurs and the elastic transform of images
    /// beyond 224 pixels it also grows with the kernel.
    pub fn apply(self, severity: Severity, source: RgbSource<'_>, rng: &mut ViewRng) -> RgbImage {
        let strength = Strength::new(severity, source);
        match self {
            Self::Pixelate => return digital::pixelate(source, strength),
            Self::JpegCompression => return jpeg::compress(source, digital::quality(strength)),
            Self::ShotNoise => return noise::shot(source, strength, rng),
            _ => {}
        }
        let mut image = from_source(source);
        match self {
            Self::GaussianNoise => noise::gaussian(&mut image, strength, rng),
            Self::ImpulseNoise => noise::impulse(&mut image, strength, rng),
            Self::DefocusBlur => blur::defocus(&mut image, strength),
            Self::GlassBlur => blur::glass(&mut image, strength, rng),
            Self::MotionBlur => blur::motion(&mut image, strength, rng),
            Self::ZoomBlur => blur::zoom(&mut image, strength),
            Self::Snow => weather::snow(&mut image, strength, rng),
            Self::Frost => frost::frost(&mut image, strength, rng),
            Self::Fog => weather::fog(&mut image, strength, rng),
            Self::Brightness => weather::brightness(&mut image, strength),
            Self::Contrast => digital::contrast(&mut image, strength),
            Self::ElasticTransform => elastic::transform(&mut image, strength, rng),
            Self::ShotNoise | Self::Pixelate | Self::JpegCompression => {}
        }
        to_rgb8(&image)
    }
}

/// Finds a corruption by its [`name`](Corruption::name). `-` may stand for `_`.
impl FromStr for Corruption {
    type Err = AugmentError;

    fn from_str(name: &str) -> Result<Self, AugmentError> {
        let wanted = name.replace('-', "_");
        Self::ALL.into_iter().find(|corruption| corruption.name() == wanted).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            let reason = format!("{name:?} is none of {names}");
            AugmentError::Config { field: "corruption", reason }
        })
    }
}

/// What a severity means for an image of some size.
#[derive(Debug, Clone, Copy)]
struct Strength {
    /// Counted from 0.
    severity: usize,
    /// ImageNet-C's parameters, not CIFAR-10-C's.
    imagenet: bool,
    /// The image's side over the side that the parameters were made for.
    scale: f32,
}

impl Strength {
    fn new(severity: Severity, source: RgbSource<'_>) -> Self {
        let side = source.width().min(source.height());
        let imagenet = side > 64;
        let scale = side as f32 / if imagenet { 224.0 } else { 32.0 };
        Self { severity: usize::from(severity.level() - 1), imagenet, scale }
    }

    /// The value of this severity, from those of CIFAR-10-C or of ImageNet-C.
    fn pick<T: Copy>(self, cifar: [T; 5], imagenet: [T; 5]) -> T {
        (if self.imagenet { imagenet } else { cifar })[self.severity]
    }
}

fn from_source(source: RgbSource<'_>) -> Image {
    let mut image = Image::default();
    image.reset(source.width() as usize, source.height() as usize);
    let [r, g, b] = image.planes_mut();
    for (((r, g), b), rgb) in r.iter_mut().zip(g).zip(b).zip(source.pixels().as_chunks::<3>().0) {
        [*r, *g, *b] = rgb.map(|level| f32::from(level) / 255.0);
    }
    image
}

fn to_rgb8(image: &Image) -> RgbImage {
    let mut out = RgbImage::new(image.width() as u32, image.height() as u32);
    let [r, g, b] = image.planes();
    for (((r, g), b), rgb) in r.iter().zip(g).zip(b).zip(out.as_chunks_mut::<3>().0) {
        *rgb = [cut(*r), cut(*g), cut(*b)];
    }
    out
}

/// The level below, after clamping to `[0, 1]`. A small addition keeps a whole level that f32
/// stores just below itself.
fn cut(value: f32) -> u8 {
    (value * 255.0 + 1e-4) as u8
}

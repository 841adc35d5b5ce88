//! Random views of images on the CPU, for self-supervised learning.
//!
//! Joint-embedding methods learn whatever two random views of an image share, so the views *are*
//! the method's supervision. This crate makes them: random resized crop, flip, colour jitter,
//! grayscale, Gaussian blur, solarise and normalise, with torchvision's semantics. [`ViewPair`] has
//! the published pairs of BYOL, Barlow Twins, SimCLR, MoCo v3 and VICReg, [`MultiCrop`] the many
//! crops of DINO. The crate needs no deep-learning framework. Pixels go in as interleaved RGB8.
//! Views come out in the caller's memory, as planar or interleaved `f32` or as 8-bit images
//! ([`ViewBuffer`]).
//!
//! With the feature `burn`, `ViewConfig::render_on_device` makes the same views of a whole batch on
//! one of Burn's devices.
//!
//! [`Corruption`] has the fifteen corruptions of ImageNet-C and CIFAR-10-C, for measuring
//! robustness.
//!
//! Randomness is counter-based ([`ViewKey`]). A view depends only on the seed, the epoch, the
//! image's index and the view's number. So neither the number of threads nor their timing can
//! change a run.
//!
//! ```
//! use image::RgbImage;
//! use selfsame_augment::{RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair};
//!
//! let photo = RgbImage::from_pixel(40, 30, image::Rgb([200, 40, 90]));
//! let pair = ViewPair::byol(24, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])?;
//! let mut view = vec![0.0; 3 * 24 * 24];
//! let key = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 };
//! pair.render(RgbSource::try_from(&photo)?, 0, &mut key.rng(), ViewBuffer::Planar(&mut view))?;
//! assert!(view.iter().all(|v| v.is_finite()));
//! # Ok::<(), selfsame_augment::AugmentError>(())
//! ```

mod aligned;
mod batch;
mod buffer;
mod config;
mod corrupt;
#[cfg(feature = "burn")]
mod device;
mod error;
mod image_buffer;
mod ops;
mod params;
mod pixels;
mod resample;
mod rng;
mod simd;
mod source;
mod views;

pub use batch::render_batch;
pub use buffer::ViewBuffer;
pub use config::ViewConfig;
pub use corrupt::{Corruption, CorruptionFamily, Severity};
#[cfg(feature = "burn")]
pub use device::images_on_device;
pub use error::AugmentError;
pub use image_buffer::Image;
pub use ops::{
    ColorJitter, CropWindow, GaussianBlur, Grayscale, HorizontalFlip, JitterParams,
    RandomResizedCrop, Solarize,
};
pub use params::ViewParams;
pub use resample::{Interpolation, resize};
pub use rng::{ViewKey, ViewRng};
pub use source::RgbSource;
pub use views::{MultiCrop, PlainView, ViewGenerator, ViewPair};

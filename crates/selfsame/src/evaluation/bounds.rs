//! The number of images for each part of an evaluation. The cost of an image is counted in
//! multiply-adds of the encoder. So the same command uses the same images on every machine.

use selfsame_models::{Architecture, Stem};

use crate::evaluation::judge::Size;
use crate::features::images::PIXEL_SIDE;
use crate::settings::RunConfig;

/// The most images for each part.
#[derive(Debug, Clone, PartialEq)]
pub struct Bounds {
    /// Images for the first figure: k-NN of the trained encoder with the run's k and T.
    pub all: Size,
    /// Images for the table of frozen features, the same for all of its rows.
    pub table: Size,
    /// The side of images whose pixels are features.
    pub pixel_side: u32,
    /// Images for the principal components.
    pub components: usize,
    /// Labelled images to train whole networks.
    pub finetuned: usize,
    /// Test images for the corruptions.
    pub corrupted: usize,
    /// Test images for the augmentations.
    pub augmented: usize,
}

/// Images for the table, for a small encoder.
const TABLE: Size = Size { train: 10_000, test: 5_000 };
/// Training on more labelled images takes many minutes.
const FINETUNED: usize = 10_000;
/// A linear probe of 32×32 pixels alone takes half a minute: it has too many dimensions for a
/// preconditioner.
const QUICK_PIXEL_SIDE: u32 = 16;
const QUICK_COMPONENTS: usize = 2_000;
const CORRUPTED: usize = 2_000;
const AUGMENTED: usize = 1_000;
/// The most multiply-adds of an encoder, for each part. Two cores do about 8·10¹⁰ per second.
const QUICK_ALL: f64 = 2.5e12;
const QUICK_TABLE: f64 = 4e11;
const QUICK_AUGMENTED: f64 = 3e11;
const CORRUPTIONS: f64 = 8e12;
/// Passes of an image: ten augmentations through two encoders, and 75 corruptions through three.
const AUGMENTED_PASSES: f64 = 20.0;
const CORRUPTED_PASSES: f64 = 225.0;
/// No part takes fewer images, for any size of the encoder.
const LEAST: usize = 50;

impl Bounds {
    /// The bounds for the encoder of `config`. Its view size must be set. `quick`: for one minute
    /// on two cores.
    pub fn new(config: &RunConfig, quick: bool) -> Self {
        let cost = multiply_adds(config);
        let affordable = |budget: f64| ((budget / cost) as usize).max(LEAST);
        let split = |images: usize, most: Size| Size {
            train: most.train.min(images - images / 4),
            test: most.test.min(images / 4),
        };
        let unlimited = Size { train: usize::MAX, test: usize::MAX };
        Self {
            all: if quick { split(affordable(QUICK_ALL), unlimited) } else { unlimited },
            table: if quick { split(affordable(QUICK_TABLE), TABLE) } else { TABLE },
            pixel_side: if quick { QUICK_PIXEL_SIDE } else { PIXEL_SIDE },
            components: if quick { QUICK_COMPONENTS } else { usize::MAX },
            finetuned: FINETUNED,
            corrupted: CORRUPTED.min(affordable(CORRUPTIONS / CORRUPTED_PASSES)),
            augmented: match quick {
                true => AUGMENTED.min(affordable(QUICK_AUGMENTED / AUGMENTED_PASSES)),
                false => AUGMENTED,
            },
        }
    }

    /// Up to `limit` images of each split for every part, without a time limit.
    pub fn limit(limit: usize) -> Self {
        let size = Size { train: limit, test: limit };
        Self {
            all: size,
            table: size,
            pixel_side: PIXEL_SIDE,
            components: limit,
            finetuned: limit,
            corrupted: limit.min(CORRUPTED),
            augmented: limit.min(AUGMENTED),
        }
    }
}

/// The approximate number of multiply-adds of the encoder for an image. It starts from the ResNets
/// of base width 64 at 224 pixels (He et al., 2016, table 1) and grows with the area and with the
/// square of the width.
fn multiply_adds(config: &RunConfig) -> f64 {
    let encoder = config.encoder.resnet();
    let at_224 = match encoder.architecture {
        Architecture::ResNet18 => 1.8e9,
        Architecture::ResNet34 => 3.6e9,
        Architecture::ResNet50 => 3.8e9,
    };
    // The stem for large images halves both sides twice.
    let stem = if encoder.stem == Stem::Cifar { 16.0 } else { 1.0 };
    let side = f64::from(config.views.view(0).size) / 224.0;
    let width = encoder.base_width as f64 / 64.0;
    at_224 * stem * side.powi(2) * width.powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Method;

    fn config(size: u32, stem: Stem, base_width: usize) -> RunConfig {
        let mut config = crate::settings::defaults::config(Method::Byol, None);
        config.views.size = Some(size);
        (config.encoder.stem, config.encoder.base_width) = (Some(stem), base_width);
        config
    }

    #[test]
    fn a_small_encoder_sees_all_of_cifar_and_a_large_one_fewer_photographs() {
        let small = Bounds::new(&config(32, Stem::Cifar, 16), true);
        assert!(small.all.train >= 50_000 && small.all.test >= 10_000, "{small:?}");
        assert!(small.table.train <= TABLE.train && small.table.test >= 2_000, "{small:?}");
        let large = Bounds::new(&config(224, Stem::ImageNet, 64), true);
        let Bounds { all, table, .. } = &large;
        assert!((500..3_000).contains(&(all.train + all.test)), "{large:?}");
        assert!(table.train < all.train && table.test < all.test, "{large:?}");
        assert!(large.augmented >= LEAST && large.corrupted >= LEAST, "{large:?}");
    }

    #[test]
    fn only_quick_bounds_the_images_of_the_first_figure() {
        let bounds = Bounds::new(&config(224, Stem::ImageNet, 64), false);
        assert_eq!(bounds.all, Size { train: usize::MAX, test: usize::MAX });
        assert_eq!(bounds.table, TABLE);
        assert_eq!(Bounds::limit(300).table, Size { train: 300, test: 300 });
    }
}

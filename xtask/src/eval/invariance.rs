//! What the encoder has become invariant to.

use std::sync::Arc;

use burn::module::Module;
use selfsame_augment::{RgbSource, View, ViewBuffer, ViewConfig, ViewGenerator, ViewKey};
use selfsame_data::{Factors, ImageDataset, ShapesDataset, Texture};
use selfsame_eval::{Factor, Features, extract, raw_pixels, view_distance};
use selfsame_models::Encoder;

use super::outcome::{AugmentationRow, FactorRow};
use crate::bridge::PlainImages;
use crate::config::RunConfig;
use crate::spread::spread;

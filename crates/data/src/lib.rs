//! Image data sets for self-supervised learning: from files to batches of views.
//!
//! [`open`] turns a data set's name or a folder of images into [`Splits`]; a [`ViewLoader`]
//! shuffles, decodes and augments in background threads while a model trains. Every file is
//! outside input: parsers check before they allocate, an unreadable image in a folder is reported
//! and skipped, and archives cannot write outside their folder.

#[cfg(feature = "burn")]
mod burn_data;
mod catalog;
mod cifar;
mod content;
mod dataset;
mod decode;
mod error;
mod folder;
mod idx;
mod import;
mod loader;
mod packed;
mod positioned;
mod shapes;
mod skipped;
mod subset;

#[cfg(feature = "burn")]
pub use burn_data::{BurnImages, ImageItem, ViewBatcher, ViewTensors};
pub use catalog::{CatalogEntry, Manifest, Source, list, open};
pub use cifar::open_cifar;
pub use content::ContentKey;
pub use dataset::{ImageDataset, InMemory, Splits, channel_statistics};
pub use error::DataError;
pub use folder::{ImageFolder, open_image_folder};
pub use idx::open_idx;
pub use import::{ImportReport, import};
pub use loader::{LoaderConfig, Shard, ViewBatch, ViewLoader, ViewStream};
pub use packed::{PackSettings, PackedImages};
pub use shapes::{Factors, SHAPE_NAMES, ShapesDataset, Texture};
pub use skipped::{Skipped, write_skipped};
pub use subset::{Labels, Subset};

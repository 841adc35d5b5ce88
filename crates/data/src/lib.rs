//! Image data sets for self-supervised learning: from files to batches of views.
//!
//! [`open`] turns a data set's name or a folder of images into [`Splits`]; a [`ViewLoader`]
//! shuffles, decodes and augments in background threads while a model trains. Every file is
//! outside input: parsers check before they allocate, an unreadable image in a folder is reported
//! and skipped, and archives cannot write outside their folder.

mod archive;
#[cfg(feature = "burn")]
mod burn_data;
mod catalog;
mod cifar;
mod columns;
mod content;
mod dataset;
mod decode;
mod detect;
mod download;
mod error;
mod folder;
#[doc(hidden)]
pub mod fuzzing;
mod idx;
mod image_set;
mod import;
mod labels;
mod layout;
mod lists;
mod loader;
mod mat5;
mod packed;
mod parquet;
mod positioned;
mod shapes;
mod shards;
mod skipped;
mod splits;
mod stl10;
mod subset;
mod sums;
mod svhn;
mod tiny_imagenet;
mod verify;
mod web_dataset;

pub use archive::UnpackLimits;
#[cfg(feature = "burn")]
pub use burn_data::{BurnImages, ImageItem, ViewBatcher, ViewTensors};
pub use catalog::{
    CatalogEntry, DatasetInfo, FileFormat, Manifest, ManifestFile, Source, info, list, open,
};
pub use cifar::open_cifar;
pub use content::ContentKey;
pub use dataset::{ImageDataset, InMemory, channel_statistics};
pub use decode::decode_file;
pub use detect::many_images_in;
pub use download::{DownloadEvent, DownloadOptions, DownloadReport, Mirror, download};
pub use error::{DataError, FetchError, FetchFailure};
pub use folder::open_image_folder;
pub use folder::walk::Links;
pub use idx::open_idx;
pub use image_set::{Opening, Reading};
pub use import::{ImportReport, import};
pub use layout::{Layout, PassedOver, Untested};
pub use loader::{DrawnBatch, LoaderConfig, Shard, ViewBatch, ViewLoader, ViewStream};
pub use packed::{PackSettings, PackedImages};
pub use parquet::open_parquet;
pub use shapes::{Factors, SHAPE_NAMES, ShapesDataset, Texture};
pub use skipped::{Skipped, write_skipped};
pub use splits::Splits;
pub use stl10::open_stl10;
pub use subset::{Labels, Subset};
pub use svhn::open_svhn;
pub use tiny_imagenet::open_tiny_imagenet;
pub use verify::{FileCheck, ImageCount, VerifyEvent, VerifyReport, verify};
pub use web_dataset::open_web_dataset;

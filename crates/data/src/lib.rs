//! Image data sets for self-supervised learning: from files to batches of views.
//!
//! [`open`] turns a data set's name or a folder of images into [`Splits`]; a [`ViewLoader`]
//! shuffles, decodes and augments in background threads while a model trains. Every file is
//! outside input: parsers check before they allocate, an unreadable image in a folder is reported
//! and skipped, and archives cannot write outside their folder.

mod archive;
mod catalog;
mod cifar;
mod dataset;
mod decode;
mod download;
mod error;
mod folder;
mod idx;
mod import;
mod loader;
mod shapes;
mod sums;
mod verify;

pub use archive::UnpackLimits;
pub use catalog::{
    CatalogEntry, DatasetInfo, Layout, Manifest, ManifestFile, Source, info, list, open,
};
pub use cifar::open_cifar;
pub use dataset::{ImageDataset, InMemory, Skipped, Splits, Subset, channel_statistics};
pub use download::{DownloadEvent, DownloadOptions, DownloadReport, Mirror, download};
pub use error::{DataError, FetchError, FetchFailure};
pub use folder::{ImageFolder, open_image_folder};
pub use idx::open_idx;
pub use import::{ImportReport, import};
pub use loader::{LoaderConfig, ViewBatch, ViewLoader, ViewStream};
pub use shapes::{Factors, SHAPE_NAMES, ShapesDataset, Texture};
pub use verify::{FileCheck, ImageCount, VerifyEvent, VerifyReport, verify};

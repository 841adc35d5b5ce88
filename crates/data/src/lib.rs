//! Image data sets for self-supervised learning: from files to batches of views.
//!
//! [`open`] turns a data set's name or a folder of images into [`Splits`]. A [`ViewLoader`]
//! shuffles, decodes and augments in background threads while a model trains. Every file is outside
//! input. Parsers check before they allocate, an unreadable image in a folder is reported and
//! skipped, and archives cannot write outside their folder.
//!
//! Imports point downwards: `files` know bytes, `sets` know images, `formats` read files into sets,
//! `catalogue` finds and opens them, and `loading` makes batches.

mod catalogue;
mod decode;
mod error;
mod files;
mod formats;
#[doc(hidden)]
pub mod fuzzing;
mod loading;
mod sets;

pub use catalogue::detect::many_images_in;
pub use catalogue::download::{DownloadEvent, DownloadOptions, DownloadReport, Mirror, download};
pub use catalogue::entries::{CatalogEntry, list};
pub use catalogue::import::{ImportReport, import};
pub use catalogue::info::{DatasetInfo, info};
pub use catalogue::manifest::{Manifest, ManifestFile};
pub use catalogue::open::{Source, open};
pub use catalogue::verify::{FileCheck, ImageCount, VerifyEvent, VerifyReport, verify};
pub use decode::decode_file;
pub use error::{DataError, FetchError, FetchFailure};
pub use files::archive::UnpackLimits;
pub use formats::cifar::open_cifar;
pub use formats::folder::open_image_folder;
pub use formats::idx::open_idx;
pub use formats::parquet::open_parquet;
pub use formats::stl10::open_stl10;
pub use formats::svhn::open_svhn;
pub use formats::tiny_imagenet::open_tiny_imagenet;
pub use formats::web_dataset::open_web_dataset;
#[cfg(feature = "burn")]
pub use loading::burn_data::{BurnImages, ImageItem, ViewBatcher, ViewTensors};
pub use loading::loader::{DrawnBatch, LoaderConfig, Shard, ViewBatch, ViewLoader, ViewStream};
pub use loading::packed::{PackSettings, PackedImages};
pub use sets::content::ContentKey;
pub use sets::dataset::{ImageDataset, InMemory, channel_statistics};
pub use sets::image_set::{Links, Opening, Reading};
pub use sets::layout::{FileFormat, Layout, PassedOver, Untested};
pub use sets::shapes::{Factors, SHAPE_NAMES, ShapesDataset, Texture};
pub use sets::skipped::{Skipped, write_skipped};
pub use sets::splits::Splits;
pub use sets::subset::{Labels, Subset};

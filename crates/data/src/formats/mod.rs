//! One reader for each format that data sets are stored in.

pub(crate) mod cifar;
mod column_major;
pub(crate) mod folder;
pub(crate) mod idx;
mod mat5;
pub(crate) mod parquet;
pub(crate) mod raw_labels;
pub(crate) mod shards;
pub(crate) mod stl10;
pub(crate) mod svhn;
pub(crate) mod tiny_imagenet;
pub(crate) mod web_dataset;

//! Flags for the settings of a run.

use std::path::PathBuf;

use clap::Args;
use selfsame::settings::{Overrides, Precision};

/// The settings that the command line gives, over the defaults.
#[derive(Args, Debug, Clone, Default)]
pub struct SettingsArgs {
    /// Data set: one of `selfsame dataset list` [default: fashion-mini].
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    pub dataset: Option<String>,
    /// A folder of your own images. It may have a sub-folder for each class, train/ and test/ or
    /// val/ with these, images without labels, shards of a WebDataset (.tar, .tar.gz), or Parquet
    /// files. `selfsame dataset inspect DIR` shows what the program finds in it.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Do not follow symbolic links in a folder of images. Leave them out.
    #[arg(long)]
    pub no_follow_links: bool,
    /// Where to compute: flex is the CPU. A build may also have cuda, cuda:N, wgpu and ndarray
    /// (another CPU backend). Several devices train together with cuda:0,cuda:1 [default: flex].
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Number format of convolutions and linear layers: f32, or bf16 with sums and weights in f32
    /// [default: f32].
    #[arg(long, value_name = "f32|bf16")]
    pub precision: Option<Precision>,
    /// A number that fixes initial weights, shuffling and augmentation [default: 0].
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Train on N images only: the first ones of each class, equally many, or the first N if there
    /// are no labels.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Train on this share of the images only, from 0 to 1, drawn evenly from the classes.
    #[arg(long, value_name = "SHARE")]
    pub fraction: Option<f64>,
    /// A recipe: one of `selfsame recipes`.
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// A TOML file with settings: any part of what `selfsame config` prints.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, such as `--set train.epochs=20`. May be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl SettingsArgs {
    /// What was asked for.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            dataset: self.dataset.clone(),
            images: self.images.clone(),
            no_follow_links: self.no_follow_links,
            device: self.device.clone(),
            precision: self.precision,
            seed: self.seed,
            limit: self.limit,
            fraction: self.fraction,
            recipe: self.recipe.clone(),
            config: self.config.clone(),
            set: self.set.clone(),
        }
    }
}

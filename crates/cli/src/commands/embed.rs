//! `selfsame embed`

use std::path::PathBuf;

use clap::Args;
use selfsame::{EmbedOptions, Part, embed};

use crate::Terminal;

/// Features of a folder of images, or of a data set, under the encoder of a run.
///
/// Each image is read once and forgotten, so that a folder may be larger than memory: what is held
/// is its features, one batch of at most 16 MB of pixels, and what the encoder makes of that. How
/// an image is prepared says preprocessing.json in the run's folder.
///
/// FILE.safetensors holds `features` of images × dim (f32) and `labels` (i64, −1 for
/// none); FILE.npy holds the features, and FILE.labels.npy the labels. FILE.txt names the image
/// of each row. Images that cannot be read, and those that training
/// would pass over, have no row; FILE.skipped.jsonl names them.
#[derive(Args)]
pub struct EmbedArgs {
    /// The run's folder.
    run: PathBuf,
    /// A folder of images.
    #[arg(long, value_name = "DIR", required_unless_present = "dataset")]
    images: Option<PathBuf>,
    /// Leave out symbolic links in the folder.
    #[arg(long)]
    no_follow_links: bool,
    /// A data set instead.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Which part of it, where there are two.
    #[arg(long, value_parser = ["train", "test", "all"], default_value = "all")]
    split: String,
    /// Where to: a name that ends in .safetensors or .npy.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Another weight file than the run's own.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Writes the features, and says where.
pub fn run(args: &EmbedArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = EmbedOptions {
        run: args.run.clone(),
        images: args.images.clone(),
        follow_links: !args.no_follow_links,
        dataset: args.dataset.clone(),
        part: match args.split.as_str() {
            "train" => Part::Train,
            "test" => Part::Test,
            _ => Part::All,
        },
        out: args.out.clone(),
        weights: args.weights.clone(),
        device: args.device.clone(),
    };
    let done = embed(&options, terminal.observer())?;
    println!("{} images × {} features → {}", done.rows, done.dim, args.out.display());
    Ok(())
}

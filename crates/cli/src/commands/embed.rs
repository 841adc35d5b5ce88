//! `selfsame embed`

use std::path::PathBuf;

use clap::Args;
use selfsame::{EmbedOptions, Part, embed};

use crate::Terminal;

/// Compute the features of images with the encoder of a run.
///
/// Each image is read once and not kept, so a folder may be larger than memory. Memory holds the
/// features, one batch of at most 16 MB of pixels, and the activations of that batch.
/// preprocessing.json in the run's folder says how an image is prepared.
///
/// FILE.safetensors holds `features`, images × dim (f32), and `labels` (i64, −1 for none). FILE.npy
/// holds the features, and FILE.labels.npy the labels. FILE.txt names the image of each row. An
/// image has no row if it cannot be read or training would skip it. FILE.skipped.jsonl names these
/// images.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame embed runs/photos --images my-photos/ --out features.npy
  selfsame embed runs/byol-fashion-mini --dataset fashion-mini --split test --out test.safetensors")]
pub struct EmbedArgs {
    /// The run's folder.
    run: PathBuf,
    /// A folder of images.
    #[arg(long, value_name = "DIR", required_unless_present = "dataset")]
    images: Option<PathBuf>,
    /// Leave out symbolic links in the folder.
    #[arg(long)]
    no_follow_links: bool,
    /// A data set, in place of a folder.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Which split of the images to use, if there are two.
    #[arg(long, value_parser = ["train", "test", "all"], default_value = "all")]
    split: String,
    /// The file to write: .safetensors or .npy.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A weight file, in place of the run's own.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: the device of the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
}

/// Writes the features and prints where they are.
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

//! `selfsame search`

use std::path::PathBuf;

use clap::Args;
use selfsame::{SearchOptions, search};

use crate::Terminal;

/// Find the images most similar to a query image, under the encoder of a run.
///
/// Searches all images of the run's data set, test images too, or those of any folder. The first
/// search computes their features and keeps them in the run's folder. Later searches read no image.
/// You may delete `features/` there.
///
/// Prints a line for each image found: its cosine similarity, from −1 to 1, and its name. An image
/// with the same pixels as the query is left out and named.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame search runs/photos --query photo.jpg
  selfsame search runs/photos --query a.jpg --query b.jpg --images holidays/ --out found.png")]
pub struct SearchArgs {
    /// The run's folder.
    run: PathBuf,
    /// The query image. May be repeated.
    #[arg(long, value_name = "FILE", required = true)]
    query: Vec<PathBuf>,
    /// Search this folder of images [default: the images of the run].
    #[arg(long, value_name = "DIR", conflicts_with = "dataset")]
    images: Option<PathBuf>,
    /// Search this data set.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Number of images to find for each query.
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// Also draw the images found, in a .png file.
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
    /// A weight file, in place of the run's own.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: the device of the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Searches and prints a line for each image found.
pub fn run(args: &SearchArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = SearchOptions {
        run: args.run.clone(),
        queries: args.query.clone(),
        images: args.images.clone(),
        dataset: args.dataset.clone(),
        count: args.count,
        picture: args.out.clone(),
        weights: args.weights.clone(),
        device: args.device.clone(),
    };
    let found = search(&options, terminal.observer())?;
    for of_query in found.iter().filter(|of_query| !of_query.itself.is_empty()) {
        eprintln!("left out, because it is the query itself: {}", of_query.itself.join(", "));
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    for of_query in &found {
        if found.len() > 1 {
            println!("{}", of_query.query.display());
        }
        for near in &of_query.found {
            println!("{:.4}  {}", near.similarity, near.image);
        }
    }
    if let Some(out) = &args.out {
        eprintln!("wrote {}", out.display());
    }
    Ok(())
}

//! `selfsame eval`

use std::path::PathBuf;

use clap::Args;
use selfsame::{EvaluateOptions, evaluate};

use crate::Terminal;

/// Say how good the encoder of a run is, beside what it has to be better than.
///
/// Scores its frozen features on images never trained on: weighted k-NN with the run's k and T and
/// with those chosen on held-out training images, a linear probe, linear probes that know few
/// labels, and k-means; beside raw pixels, their principal components, the untrained encoder, and
/// the same encoder trained on the labels. Then fine-tuning, the fifteen corruptions of CIFAR-10-C,
/// and what the features are invariant to. Test images are looked at once, everything is chosen on
/// training images. Features are kept in the run's folder, the figures go to eval.json and into the
/// run's report.
///
/// The first figure, k-NN of the trained encoder, rests on all images. Of larger sets the rest
/// takes some, evenly over the classes: 10,000 training and 5,000 test images for the table of
/// frozen features, 10,000 labels for training whole networks. With --quick a large encoder sees
/// fewer, as many as it can in some seconds on two cores, and pixels are those of 16×16. All tables
/// say how many. --limit chooses instead.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame eval runs/byol-fashion-mini
  selfsame eval runs/photos --quick                       # below a minute on two cores
  selfsame eval runs/photos --limit 50000                 # every part on so many images
  selfsame eval runs/photos --dataset cifar10 --quick     # transfer to other images
  selfsame eval runs/byol-shapes                          # of shapes, also which factors can be read")]
pub struct EvalArgs {
    /// The run's folder.
    run: PathBuf,
    /// Judge on another data set: probes are trained and tested there, the encoder stays as it is.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Judge on a folder of images with class sub-folders.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Leave out what takes minutes: fine-tuning, the supervised encoder, corruptions.
    #[arg(long)]
    quick: bool,
    /// Use up to N training and N test images, evenly over the classes, for every part, however
    /// long that takes.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// How often what depends on a draw is repeated: few labels, k-means, fine-tuning on few
    /// labels.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// Another weight file than the run's own: a checkpoint, or weights in torchvision's names.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Evaluates, and prints the tables.
pub fn run(args: &EvalArgs, terminal: Terminal) -> anyhow::Result<()> {
    let options = EvaluateOptions {
        run: args.run.clone(),
        dataset: args.dataset.clone(),
        images: args.images.clone(),
        quick: args.quick,
        limit: args.limit,
        seeds: args.seeds,
        weights: args.weights.clone(),
        device: args.device.clone(),
    };
    let found = evaluate(&options, terminal.observer())?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&found.outcome)?);
        return Ok(());
    }
    print!("{}", found.outcome.text());
    if let Some(figures) = &found.figures {
        println!("\n  figures {}", figures.display());
    }
    if let Some(report) = &found.report {
        println!("  report  {}", report.display());
    }
    Ok(())
}

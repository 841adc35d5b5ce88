//! `selfsame eval`

use std::path::PathBuf;

use clap::Args;
use selfsame::{EvaluateOptions, evaluate};

use crate::Terminal;

/// Evaluate the encoder of a run, next to baselines.
///
/// Scores frozen features on images never trained on. The scores: weighted k-NN with the run's
/// number of neighbours k and temperature T, k-NN with k and T chosen on held-out training images,
/// a linear probe, linear probes with few labels, and k-means. The baselines: raw pixels, their
/// principal components, the untrained encoder, and the same encoder trained on the labels. Then
/// come fine-tuning, the fifteen corruptions of CIFAR-10-C, and the invariances of the features.
/// These words are explained in
/// https://github.com/selfsame-rs/selfsame/blob/main/docs/TERMS.md
///
/// Every choice is made on training images. Test images are used once. Features are kept in the
/// run's folder. The figures go to eval.json and into the run's report.
///
/// The first figure, k-NN of the trained encoder, uses all images. The rest uses a part of a large
/// set, evenly over the classes: 10,000 training and 5,000 test images for the table of frozen
/// features, and 10,000 labels to train whole networks. With --quick, a large encoder sees fewer
/// images, and raw pixels are reduced to 16×16. Each table states its number of images. --limit
/// sets the number.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame eval runs/byol-fashion-mini
  selfsame eval runs/photos --quick                       # below a minute on two cores
  selfsame eval runs/photos --limit 50000                 # every part on so many images
  selfsame eval runs/photos --dataset cifar10 --quick     # transfer to other images
  selfsame eval runs/byol-shapes                          # on shapes: also which factors can be read")]
pub struct EvalArgs {
    /// The run's folder.
    run: PathBuf,
    /// Evaluate on another data set. Probes are trained and tested there. The encoder does not
    /// change.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Evaluate on a folder of images with a sub-folder per class.
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Leave out the parts that take minutes: fine-tuning, the supervised encoder, corruptions.
    #[arg(long)]
    quick: bool,
    /// Use up to N training and N test images for every part, evenly over the classes. This
    /// may take long.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Repetitions of each part that depends on a random draw: few labels, k-means, fine-tuning on
    /// few labels.
    #[arg(long, value_name = "N", default_value_t = 3)]
    seeds: u64,
    /// A weight file, in place of the run's own: a checkpoint, or weights with torchvision's names.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: the device of the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Evaluates and prints the tables.
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

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::config::RunConfig;
use crate::evaluate::Judge;
use crate::run_folder::CONFIG;
use crate::usage::usage;
use crate::weights::load_encoder;

/// Score the encoder of a run: k-NN, linear probe, collapse signals, beside the raw pixels.
#[derive(Args)]
pub struct EvalArgs {
    /// The run's folder.
    run: PathBuf,
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

pub fn run(args: &EvalArgs) -> anyhow::Result<()> {
    let mut config = run_config(&args.run)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let device = crate::device::parse(&config.device)?;
    let encoder = load_encoder(&args.run, &config, args.weights.as_deref(), &device)?;
    let data = crate::data::open(&mut config)?;
    let judge = Judge::new(&config, &data, &device)?;
    let features = judge.features(&encoder)?;
    let evaluation = judge.evaluate(&features, true)?;
    let pixels = judge.pixels()?;
    if args.json {
        let mut out = serde_json::to_value(evaluation)?;
        out["knn_top1_pixels"] = json!(pixels);
        out["dataset"] = json!(data.name);
        println!("{}", serde_json::to_string_pretty(&out)?);
        return Ok(());
    }
    let percent = |v: Option<f64>| v.map_or("–".into(), |v| format!("{:.2} %", 100.0 * v));
    println!("{} on {}, {} images", args.run.display(), data.name, evaluation.test_images);
    println!("  k-NN top-1              {}", percent(evaluation.knn_top1));
    println!("  k-NN top-1, raw pixels  {}", percent(pixels));
    println!("  linear probe top-1      {}", percent(evaluation.linear_top1));
    println!("  feature std             {:.3} (0 collapsed, 1 spread)", evaluation.collapse.std);
    println!(
        "  effective rank          {:.1} ({:.0} %)",
        evaluation.collapse.effective_rank,
        100.0 * evaluation.collapse.effective_rank_share
    );
    Ok(())
}

/// The settings of the run in `folder`.
pub fn run_config(folder: &std::path::Path) -> anyhow::Result<RunConfig> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Err(usage(format!(
            "{} is not the folder of a run: it has no {CONFIG}",
            folder.display()
        )));
    }
    RunConfig::read(&path)
}

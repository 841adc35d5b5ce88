use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use selfsame_data::{InMemory, decode_file, open};
use selfsame_eval::{extract, nearest};
use serde_json::json;

use crate::bridge::PlainImages;
use crate::config::images_at;
use crate::data::{datasets_root, readable, say_left_out, settle_views};
use crate::eval::run_config;
use crate::feature_cache::FeatureCache;
use crate::gallery::{Row, sheet};
use crate::joined::Joined;
use crate::origin::Origin;
use crate::usage::usage;
use crate::weights::load_encoder;
use crate::words::shown;

/// Find the images that the encoder of a run takes to be most like another one.
///
/// Searches all images of the run's data set, test images too, or those of any folder; their features are computed the first time and
/// kept in the run's folder, so that later searches take a moment. Prints a line for each image found: its cosine
/// similarity, from −1 to 1, and its name.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask search runs/photos --query photo.jpg
  cargo xtask search runs/photos --query a.jpg --query b.jpg --images holidays/ --out found.png")]
pub struct SearchArgs {
    /// The run's folder.
    run: PathBuf,
    /// The image to look for; may be given several times.
    #[arg(long, value_name = "FILE", required = true)]
    query: Vec<PathBuf>,
    /// Search this folder of images [default: the images of the run].
    #[arg(long, value_name = "DIR", conflicts_with = "dataset")]
    images: Option<PathBuf>,
    /// Search a data set.
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// How many images to find for each query.
    #[arg(short = 'k', long, value_name = "N", default_value_t = 10)]
    count: usize,
    /// Also show what was found in a picture: a name that ends in .png.
    #[arg(long, value_name = "FILE.png")]
    out: Option<PathBuf>,
    /// Another weight file than the run's own.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where to compute [default: as the run].
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &SearchArgs) -> anyhow::Result<()> {
    if args.count == 0 {
        return Err(usage("--count: at least 1"));
    }
    let mut config = run_config(&args.run)?;
    // The queries first: a wrong name is said before the work, not after it.
    let queries =
        args.query.iter().map(|path| decode_file(path).map_err(|e| usage(format!("--query: {e}"))));
    let queries = queries.collect::<anyhow::Result<Vec<_>>>()?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let device = crate::device::parse(&config.device)?;
    let encoder = load_encoder(&args.run, &config, args.weights.as_deref(), &device)?;
    let own = args.images.is_none() && args.dataset.is_none();
    if !own {
        config.data.images = args.images.as_deref().map(images_at).transpose()?;
        config.data.dataset.clone_from(&args.dataset);
    }
    let data = open(&config.data.source(), &datasets_root(), config.data.links())?;
    let data = readable(data)?;
    say_left_out(&data, None);
    if own && let Some(difference) = Origin::difference(&args.run, &data) {
        eprintln!("warning: {difference}");
    }
    settle_views(&mut config, &data)?;
    let labels = vec![None; queries.len()];
    let queries = PlainImages::new(Arc::new(InMemory::new(queries, labels, Vec::new())?), &config)?;
    let looked_for = extract(&encoder, &queries, config.eval.batch_size, &device)?;

    let cache = FeatureCache::new(&args.run, &config, &device);
    let mut sets = vec![data.train.clone()];
    sets.extend(data.test.clone());
    let joined = Arc::new(Joined(sets));
    let images = PlainImages::new(joined.clone(), &config)?;
    let bank = cache.features(&encoder, &images)?;
    let found = nearest(&bank, &looked_for, args.count)?;

    let name = |index: usize| match (images.name(index), joined.place(index)) {
        // Only images without a file are called by their number, which train and test images share.
        (name, Some((part, index))) if name.components().count() == 1 => {
            format!("{} {} {index}", data.name, ["train", "test"][part.min(1)])
        }
        (name, _) => shown(&name),
    };
    let mut results = Vec::new();
    for (path, (indices, similarities)) in args.query.iter().zip(found.iter()) {
        let near: Vec<(usize, f32)> =
            indices.iter().zip(similarities).map(|(i, s)| (*i as usize, *s)).collect();
        results.push((path, near));
    }
    if let Some(out) = &args.out {
        let rows = results
            .iter()
            .enumerate()
            .map(|(query, (_, neighbours))| Row { query, neighbours: neighbours.clone() });
        let png = sheet(&rows.collect::<Vec<_>>(), &queries, &images)?;
        std::fs::write(out, png).with_context(|| format!("cannot write {}", out.display()))?;
    }
    if args.json {
        let found = results.iter().map(|(path, near)| {
            let near = near.iter().map(
                |(index, similarity)| json!({"image": name(*index), "similarity": similarity}),
            );
            json!({"query": path, "found": near.collect::<Vec<_>>()})
        });
        println!("{}", serde_json::to_string_pretty(&found.collect::<Vec<_>>())?);
        return Ok(());
    }
    for (path, near) in &results {
        if results.len() > 1 {
            println!("{}", path.display());
        }
        for (index, similarity) in near {
            println!("{similarity:.4}  {}", name(*index));
        }
    }
    if let Some(out) = &args.out {
        eprintln!("a picture of them: {}", out.display());
    }
    Ok(())
}

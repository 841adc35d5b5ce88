use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::Args;
use selfsame_data::{InMemory, Opening, Reading, Skipped, decode_file, open};
use selfsame_eval::{extract, nearest};
use serde_json::json;

use crate::bridge::PlainImages;
use crate::config::images_at;
use crate::data::{datasets_root, say_left_out, settle_views};
use crate::eval::run_config;
use crate::gallery::{Row, sheet};
use crate::joined::Joined;
use crate::origin::Origin;
use crate::search_index;
use crate::streamed::{PixelKey, pixel_key};
use crate::usage::usage;
use crate::weights::load_encoder;
use crate::words::shown;

/// Find the images that the encoder of a run takes to be most like another one.
///
/// Searches all images of the run's data set, test images too, or those of any folder. Their features are computed the
/// first time and kept in the run's folder, so that later searches read no image; `features/` there may be deleted. Prints
/// a line for each image found: its cosine similarity, from −1 to 1, and its name. An image with the same pixels as the
/// query is left out, and named.
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
    let opening = Opening { links: config.data.links(), reading: Reading::Once };
    let mut data = open(&config.data.source(), &datasets_root(), opening)?;
    settle_views(&mut config, &data)?;
    let keys: Vec<PixelKey> = queries.iter().map(pixel_key).collect();
    let labels = vec![None; queries.len()];
    let queries = PlainImages::new(Arc::new(InMemory::new(queries, labels, Vec::new())?), &config)?;
    let looked_for = extract(&encoder, &queries, config.eval.batch_size, &device)?;

    let mut sets = vec![data.train.clone()];
    sets.extend(data.test.clone());
    let joined = Arc::new(Joined(sets));
    let images = PlainImages::new(joined.clone(), &config)?;
    let bank = search_index::features(&args.run, &encoder, &images, &config, &device)?;
    let unreadable = bank.unreadable.iter();
    data.skipped
        .extend(unreadable.map(|(i, why)| Skipped { path: images.name(*i), reason: why.clone() }));
    say_left_out(&data, None);
    anyhow::ensure!(!bank.images.is_empty(), "none of the images can be read");
    if own && let Some(difference) = Origin::difference(&args.run, &data) {
        eprintln!("warning: {difference}");
    }

    let name = |index: usize| match (images.name(index), joined.place(index)) {
        // Only images without a file are called by their number, which train and test images share.
        (name, Some((part, index))) if name.components().count() == 1 => {
            format!("{} {} {index}", data.name, ["train", "test"][part.min(1)])
        }
        (name, _) => shown(&name),
    };
    // A query that lies among the images is no answer to itself.
    let itself: Vec<Vec<usize>> = keys
        .iter()
        .map(|key| (0..bank.pixels.len()).filter(|row| bank.pixels[*row] == *key).collect())
        .collect();
    let more = itself.iter().map(Vec::len).max().unwrap_or(0);
    let found = nearest(&bank.features, &looked_for, args.count.saturating_add(more))?;
    let mut results = Vec::new();
    for ((path, own), (rows, similarities)) in args.query.iter().zip(&itself).zip(found.iter()) {
        let others = rows.iter().map(|row| *row as usize).zip(similarities);
        let others = others.filter(|(row, _)| !own.contains(row)).take(args.count);
        let near: Vec<(usize, f32)> = others.map(|(row, s)| (bank.images[row], *s)).collect();
        let itself: Vec<String> = own.iter().map(|row| name(bank.images[*row])).collect();
        if !itself.is_empty() {
            let same = itself.join(", ");
            eprintln!("left out, since it is the query itself: {same}");
        }
        results.push((path, near, itself));
    }
    if let Some(out) = &args.out {
        let rows = results
            .iter()
            .enumerate()
            .map(|(query, (_, neighbours, _))| Row { query, neighbours: neighbours.clone() });
        let png = sheet(&rows.collect::<Vec<_>>(), &queries, &images)?;
        std::fs::write(out, png).with_context(|| format!("cannot write {}", out.display()))?;
    }
    if args.json {
        let found = results.iter().map(|(path, near, itself)| {
            let near = near.iter().map(
                |(index, similarity)| json!({"image": name(*index), "similarity": similarity}),
            );
            json!({"query": path, "found": near.collect::<Vec<_>>(), "itself": itself})
        });
        println!("{}", serde_json::to_string_pretty(&found.collect::<Vec<_>>())?);
        return Ok(());
    }
    for (path, near, _) in &results {
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

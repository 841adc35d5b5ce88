//! Search for similar images under an encoder.

mod embed;
pub(crate) mod gallery;
mod index;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use gallery::{Row, sheet};
use selfsame_data::{InMemory, Opening, Reading, Skipped, decode_file};
use selfsame_eval::{extract, nearest};
use serde::Serialize;

use crate::evaluation::run_config;
use crate::features::images::PlainImages;
use crate::images::{settle_views, tell_left_out};
use crate::observer::{Observer, Voice};
use crate::settings::images_at;

use crate::built_in;
use crate::error::{Result, usage};
use crate::features::joined::Joined;
use crate::features::streamed::{PixelKey, pixel_key};
use crate::features::weights::load_encoder;
use crate::folder::check_not_of_a_run;
use crate::folder::origin::Origin;
use crate::words::shown;

pub use embed::{EmbedOptions, Embedded, Part, embed};

/// The settings of a search.
#[derive(Debug, Clone)]
pub struct SearchOptions {
    /// The run's folder.
    pub run: PathBuf,
    /// The query images.
    pub queries: Vec<PathBuf>,
    /// Search this folder of images, in place of the images of the run.
    pub images: Option<PathBuf>,
    /// Search this data set.
    pub dataset: Option<String>,
    /// Number of images to find for each query.
    pub count: usize,
    /// Also draw the images found, in a PNG file.
    pub picture: Option<PathBuf>,
    /// A weight file, in place of the run's own.
    pub weights: Option<PathBuf>,
    /// Where to compute, if not on the device of the run.
    pub device: Option<String>,
}

/// The results for a query.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// The query image.
    pub query: PathBuf,
    /// The images most like it, the most similar first.
    pub found: Vec<Neighbour>,
    /// Images with the same pixels as the query. They are left out above.
    pub itself: Vec<String>,
}

/// An image similar to a query.
#[derive(Debug, Clone, Serialize)]
pub struct Neighbour {
    /// Its path, or its number if it has no file.
    pub image: String,
    /// The cosine of the angle between the features, from −1 to 1.
    pub similarity: f32,
}

/// Finds the images most similar to the queries, under the encoder of a run.
///
/// The first search computes the features and keeps them in the run's folder.
///
/// # Errors
/// The folder holds no run; or queries, images, weights or the device cannot be used.
pub fn search(options: &SearchOptions, observer: Arc<dyn Observer>) -> Result<Vec<Found>> {
    Ok(run(options, &Voice::new(observer))?)
}

/// Says now that a file cannot be written later: its folder is not there.
fn check_folder_of(file: &Path) -> anyhow::Result<()> {
    check_not_of_a_run(file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder.filter(|folder| !folder.is_dir()) {
        None => Ok(()),
        Some(folder) => {
            let (file, folder) = (file.display(), folder.display());
            Err(usage(format!("--out {file}: there is no folder {folder}")))
        }
    }
}

fn run(args: &SearchOptions, voice: &Voice) -> anyhow::Result<Vec<Found>> {
    if args.count == 0 {
        return Err(usage("--count: at least 1"));
    }
    if let Some(out) = &args.picture {
        let png = out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        if !png {
            let out = out.display();
            return Err(usage(format!("--out {out}: use a name that ends in .png")));
        }
        check_folder_of(out)?;
        let same = |query: &PathBuf| {
            std::fs::canonicalize(out)
                .is_ok_and(|out| std::fs::canonicalize(query).is_ok_and(|query| query == out))
        };
        if args.queries.iter().any(same) {
            return Err(usage(format!("--out {}: that is a query", out.display())));
        }
    }
    let mut config = run_config(&args.run)?;
    // The queries come first. A wrong name is reported before the work.
    let queries = args
        .queries
        .iter()
        .map(|path| decode_file(path).map_err(|e| usage(format!("--query: {e}"))));
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
    let mut data = built_in::open(&config.data.source(), opening)?;
    settle_views(&mut config, &data)?;
    let keys: Vec<PixelKey> = queries.iter().map(pixel_key).collect();
    let labels = vec![None; queries.len()];
    let queries = PlainImages::new(Arc::new(InMemory::new(queries, labels, Vec::new())?), &config)?;
    let looked_for = extract(&encoder, &queries, config.eval.batch_size, &device)?;

    let mut sets = vec![data.train.clone()];
    sets.extend(data.test.clone());
    let joined = Arc::new(Joined(sets));
    let images = PlainImages::new(joined.clone(), &config)?;
    let bank = index::features(&args.run, &encoder, &images, &config, &device, voice)?;
    let unreadable = bank.unreadable.iter();
    data.skipped
        .extend(unreadable.map(|(i, why)| Skipped { path: images.name(*i), reason: why.clone() }));
    tell_left_out(&data, None, voice);
    anyhow::ensure!(!bank.images.is_empty(), "none of the images can be read");
    if own && let Some(difference) = Origin::difference(&args.run, &data) {
        voice.warn(difference);
    }

    let name = |index: usize| match (images.name(index), joined.place(index)) {
        // Only images without a file go by their number. Training and test images share numbers.
        (name, Some((part, index))) if name.components().count() == 1 => {
            format!("{} {} {index}", data.name, ["train", "test"][part.min(1)])
        }
        (name, _) => shown(&name),
    };
    // A query among the images is no answer to itself.
    let itself: Vec<Vec<usize>> = keys
        .iter()
        .map(|key| (0..bank.pixels.len()).filter(|row| bank.pixels[*row] == *key).collect())
        .collect();
    let more = itself.iter().map(Vec::len).max().unwrap_or(0);
    let found = nearest(&bank.features, &looked_for, args.count.saturating_add(more))?;
    let mut results = Vec::new();
    let mut rows = Vec::new();
    let per_query = args.queries.iter().zip(&itself).zip(found.iter());
    for (query, ((path, own), (near, similarities))) in per_query.enumerate() {
        let others = near.iter().map(|row| *row as usize).zip(similarities);
        let others = others.filter(|(row, _)| !own.contains(row)).take(args.count);
        let near: Vec<(usize, f32)> = others.map(|(row, s)| (bank.images[row], *s)).collect();
        let neighbour = |(index, similarity): &(usize, f32)| Neighbour {
            image: name(*index),
            similarity: *similarity,
        };
        results.push(Found {
            query: path.clone(),
            found: near.iter().map(neighbour).collect(),
            itself: own.iter().map(|row| name(bank.images[*row])).collect(),
        });
        rows.push(Row { query, neighbours: near });
    }
    if let Some(out) = &args.picture {
        let png = sheet(&rows, &queries, &images)?;
        std::fs::write(out, png).with_context(|| format!("cannot write {}", out.display()))?;
    }
    Ok(results)
}

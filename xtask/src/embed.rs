use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use npyz::WriterBuilder;
use safetensors::tensor::{Dtype, TensorView};
use selfsame_data::{Links, Opening, Reading, Skipped, Source, Splits, open, write_skipped};
use selfsame_eval::{Features, LabelledImages};

use crate::bridge::PlainImages;
use crate::config::{RunConfig, images_at};
use crate::data::{datasets_root, say_left_out, settle_views};
use crate::eval::run_config;
use crate::preprocessing::Preprocessing;
use crate::streamed::stream;
use crate::usage::usage;
use crate::weights::load_encoder;
use crate::words::{count, shown};

/// Features of a folder of images, or of a data set, under the encoder of a run.
///
/// Each image is read once and forgotten, so that a folder may be larger than memory: what is held is its features, one
/// batch of at most 16 MB of pixels, and what the encoder makes of that. How an image is prepared says preprocessing.json
/// in the run's folder.
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

pub fn run(args: &EmbedArgs) -> anyhow::Result<()> {
    let kind = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["safetensors", "npy"].contains(&kind) {
        let out = args.out.display();
        return Err(usage(format!("--out {out}: a name that ends in .safetensors or .npy")));
    }
    let mut config = run_config(&args.run)?;
    if let Some(device) = &args.device {
        config.device.clone_from(device);
    }
    let device = crate::device::parse(&config.device)?;
    let encoder = load_encoder(&args.run, &config, args.weights.as_deref(), &device)?;
    let source = match (&args.images, &args.dataset) {
        (Some(folder), _) => Source::Folder(images_at(folder)?),
        (None, Some(name)) => Source::Named(name.clone()),
        (None, None) => return Err(usage("embed needs --images or --dataset")),
    };
    let links = if args.no_follow_links { Links::Skip } else { Links::Follow };
    // Which images are held out to test on depends on those that cannot be read.
    let reading = if args.split == "all" { Reading::Once } else { Reading::OnceAsTrained };
    let mut data = open(&source, &datasets_root(), Opening { links, reading })?;
    // The run's statistics, not those of the new images: the encoder knows no others.
    settle_views(&mut config, &data)?;
    let mut sets = Vec::new();
    if args.split != "test" {
        sets.push(PlainImages::new(data.train.clone(), &config)?);
    }
    if let Some(test) = data.test.as_ref().filter(|_| args.split != "train") {
        sets.push(PlainImages::new(test.clone(), &config)?);
    }
    anyhow::ensure!(!sets.is_empty(), "{} has no test split", data.name);

    let (mut values, mut labels, mut names) = (Vec::new(), Vec::new(), String::new());
    let mut dim = 0;
    for set in &sets {
        let found = stream(&encoder, set, config.eval.batch_size, &device, "features")?;
        dim = found.features.dim();
        values.extend_from_slice(found.features.values());
        for index in found.images {
            labels.push(set.label(index).map_or(-1, i64::from));
            names += &shown(&set.name(index));
            names.push('\n');
        }
        let unreadable = found.unreadable.into_iter();
        data.skipped
            .extend(unreadable.map(|(index, reason)| Skipped { path: set.name(index), reason }));
    }
    if labels.is_empty() {
        say_left_out(&data, None);
        anyhow::bail!("none of the images can be read");
    }
    let features = Features::new(values, labels.len(), dim)?;
    write(&args.out, kind, &features, &labels, &config)?;
    let list = args.out.with_extension("txt");
    std::fs::write(&list, names).with_context(|| format!("cannot write {}", list.display()))?;
    list_left_out(&data, &args.out)?;
    println!("{} images × {dim} features → {}", features.rows(), args.out.display());
    Ok(())
}

/// The images that have no row, which a list beside the features names.
fn list_left_out(data: &Splits, out: &Path) -> anyhow::Result<()> {
    let list = out.with_extension("skipped.jsonl");
    let root = &data.layout.root;
    let mut left_out = data.skipped.clone();
    left_out.extend(data.layout.passed_over.iter().map(|passed| {
        let images = count(passed.images, "image");
        Skipped { path: root.join(&passed.place), reason: format!("{images}: {}", passed.reason) }
    }));
    say_left_out(data, Some(&list));
    if left_out.is_empty() {
        // One of an earlier call would be about other features.
        let _ = std::fs::remove_file(&list);
        return Ok(());
    }
    let context = || format!("cannot write {}", list.display());
    write_skipped(&left_out, File::create(&list).with_context(context)?).with_context(context)?;
    let rows = count(left_out.len(), "line");
    eprintln!("what has no row is in {}: {rows}", list.display());
    Ok(())
}

fn write(
    path: &Path,
    kind: &str,
    features: &Features,
    labels: &[i64],
    config: &RunConfig,
) -> anyhow::Result<()> {
    let context = || format!("cannot write {}", path.display());
    if kind == "npy" {
        let shape = [features.rows() as u64, features.dim() as u64];
        write_npy(path, &shape, features.values()).with_context(context)?;
        let labels_path = path.with_extension("labels.npy");
        return write_npy(&labels_path, &[labels.len() as u64], labels).with_context(context);
    }
    let bytes: Vec<u8> = features.values().iter().flat_map(|v| v.to_le_bytes()).collect();
    let label_bytes: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
    let shape = vec![features.rows(), features.dim()];
    let tensors = [
        ("features", TensorView::new(Dtype::F32, shape, &bytes)?),
        ("labels", TensorView::new(Dtype::I64, vec![labels.len()], &label_bytes)?),
    ];
    let about = serde_json::json!({
        "role": "features", "method": config.method, "preprocessing": Preprocessing::of(config),
    });
    let metadata = [("selfsame".to_owned(), about.to_string())].into();
    std::fs::write(path, safetensors::serialize(tensors, Some(metadata))?).with_context(context)
}

fn write_npy<T: npyz::Serialize + npyz::AutoSerialize + Copy>(
    path: &Path,
    shape: &[u64],
    values: &[T],
) -> std::io::Result<()> {
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(shape)
        .writer(BufWriter::new(File::create(path)?))
        .begin_nd()?;
    writer.extend(values.iter().copied())?;
    writer.finish()
}

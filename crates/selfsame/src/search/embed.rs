//! Writes features of images to a file, for other programs.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use npyz::WriterBuilder;
use safetensors::tensor::{Dtype, TensorView};
use selfsame_data::{Links, Opening, Reading, Skipped, Source, Splits, write_skipped};
use selfsame_eval::{Features, LabelledImages};

use crate::built_in;
use crate::error::{Result, usage};
use crate::evaluation::run_config;
use crate::features::images::PlainImages;
use crate::features::preprocessing::Preprocessing;
use crate::features::streamed::stream;
use crate::features::weights::load_encoder;
use crate::images::{settle_views, tell_left_out};
use crate::observer::{Observer, Voice};
use crate::settings::{RunConfig, images_at};
use crate::words::{count, shown};

/// The settings of `embed`.
#[derive(Debug, Clone)]
pub struct EmbedOptions {
    /// The run's folder.
    pub run: PathBuf,
    /// A folder of images.
    pub images: Option<PathBuf>,
    /// Whether symbolic links in the folder are followed.
    pub follow_links: bool,
    /// A data set, in place of a folder.
    pub dataset: Option<String>,
    /// Which split of the images to use.
    pub part: Part,
    /// The file to write: `.safetensors` or `.npy`.
    pub out: PathBuf,
    /// A weight file, in place of the run's own.
    pub weights: Option<PathBuf>,
    /// Where to compute, if not on the device of the run.
    pub device: Option<String>,
}

/// A split of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Part {
    /// Both splits.
    #[default]
    All,
    /// The training images.
    Train,
    /// The test images.
    Test,
}

/// The result of `embed`.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// One row for each readable image.
    pub rows: usize,
    /// Numbers in a row.
    pub dim: usize,
    /// The list of images without a row, with the reasons, if there are any.
    pub left_out: Option<PathBuf>,
}

/// Writes the features of images under the encoder of a run.
///
/// Each image is read once and not kept, so a folder may be larger than memory. Next to the
/// features are the names of the images (`.txt`) and the images left out (`.skipped.jsonl`).
///
/// # Errors
/// The folder holds no run; the images, the weights or the device cannot be used; or a file cannot
/// be written.
pub fn embed(options: &EmbedOptions, observer: Arc<dyn Observer>) -> Result<Embedded> {
    Ok(run(options, &Voice::new(observer))?)
}

fn run(args: &EmbedOptions, voice: &Voice) -> anyhow::Result<Embedded> {
    let kind = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["safetensors", "npy"].contains(&kind) {
        let out = args.out.display();
        return Err(usage(format!("--out {out}: the name must end in .safetensors or .npy")));
    }
    super::check_folder_of(&args.out)?;
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
    let links = if args.follow_links { Links::Follow } else { Links::Skip };
    // The choice of held-out images depends on the unreadable ones.
    let reading = if args.part == Part::All { Reading::Once } else { Reading::OnceAsTrained };
    let mut data = built_in::open(&source, Opening { links, reading })?;
    // The statistics of the run, not of the new images: the encoder was trained with them.
    settle_views(&mut config, &data)?;
    let mut sets = Vec::new();
    if args.part != Part::Test {
        sets.push(PlainImages::new(data.train.clone(), &config)?);
    }
    if let Some(test) = data.test.as_ref().filter(|_| args.part != Part::Train) {
        sets.push(PlainImages::new(test.clone(), &config)?);
    }
    anyhow::ensure!(!sets.is_empty(), "{} has no test split", data.name);

    let (mut values, mut labels, mut names) = (Vec::new(), Vec::new(), String::new());
    let mut dim = 0;
    for set in &sets {
        let found = stream(&encoder, set, config.eval.batch_size, &device, "features", voice)?;
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
        tell_left_out(&data, None, voice);
        anyhow::bail!("none of the images can be read");
    }
    let features = Features::new(values, labels.len(), dim)?;
    write(&args.out, kind, &features, &labels, &config)?;
    let list = args.out.with_extension("txt");
    std::fs::write(&list, names).with_context(|| format!("cannot write {}", list.display()))?;
    let left_out = list_left_out(&data, &args.out, voice)?;
    Ok(Embedded { rows: features.rows(), dim, left_out })
}

/// Lists the images without a row, in a file next to the features.
fn list_left_out(data: &Splits, out: &Path, voice: &Voice) -> anyhow::Result<Option<PathBuf>> {
    let list = out.with_extension("skipped.jsonl");
    let root = &data.layout.root;
    let mut left_out = data.skipped.clone();
    left_out.extend(data.layout.passed_over.iter().map(|passed| {
        let images = count(passed.images, "image");
        Skipped { path: root.join(&passed.place), reason: format!("{images}: {}", passed.reason) }
    }));
    tell_left_out(data, Some(&list), voice);
    if left_out.is_empty() {
        // A list of an earlier call would belong to other features.
        let _ = std::fs::remove_file(&list);
        return Ok(None);
    }
    let context = || format!("cannot write {}", list.display());
    write_skipped(&left_out, File::create(&list).with_context(context)?).with_context(context)?;
    let rows = count(left_out.len(), "line");
    voice.note(format_args!("images without a row are listed in {}: {rows}", list.display()));
    Ok(Some(list))
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

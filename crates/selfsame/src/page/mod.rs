//! The report of a run: `report.json`, and the page made from it.

mod accuracy;
mod anew;
mod charts;
mod evaluated;
pub mod machine;
mod pictures;
mod tables;
mod usage;
mod views;

use std::cell::{Cell, RefCell};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use burn::module::Module;
use burn::tensor::Device;
use selfsame_data::Splits;
use selfsame_eval::{Features, LabelledImages, extract};
use selfsame_models::Encoder;
use selfsame_report::{Heatmap, RunReport, page};

use crate::error::usage;
use crate::evaluation::checkup::Examination;
use crate::evaluation::doctor::Doctor;
use crate::evaluation::invariance::{AUGMENTATIONS, augmentation_table, augmentations};
use crate::evaluation::judge::{Judge, SplitFeatures};
use crate::evenly::evenly;
use crate::features::cache::FeatureCache;
use crate::features::images::PlainImages;
use crate::folder::judged::Evaluation;
use crate::folder::record::Log;
use crate::folder::summary::Summary;
use crate::folder::{METRICS, NEIGHBOURS, REPORT, REPORT_DATA, RunFolder, check_there};
use crate::folder::{is_written, replace, resume_command, run_name, saved};
use crate::observer::{Unit, Voice};
use crate::page::machine::describe;
use crate::search::gallery::{rows, sheet};
use crate::settings::RunConfig;
use crate::words::count;
use pictures::{GALLERY_TILE, MAP_TILE, Thumbnails, gallery, maps};

pub use anew::report;
pub use evaluated::{Evaluated, evaluate};

/// The most images that galleries draw from.
const BANK: usize = 10_000;
/// Images on a map, and for the invariances.
pub const MAPPED: usize = 1_000;
/// A larger report is damaged or an attack. With a thousand thumbnails, a report has one or two
/// megabytes.
const LARGEST_REPORT: u64 = 256 << 20;
/// The most dimensions of a correlation matrix in a picture.
const DRAWN_DIMENSIONS: usize = 256;

/// The results of a finished run.
pub struct Material<'a> {
    pub folder: &'a RunFolder,
    pub config: &'a RunConfig,
    pub data: &'a Splits,
    pub summary: &'a Summary,
    pub doctor: &'a Doctor,
    pub examination: &'a Examination,
    pub evaluation: &'a Evaluation,
    pub judge: &'a Judge,
    /// The features of the trained encoder in the evaluation.
    pub features: &'a SplitFeatures,
    pub cache: &'a FeatureCache,
    /// Called after each part of the report.
    pub advanced: &'a dyn Fn(),
    pub device: &'a Device,
    /// The command of the run, as typed.
    pub command: Option<&'a str>,
    pub voice: &'a Voice,
}

/// Writes the report's data, its page, and the gallery as a picture. Returns the bytes of the
/// picture.
pub fn write<E: Encoder + Module>(
    material: &Material<'_>,
    untrained: &E,
    trained: &E,
) -> anyhow::Result<Vec<u8>> {
    let Material { folder, config, data, summary, .. } = material;
    let metrics = std::fs::read_to_string(folder.file(METRICS))?;
    let log = Log::parse(&metrics);

    // Features, galleries, maps, accuracies, and each augmentation.
    let (parts, done) = (5 + AUGMENTATIONS.len() as u64, Cell::new(0));
    let progress = RefCell::new(material.voice.brief_tally(Unit::Items));
    let advance = || {
        done.set(done.get() + 1);
        progress.borrow_mut().show("parts of the report", done.get(), Some(parts));
        (material.advanced)();
    };
    let bank = PlainImages::some(&data.train, BANK, config)?;
    let queries = PlainImages::some(data.test.as_ref().unwrap_or(&data.train), MAPPED, config)?;
    let features = |encoder: &E, images: &dyn LabelledImages| {
        extract(encoder, images, config.eval.batch_size, material.device)
    };
    let own = data.test.is_none();
    let of_untrained =
        material.judge.kept_features(untrained, material.cache, "the untrained encoder")?;
    // From the evaluated features, if they cover all images.
    let some = |encoder: &E, known: &SplitFeatures| -> anyhow::Result<[Features; 2]> {
        let of = |all: usize, images: &PlainImages, known: Option<&Features>| match known {
            Some(known) if known.rows() == all => Ok(known.select(&evenly(all, images.len()))),
            _ => features(encoder, images),
        };
        let train = Some(&known.train);
        let queried = data.test.as_ref().map_or(data.train.len(), |test| test.len());
        let of_queries = if own { train } else { known.test.as_ref() };
        Ok([of(queried, &queries, of_queries)?, of(data.train.len(), &bank, train)?])
    };
    let after = some(trained, material.features)?;
    let before = some(untrained, &of_untrained)?;

    advance();
    let near = [rows(&before[0], &before[1], own)?, rows(&after[0], &after[1], own)?];
    let png = sheet(&near[1], &queries, &bank)?;
    folder.write(NEIGHBOURS, &png)?;

    let size = config.views.view(0).size;
    let mut large = Thumbnails::new(&queries, &bank, size, GALLERY_TILE);
    let mut small = Thumbnails::new(&queries, &bank, size, MAP_TILE);
    let caption = neighbours_caption(own);
    let galleries = vec![
        gallery("Before training", caption, &near[0], &mut large)?,
        gallery("After training", caption, &near[1], &mut large)?,
    ];
    let views = views::sheet(config, data, &mut large)?;
    advance();
    let shown = count(queries.len(), if own { "training image" } else { "test image" });
    let drawn = maps(&before[0], &after[0], &shown, &mut small)?;

    advance();
    let accuracy = accuracy::measure(material, &of_untrained)?;
    advance();
    let mut tables = accuracy.tables(material)?;
    let mut invariance = augmentation_table(&augmentations(config, &queries, &|images| {
        let both = [features(untrained, images)?, features(trained, images)?];
        advance();
        Ok(both)
    })?);
    progress.borrow_mut().finish();
    invariance.caption += &format!(" Over {shown}. Bold: lower than before training.");
    tables.push(invariance);

    let report = RunReport {
        title: format!("{} on {}", config.method.title(), summary.dataset),
        name: run_name(folder.path()),
        verdict: Some(tables::verdict(&summary.diagnosis)),
        figures: tables::figures(summary, &accuracy),
        tables,
        charts: charts::charts(material, &log),
        galleries,
        maps: drawn,
        heatmaps: vec![correlation(material.examination)],
        class_names: data.train.class_names().to_vec(),
        views: Some(views),
        sprite: Some(large.sprite()?),
        map_sprite: Some(small.sprite()?),
        command: usage::command(material.command, config, folder),
        snippets: usage::snippets(config),
        settings: toml::to_string(config)?,
        machine: describe(summary.git_commit.as_deref()),
    };
    save(folder.path(), &report)?;
    Ok(png)
}

/// The caption of a gallery. `own`: there are no test images, so the queries are training images.
fn neighbours_caption(own: bool) -> &'static str {
    match own {
        false => {
            "Left: test images, never trained on. Right: the training images nearest to them in the encoder's features."
        }
        true => {
            "Left: training images, for there are no test images. Right: the other training images nearest to them \
             in the encoder's features."
        }
    }
}

/// The cross-correlation of the projections of the two views, for the dimensions in the picture.
fn correlation(examination: &Examination) -> Heatmap {
    let pair = &examination.pair;
    let side = pair.dim.min(DRAWN_DIMENSIONS);
    let rows = pair.cross_correlation.chunks(pair.dim.max(1)).take(side);
    let values = rows.flat_map(|row| row.iter().take(side).copied()).collect();
    let some = match pair.dim > side {
        true => format!(" The first {side} of {} dimensions.", pair.dim),
        false => String::new(),
    };
    Heatmap {
        title: "Cross-correlation of the views".into(),
        caption: format!(
            "Of the projections of two views of the same images, dimension by dimension. A bright \
             diagonal: the views agree. Other bright places: dimensions that repeat each \
             other.{some}"
        ),
        rows: side,
        columns: side,
        values,
    }
}

/// Writes `report.json` and `report.html`.
pub fn save(folder: &Path, report: &RunReport) -> anyhow::Result<()> {
    replace(&folder.join(REPORT_DATA), report.to_json()?.as_bytes())?;
    replace(&folder.join(REPORT), page(report)?.as_bytes())
}

/// The report of the run in `folder`.
pub fn load(folder: &Path) -> anyhow::Result<RunReport> {
    let (path, name) = (folder.join(REPORT_DATA), folder.display());
    check_there(folder)?;
    if !path.exists() && !Summary::read(folder).is_ok_and(|summary| summary.complete()) {
        let Some(config) = saved::settings(folder) else {
            return Err(usage(format!("{name} is not the folder of a run")));
        };
        let what = match is_written(folder) {
            true => "wait for its process".into(),
            false => format!("resume it with `{}`", resume_command(config.method, folder)),
        };
        bail!("the run in {name} is not finished, and its report is made at its end; {what}");
    }
    let reading = || {
        format!(
            "cannot read {}; a run writes it at its end, and runs of earlier versions have none",
            path.display()
        )
    };
    let mut text = String::new();
    let file = std::fs::File::open(&path).with_context(reading)?;
    file.take(LARGEST_REPORT + 1).read_to_string(&mut text).with_context(reading)?;
    let size = text.len() as u64;
    ensure!(size <= LARGEST_REPORT, "{}: larger than {LARGEST_REPORT} bytes", path.display());
    RunReport::from_json(&text).with_context(|| path.display().to_string())
}

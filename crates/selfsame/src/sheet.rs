//! A sheet of random views.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::imageops::{FilterType, overlay, resize};
use image::{ImageFormat, Rgb, RgbImage};
use selfsame_augment::{
    MultiCrop, RgbSource, ViewBuffer, ViewConfig, ViewKey, ViewPair, ViewParams,
};
use selfsame_data::{Links, Source};

use crate::built_in;
use crate::error::{Result, usage};
use crate::settings::images_at;

/// The settings of a sheet.
#[derive(Debug, Clone)]
pub struct SheetOptions {
    /// A folder of images.
    pub images: Option<PathBuf>,
    /// A data set, in place of a folder.
    pub dataset: Option<String>,
    /// The file to write: `.png` for an image, `.html` for a page.
    pub out: PathBuf,
    /// The view recipe.
    pub recipe: ViewRecipe,
    /// Side of a view in pixels. DINO always has 224 and 96.
    pub size: u32,
    /// Number of images, spread over the folder.
    pub count: usize,
    /// Number of draws of the views of each image.
    pub draws: usize,
    /// Seed of the random draws.
    pub seed: u64,
}

/// Published augmentations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewRecipe {
    /// BYOL and Barlow Twins.
    Byol,
    /// The same without blur, for small images.
    Cifar,
    /// SimCLR.
    SimClr,
    /// MoCo v3 for convolutional encoders.
    MocoV3,
    /// VICReg.
    VicReg,
    /// DINO: two global and four local crops.
    Dino,
}

impl ViewRecipe {
    /// All recipes.
    pub const ALL: [Self; 6] =
        [Self::Byol, Self::Cifar, Self::SimClr, Self::MocoV3, Self::VicReg, Self::Dino];

    /// The name on a command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Byol => "byol",
            Self::Cifar => "cifar",
            Self::SimClr => "simclr",
            Self::MocoV3 => "moco-v3",
            Self::VicReg => "vicreg",
            Self::Dino => "dino",
        }
    }
}

/// Draws a sheet of views. Returns the parameters of each view, one per line.
///
/// # Errors
/// An image cannot be read, the sheet has too many views, or the file cannot be written.
pub fn view_sheet(options: &SheetOptions) -> Result<Vec<String>> {
    Ok(run(options)?)
}

/// An image with its views, each with its parameters.
struct Row {
    original: RgbImage,
    views: Vec<(RgbImage, ViewParams)>,
}

/// Pixels between tiles.
const GAP: u32 = 6;
/// The most tiles on a sheet.
const MAX_TILES: usize = 2000;

fn run(args: &SheetOptions) -> anyhow::Result<Vec<String>> {
    let kind = args.out.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if !["png", "html"].contains(&kind) {
        let out = args.out.display();
        return Err(usage(format!("--out {out}: the name must end in .png or .html")));
    }
    let configs = configs(args)?;
    let tiles = args.count.saturating_mul(args.draws).saturating_mul(configs.len());
    if !(1..=MAX_TILES).contains(&tiles) {
        return Err(usage(format!(
            "--count and --draws ask for {tiles} views; a sheet has from 1 to {MAX_TILES}"
        )));
    }
    let source = match (&args.images, &args.dataset) {
        (Some(folder), _) => Source::Folder(images_at(folder)?),
        (None, Some(name)) => Source::Named(name.clone()),
        (None, None) => return Err(usage("give --images DIR or --dataset NAME")),
    };
    let data = built_in::open(&source, Links::Follow)?.train;
    let count = args.count.min(data.len());
    let rows = (0..count)
        .map(|i| {
            let index = i * data.len() / count;
            let image = data.image(index).with_context(|| format!("image {index}"))?;
            row(args, &configs, index as u64, &image)
        })
        .collect::<anyhow::Result<Vec<Row>>>()?;
    let mut lines = Vec::new();
    for (r, row) in rows.iter().enumerate() {
        for (v, (_, params)) in row.views.iter().enumerate() {
            lines.push(format!("row {}, view {}: {params}", r + 1, v + 1));
        }
    }
    let write = |bytes: &[u8]| {
        std::fs::write(&args.out, bytes).with_context(|| format!("writing {}", args.out.display()))
    };
    match kind {
        "png" => write(&png(&sheet(&rows))?)?,
        _ => write(page(args, &rows)?.as_bytes())?,
    }
    Ok(lines)
}

fn configs(args: &SheetOptions) -> anyhow::Result<Vec<ViewConfig>> {
    // Pixels in [0, 1]: normalised pixels are no picture.
    let (mean, std) = ([0.0; 3], [1.0; 3]);
    let pair = match args.recipe {
        ViewRecipe::Byol => ViewPair::byol,
        ViewRecipe::Cifar => ViewPair::cifar,
        ViewRecipe::SimClr => ViewPair::simclr,
        ViewRecipe::MocoV3 => ViewPair::moco_v3,
        ViewRecipe::VicReg => ViewPair::vicreg,
        ViewRecipe::Dino => return Ok(MultiCrop::dino(4, mean, std)?.configs().to_vec()),
    };
    let pair = pair(args.size, mean, std).map_err(|e| usage(format!("--size: {e}")))?;
    Ok(pair.configs().to_vec())
}

fn row(
    args: &SheetOptions,
    configs: &[ViewConfig],
    index: u64,
    image: &RgbImage,
) -> anyhow::Result<Row> {
    let source = RgbSource::try_from(image)?;
    let mut views = Vec::new();
    for epoch in 0..args.draws as u64 {
        for (view, config) in (0..).zip(configs) {
            let key = ViewKey { seed: args.seed, epoch, image: index, view };
            let params = config.draw(source.width(), source.height(), &mut key.rng());
            let mut pixels = RgbImage::new(config.size, config.size);
            config.render(source, &params, ViewBuffer::Rgb8(&mut pixels))?;
            views.push((pixels, params));
        }
    }
    // As high as the first view.
    let height = configs[0].size;
    let width = (u64::from(image.width()) * u64::from(height) / u64::from(image.height())).max(1);
    let width = (width as u32).min(2 * height);
    Ok(Row { original: resize(image, width, height, FilterType::CatmullRom), views })
}

/// The originals are in a column, with their views beside them.
fn sheet(rows: &[Row]) -> RgbImage {
    let first = rows.iter().map(|row| row.original.width()).max().unwrap_or(0);
    let others = rows.iter().map(|row| row.views.iter().map(|(v, _)| v.width() + GAP).sum::<u32>());
    let width = 4 * GAP + first + others.max().unwrap_or(0);
    let height = rows.iter().map(|row| row.original.height() + GAP).sum::<u32>() + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255; 3]));
    let mut y = GAP;
    for row in rows {
        overlay(&mut sheet, &row.original, GAP.into(), y.into());
        let mut x = 4 * GAP + first;
        for (view, _) in &row.views {
            overlay(&mut sheet, view, x.into(), y.into());
            x += view.width() + GAP;
        }
        y += row.original.height() + GAP;
    }
    sheet
}

fn png(image: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    image.write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png)?;
    Ok(bytes)
}

/// A complete page, with the parameters under each view.
fn page(args: &SheetOptions, rows: &[Row]) -> anyhow::Result<String> {
    let title = format!("Views: {}, seed {}", args.recipe.name(), args.seed);
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>\
         body{{font:13px/1.4 system-ui,sans-serif;margin:16px;color:#222;background:#fff}}\
         section{{display:flex;flex-wrap:wrap;gap:12px;padding:12px 0;border-top:1px solid #ddd}}\
         figure{{margin:0;width:min-content;min-width:120px}}\
         figcaption{{color:#555;font-size:11px}}</style><h1>{title}</h1>\n"
    );
    let figure = |page: &mut String, image: &RgbImage, caption: &str| -> anyhow::Result<()> {
        let data = STANDARD.encode(png(image)?);
        writeln!(
            page,
            "<figure><img alt=\"{caption}\" src=\"data:image/png;base64,{data}\">\
             <figcaption>{caption}</figcaption></figure>"
        )?;
        Ok(())
    };
    for row in rows {
        page.push_str("<section>");
        figure(&mut page, &row.original, "the image")?;
        for (view, params) in &row.views {
            figure(&mut page, view, &params.to_string())?;
        }
        page.push_str("</section>\n");
    }
    Ok(page)
}

//! `selfsame augment`

use std::path::PathBuf;

use clap::Args;
use selfsame::{SheetOptions, ViewRecipe, view_sheet};

/// Draw a sheet of random views, to see what a view recipe does to images.
///
/// Every row shows one image and its views. The parameters of each view are printed. In a page,
/// they also stand under the view.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame augment --images my-photos/ --out views.html
  selfsame augment --dataset fashion-mini --recipe simclr --count 4 --draws 2 --out views.png")]
pub struct AugmentArgs {
    /// A folder of images.
    #[arg(long, value_name = "DIR", required_unless_present = "dataset")]
    images: Option<PathBuf>,
    /// A data set, in place of a folder.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// The file to write: .png for an image, .html for a page.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The view recipe: byol (also for Barlow Twins), cifar (without blur, for small images),
    /// simclr, moco-v3, vicreg, or dino (two global and four local crops).
    #[arg(long, value_name = "NAME", value_parser = recipe, default_value = "byol")]
    recipe: ViewRecipe,
    /// Side of a view in pixels. DINO always has 224 and 96.
    #[arg(long, default_value_t = 96, value_name = "PIXELS")]
    size: u32,
    /// Number of images, spread over the folder.
    #[arg(long, default_value_t = 6, value_name = "N")]
    count: usize,
    /// Number of draws of the views of each image.
    #[arg(long, default_value_t = 3, value_name = "N")]
    draws: usize,
    /// Seed of the random draws.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

fn recipe(text: &str) -> Result<ViewRecipe, String> {
    let found = ViewRecipe::ALL.into_iter().find(|recipe| recipe.name() == text);
    let names = ViewRecipe::ALL.map(ViewRecipe::name);
    found.ok_or_else(|| format!("the recipes are {}", names.join(", ")))
}

/// Draws the sheet and prints the parameters of each view.
pub fn run(args: &AugmentArgs) -> anyhow::Result<()> {
    let drawn = view_sheet(&SheetOptions {
        images: args.images.clone(),
        dataset: args.dataset.clone(),
        out: args.out.clone(),
        recipe: args.recipe,
        size: args.size,
        count: args.count,
        draws: args.draws,
        seed: args.seed,
    })?;
    for line in drawn {
        println!("{line}");
    }
    println!("wrote {}", args.out.display());
    Ok(())
}

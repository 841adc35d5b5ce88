//! `selfsame augment`

use std::path::PathBuf;

use clap::Args;
use selfsame::{SheetOptions, ViewRecipe, view_sheet};

/// A sheet of random views of some images, to see what a recipe makes of them.
///
/// Every row shows an image and draws of its views. What was drawn for each view is printed, and
/// stands under the view when FILE is a page.
#[derive(Args)]
pub struct AugmentArgs {
    /// A folder of images.
    #[arg(long, value_name = "DIR", required_unless_present = "dataset")]
    images: Option<PathBuf>,
    /// A data set instead.
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    dataset: Option<String>,
    /// Where to: a name that ends in .png, or in .html for a page.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Whose views: byol (Barlow Twins has the same), cifar (without blur, for small images),
    /// simclr, moco-v3, vicreg, or dino (two global and four local crops).
    #[arg(long, value_name = "METHOD", value_parser = recipe, default_value = "byol")]
    recipe: ViewRecipe,
    /// Side of a view in pixels; DINO's are 224 and 96.
    #[arg(long, default_value_t = 96, value_name = "PIXELS")]
    size: u32,
    /// Images, spread over the folder.
    #[arg(long, default_value_t = 6, value_name = "N")]
    count: usize,
    /// Draws of all views of each image.
    #[arg(long, default_value_t = 3, value_name = "N")]
    draws: usize,
    /// Seed of the draws.
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

fn recipe(text: &str) -> Result<ViewRecipe, String> {
    let found = ViewRecipe::ALL.into_iter().find(|recipe| recipe.name() == text);
    let names = ViewRecipe::ALL.map(ViewRecipe::name);
    found.ok_or_else(|| format!("the recipes are {}", names.join(", ")))
}

/// Draws the sheet, and prints what was drawn.
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

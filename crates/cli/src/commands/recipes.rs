//! `selfsame recipes`

use clap::Args;
use selfsame::settings::{Method, Recipe, recipes};

/// List the recipes: published settings, and our own for small budgets.
#[derive(Args)]
#[command(after_help = "Examples:
  selfsame recipes
  selfsame config byol --recipe cifar10-1000ep
  selfsame pretrain byol --recipe cifar10-1000ep --set train.epochs=100")]
pub struct RecipesArgs {
    /// Only the recipes of this method.
    #[arg(value_parser = Method::parse)]
    method: Option<Method>,
}

/// Prints the names.
pub fn run(args: &RecipesArgs) -> anyhow::Result<()> {
    let mut all = recipes();
    all.retain(|recipe| args.method.is_none_or(|method| method == recipe.method));
    let width = |recipe: &Recipe| recipe.method.name().len() + recipe.name.len();
    let wide = all.iter().map(width).max().unwrap_or(0);
    for recipe in &all {
        let pad = " ".repeat(wide - width(recipe));
        let Recipe { method, name, title, .. } = recipe;
        println!("{} --recipe {name}{pad}  {title}", method.name());
    }
    Ok(())
}

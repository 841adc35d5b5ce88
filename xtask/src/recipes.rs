//! Recipes: partial settings with a name, in `recipes/METHOD-NAME.toml`.

use std::path::PathBuf;

use clap::Args;
use toml::Table;

use crate::config::read_table;
use crate::data::datasets_root;
use crate::methods::Method;
use crate::names;
use crate::usage::usage;

/// List the recipes: settings that were published, and our own for small budgets.
#[derive(Args)]
#[command(after_help = "Examples:
  cargo xtask recipes
  cargo xtask config byol --recipe cifar10-1000ep
  cargo xtask pretrain byol --recipe cifar10-1000ep --set train.epochs=100")]
pub struct RecipesArgs {
    /// Of this method only.
    #[arg(value_parser = Method::parse)]
    method: Option<Method>,
}

/// Beside the data sets' folder.
fn folder() -> PathBuf {
    datasets_root().parent().map(|root| root.join("recipes")).unwrap_or_default()
}

/// Method, name and title of each recipe, by method and name.
fn list() -> anyhow::Result<Vec<(Method, String, String)>> {
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder()) else { return Ok(found) };
    for entry in entries {
        let path = entry?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let Some(stem) = file.strip_suffix(".toml") else { continue };
        let of = |method: &Method| stem.strip_prefix(method.name())?.strip_prefix('-');
        let Some((method, name)) = Method::ALL.iter().find_map(|m| Some((*m, of(m)?))) else {
            continue;
        };
        let text = std::fs::read_to_string(&path)?;
        let first = text.lines().next().unwrap_or_default();
        let title = first.trim_start_matches('#').trim().to_owned();
        found.push((method, name.to_owned(), title));
    }
    found.sort();
    Ok(found)
}

/// The settings of a recipe.
pub fn read(method: Method, name: &str) -> anyhow::Result<Table> {
    let list = list()?;
    let known: Vec<&str> =
        list.iter().filter(|(of, ..)| *of == method).map(|(_, name, _)| &**name).collect();
    let Some(name) = names::meant(name, known.iter().copied()) else {
        return Err(usage(format!(
            "--recipe {name}: there is none of that name for {}; {}there are: {}",
            method.name(),
            names::did_you_mean(name, known.iter().copied()),
            if known.is_empty() { "none at all".into() } else { known.join(", ") }
        )));
    };
    read_table(&folder().join(format!("{}-{name}.toml", method.name())))
}

/// Prints the names.
pub fn run(args: &RecipesArgs) -> anyhow::Result<()> {
    let list = list()?;
    let chosen = list.iter().filter(|(of, ..)| args.method.is_none_or(|method| method == *of));
    let rows: Vec<_> = chosen.collect();
    let wide = rows.iter().map(|(method, name, _)| method.name().len() + name.len()).max();
    for (method, name, title) in &rows {
        let pad = wide.unwrap_or(0) - method.name().len() - name.len();
        println!("{} --recipe {name}{}  {title}", method.name(), " ".repeat(pad));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    #[test]
    fn every_recipe_is_valid_and_says_what_it_is() {
        let list = list().unwrap();
        assert!(list.len() >= 10, "{list:?}");
        for (method, name, title) in list {
            assert!(title.len() > 10, "{name}: no title in the first line");
            let overrides = Overrides { recipe: Some(name.clone()), ..Overrides::default() };
            let config = overrides.resolve(method);
            assert!(config.is_ok(), "{} {name}: {:#}", method.name(), config.unwrap_err());
        }
    }

    #[test]
    fn an_unknown_recipe_names_those_there_are() {
        let error = read(Method::Byol, "nonsense").unwrap_err().to_string();
        assert!(error.contains("nonsense") && error.contains("cifar10"), "{error}");
    }
}

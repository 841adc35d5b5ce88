//! Recipes: named partial settings, built into the program from `recipes/METHOD-NAME.toml`.

use std::path::Path;

use include_dir::{Dir, include_dir};
use toml::Table;

use super::Method;
use super::overrides::parse_table;
use crate::error::usage;
use crate::names;

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/recipes");

/// Published settings, or settings for a budget.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipe {
    /// The method.
    pub method: Method,
    /// The name for `--recipe`.
    pub name: &'static str,
    /// The purpose, in one line.
    pub title: &'static str,
    text: &'static str,
}

/// All recipes, by method and name.
pub fn recipes() -> Vec<Recipe> {
    let mut found: Vec<Recipe> = FILES.files().filter_map(recipe).collect();
    found.sort();
    found
}

fn recipe(file: &'static include_dir::File<'static>) -> Option<Recipe> {
    let stem = file.path().file_name()?.to_str()?.strip_suffix(".toml")?;
    let of = |method: Method| stem.strip_prefix(method.name())?.strip_prefix('-');
    let (method, name) = Method::ALL.into_iter().find_map(|m| Some((m, of(m)?)))?;
    let text = file.contents_utf8()?;
    let title = text.lines().next().unwrap_or_default().trim_start_matches('#').trim();
    Some(Recipe { method, name, title, text })
}

/// The settings of a recipe.
pub(super) fn read(method: Method, name: &str) -> anyhow::Result<Table> {
    let all = recipes();
    let own = all.iter().filter(|recipe| recipe.method == method);
    let known: Vec<&str> = own.clone().map(|recipe| recipe.name).collect();
    let meant = names::meant(name, known.iter().copied());
    let Some(recipe) = own.clone().find(|recipe| Some(recipe.name) == meant) else {
        return Err(usage(format!(
            "--recipe {name}: {} has no such recipe; {}its recipes are: {}",
            method.name(),
            names::did_you_mean(name, known.iter().copied()),
            if known.is_empty() { "none at all".into() } else { known.join(", ") }
        )));
    };
    let origin = format!("the recipe {}", recipe.name);
    parse_table(recipe.text, Path::new(&origin))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    #[test]
    fn every_recipe_is_valid_and_says_what_it_is() {
        let all = recipes();
        assert_eq!(all.len(), FILES.files().count(), "a file is not named after a method");
        for Recipe { method, name, title, .. } in all {
            assert!(title.len() > 10, "{name}: no title in the first line");
            let overrides = Overrides { recipe: Some(name.into()), ..Overrides::default() };
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

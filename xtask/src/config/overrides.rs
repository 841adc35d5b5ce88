//! Where settings come from: defaults, then a recipe, then a TOML file, then flags and `--set`.

use std::path::{Path, PathBuf};

use clap::Args;
use toml::{Table, Value};

use super::RunConfig;
use crate::methods::Method;
use crate::precision::Precision;
use crate::usage::usage;
use crate::{defaults, recipes};

/// Where settings can come from besides the defaults.
#[derive(Args, Debug, Clone, Default)]
pub struct Overrides {
    /// Data set: one of `cargo xtask dataset list` [default: fashion-mini].
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    pub dataset: Option<String>,
    /// Folder of images instead, with class sub-folders or without any label.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
    /// Leave symbolic links in a folder of images out, in place of following them.
    #[arg(long)]
    pub no_follow_links: bool,
    /// Where to compute: flex (CPU), ndarray (CPU), cuda or cuda:N; several that train together as cuda:0,cuda:1.
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// What convolutions and linear layers multiply on a CPU: f32, or bf16 with sums and weights in f32.
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Fixes initial weights, shuffling and augmentation.
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Train on the first N images only, evenly across the classes where there are labels.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Train on a share of the images only, from 0 to 1, drawn evenly from the classes.
    #[arg(long, value_name = "SHARE")]
    pub fraction: Option<f64>,
    /// Settings that have been published or chosen for a budget: one of `cargo xtask recipes`.
    #[arg(long, value_name = "NAME")]
    pub recipe: Option<String>,
    /// Settings in a TOML file, of the form that `cargo xtask config` prints; any part of it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// One setting, such as `--set train.epochs=20`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

impl Overrides {
    /// The settings of a run, checked; nothing has been loaded by then.
    pub fn resolve(&self, method: Method) -> anyhow::Result<RunConfig> {
        let mut flags = Table::new();
        let mut flag = |path: &str, value: Option<Value>| match value {
            Some(value) => insert(&mut flags, path, value),
            None => Ok(()),
        };
        flag("data.dataset", self.dataset.clone().map(Value::String))?;
        let images = self.images.as_ref().map(|p| Value::String(p.display().to_string()));
        flag("data.images", images)?;
        flag("data.follow_links", self.no_follow_links.then_some(Value::Boolean(false)))?;
        flag("device", self.device.clone().map(Value::String))?;
        let precision = self.precision.map(Value::try_from).transpose()?;
        flag("precision", precision)?;
        flag("seed", self.seed.map(|n| integer(n as usize)))?;
        flag("data.limit", self.limit.map(integer))?;
        flag("data.fraction", self.fraction.map(Value::Float))?;
        for assignment in &self.set {
            let (key, value) = assignment
                .split_once('=')
                .ok_or_else(|| usage(format!("--set {assignment}: KEY=VALUE is the form")))?;
            insert(&mut flags, key.trim(), parse_value(value.trim()))?;
        }
        let mut given = match &self.recipe {
            Some(name) => recipes::read(method, name)?,
            None => Table::new(),
        };
        if let Some(path) = &self.config {
            merge(&mut given, read_table(path)?);
        }
        // A folder or a set named here replaces the one of the file, it does not contradict it.
        let named = |key| flags.get("data").is_some_and(|data| data.get(key).is_some());
        if named("images") {
            remove(&mut given, "data", "dataset");
        } else if named("dataset") {
            remove(&mut given, "data", "images");
        }
        merge(&mut given, flags);

        // The defaults depend on what the data are, so the data are looked up first.
        let lookup = |key| given.get("data")?.get(key)?.as_str().map(str::to_owned);
        let dataset = match lookup("images") {
            Some(_) => None,
            None => Some(lookup("dataset").unwrap_or_else(|| defaults::DATASET.to_owned())),
        };
        let defaults = defaults::config(method, dataset.as_deref());
        let mut table = Table::try_from(&defaults)?;
        if dataset.is_none() {
            // A folder replaces the default set, it does not contradict it.
            remove(&mut table, "data", "dataset");
        }
        let batch_size_given = given.get("train").is_some_and(|t| t.get("batch_size").is_some());
        merge(&mut table, given);
        if let Some(other) = table.get("method").and_then(Value::as_str)
            && other != method.name()
        {
            let asked = method.name();
            return Err(usage(format!("the settings are for {other}, and {asked} was asked for")));
        }
        let mut config = RunConfig::parse(table).map_err(|e| usage(format!("settings: {e}")))?;
        config.train.batch_size_given = batch_size_given;
        config.validate()?;
        Ok(config)
    }
}

fn integer(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// TOML, or else a string without its quotes.
fn parse_value(text: &str) -> Value {
    match format!("v = {text}").parse::<Table>() {
        Ok(mut table) => table.remove("v").unwrap_or_else(|| Value::String(text.into())),
        Err(_) => Value::String(text.into()),
    }
}

pub fn read_table(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| usage(format!("cannot read the settings in {}: {e}", path.display())))?;
    text.parse().map_err(|e: toml::de::Error| usage(format!("{}: {e}", path.display())))
}

fn insert(table: &mut Table, path: &str, value: Value) -> anyhow::Result<()> {
    let mut parts: Vec<&str> = path.split('.').collect();
    let Some(last) = parts.pop().filter(|p| !p.is_empty()) else {
        return Err(usage(format!("--set {path}: the key is empty")));
    };
    let mut table = table;
    for part in parts {
        let next = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
        table = next
            .as_table_mut()
            .ok_or_else(|| usage(format!("--set {path}: {part} is a value, not a section")))?;
    }
    table.insert(last.to_owned(), value);
    Ok(())
}

fn remove(table: &mut Table, section: &str, key: &str) {
    if let Some(section) = table.get_mut(section).and_then(Value::as_table_mut) {
        section.remove(key);
    }
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(into)), Value::Table(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

//! Where settings come from: defaults, then a recipe, then a TOML file, then flags and `--set`.

use std::path::{Path, PathBuf};

use selfsame_data::many_images_in;
use toml::{Table, Value};

use super::known::{check, exact};
use super::precision::Precision;
use super::{Method, RunConfig, defaults, recipes};
use crate::error::usage;
use crate::names::meant;
use crate::places::datasets;

/// Where settings can come from besides the defaults.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Data set: one of `selfsame dataset list` [default: fashion-mini].
    pub dataset: Option<String>,
    /// Images of your own: a folder with a sub-folder for each class, with train/ and test/ or val/
    /// in it, or without any sub-folder or label; or with shards of a WebDataset (.tar, .tar.gz) or
    /// Parquet files. `selfsame dataset inspect DIR` shows what is found in one.
    pub images: Option<PathBuf>,
    /// Leave symbolic links in a folder of images out, in place of following them.
    pub no_follow_links: bool,
    /// Where to compute: flex (CPU), ndarray (CPU), cuda or cuda:N; several that train together as
    /// cuda:0,cuda:1.
    pub device: Option<String>,
    /// What convolutions and linear layers multiply on a CPU: f32, or bf16 with sums and weights in
    /// f32.
    pub precision: Option<Precision>,
    /// Fixes initial weights, shuffling and augmentation.
    pub seed: Option<u64>,
    /// Train on the first N images only, evenly across the classes where there are labels.
    pub limit: Option<usize>,
    /// Train on a share of the images only, from 0 to 1, drawn evenly from the classes.
    pub fraction: Option<f64>,
    /// Settings that have been published or chosen for a budget: one of `selfsame recipes`.
    pub recipe: Option<String>,
    /// Settings in a TOML file, of the form that `selfsame config` prints; any part of it.
    pub config: Option<PathBuf>,
    /// One setting, such as `--set train.epochs=20`; may be repeated.
    pub set: Vec<String>,
}

/// What somebody asked for, of the settings of a run of one method; the rest is to come from
/// elsewhere.
pub struct Given {
    method: Method,
    table: Table,
}

impl Overrides {
    /// The settings of a new run, checked; nothing has been loaded by then.
    pub fn resolve(&self, method: Method) -> anyhow::Result<RunConfig> {
        self.given(method)?.fresh()
    }

    /// What is said here, each part over the one before: the recipe, the file, the flags.
    pub fn given(&self, method: Method) -> anyhow::Result<Given> {
        let checked = |table: Table, origin: &dyn std::fmt::Display| match check(&table, method) {
            Ok(()) => Ok(table),
            Err(e) => Err(usage(format!("{origin}: {e}"))),
        };
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
                .ok_or_else(|| usage(format!("--set {assignment}: write it as KEY=VALUE")))?;
            let key = exact(key.trim()).unwrap_or(key.trim());
            insert(&mut flags, key, parse_value(value.trim()))?;
        }
        let flags = checked(flags, &"settings")?;
        let mut table = match &self.recipe {
            Some(name) => recipes::read(method, name)?,
            None => Table::new(),
        };
        if let Some(path) = &self.config {
            merge(&mut table, checked(read_table(path)?, &path.display())?);
        }
        lay_over(&mut table, flags);
        settle_data(&mut table)?;
        Ok(Given { method, table })
    }
}

impl Given {
    /// With the defaults for what is not given.
    pub fn fresh(self) -> anyhow::Result<RunConfig> {
        let Self { method, table: given } = self;
        // They depend on what the data are, so the data are looked up first.
        let dataset = match text(&given, "images") {
            Some(_) => None,
            None => Some(text(&given, "dataset").unwrap_or(defaults::DATASET)),
        };
        let mut table = Table::try_from(defaults::config(method, dataset))?;
        let batch_size_given = given.get("train").is_some_and(|t| t.get("batch_size").is_some());
        lay_over(&mut table, given);
        let mut config = RunConfig::parse(table).map_err(|e| usage(format!("settings: {e}")))?;
        config.train.batch_size_given = batch_size_given;
        config.validate()?;
        Ok(config)
    }

    /// With the settings that the run in `folder` was made with, `own`, for what is not given.
    /// Where this part of the run was to end and on how many threads is not asked of the run: that
    /// was meant for the time before.
    ///
    /// # Errors
    /// A decisive setting that contradicts the run.
    pub fn over(self, own: &RunConfig, folder: &Path) -> anyhow::Result<RunConfig> {
        let folder = folder.display();
        if own.method != self.method {
            let (own, asked) = (own.method.name(), self.method.name());
            return Err(usage(format!("the run in {folder} is one of {own}, not of {asked}")));
        }
        let mut table = Table::try_from(own)?;
        remove(&mut table, "train", "stop_after");
        remove(&mut table, "data", "threads");
        lay_over(&mut table, self.table);
        let mut config = RunConfig::parse(table).map_err(|e| usage(format!("settings: {e}")))?;
        config.train.batch_size_given = true;
        if let Some(what) = own.difference(&config)? {
            return Err(usage(format!(
                "the run in {folder} has {what}; leave that setting out to resume the run, or \
                 start a new run with another --out"
            )));
        }
        // The same folder: by the path that its files were first seen under.
        config.data.images.clone_from(&own.data.images);
        config.validate()?;
        Ok(config)
    }

    /// What the folder of a run is called after besides the method, see `DataConfig::name`.
    pub fn data_name(&self) -> String {
        let mut data = defaults::config(self.method, Some(defaults::DATASET)).data;
        if let Some(name) = text(&self.table, "dataset") {
            data.dataset = Some(name.to_owned());
        }
        data.images = text(&self.table, "images").map(PathBuf::from);
        data.name()
    }
}

/// A setting of the data, where it is given.
fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get("data")?.get(key)?.as_str()
}

/// Puts `given` into `table`. A folder or a set that is named there replaces what stood here, it
/// does not contradict it.
fn lay_over(table: &mut Table, given: Table) {
    if text(&given, "images").is_some() {
        remove(table, "data", "dataset");
    } else if text(&given, "dataset").is_some() {
        remove(table, "data", "images");
    }
    merge(table, given);
}

/// The data's name as it stands in the catalogue, their folder wherever the next command is called
/// from.
fn settle_data(table: &mut Table) -> anyhow::Result<()> {
    if let Some(images) = text(table, "images") {
        let path = images_at(Path::new(images))?;
        insert(table, "data.images", Value::String(path.display().to_string()))?;
    }
    if let Some(name) = text(table, "dataset")
        && let Ok(entries) = selfsame_data::list(&datasets())
        && let Some(known) = meant(name, entries.iter().map(|entry| entry.name.as_str()))
    {
        insert(table, "data.dataset", Value::String(known.to_owned()))?;
    }
    Ok(())
}

/// The whole path of images that were named on the command line: a run is gone on with from
/// anywhere.
///
/// # Errors
/// A single image, where a folder of them is wanted. A shard is many images, and taken.
pub fn images_at(path: &Path) -> anyhow::Result<PathBuf> {
    if path.is_file() {
        many_images_in(path)?;
    }
    if path.to_str().is_none() {
        let path = path.display();
        return Err(usage(format!(
            "{path}: the name is not Unicode, so settings cannot hold it; rename the folder, or \
             link to it"
        )));
    }
    Ok(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
}

fn integer(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// TOML, or else a string without its quotes.
pub fn parse_value(text: &str) -> Value {
    match format!("v = {text}").parse::<Table>() {
        Ok(mut table) => table.remove("v").unwrap_or_else(|| Value::String(text.into())),
        Err(_) => Value::String(text.into()),
    }
}

pub fn read_table(path: &Path) -> anyhow::Result<Table> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| usage(format!("cannot read the settings in {}: {e}", path.display())))?;
    parse_table(&text, path).map_err(|e| usage(e.to_string()))
}

/// TOML; `origin` is for the errors.
pub fn parse_table(text: &str, origin: &Path) -> anyhow::Result<Table> {
    text.parse().map_err(|e: toml::de::Error| {
        let before = e.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let (line, what) = (before.matches('\n').count() + 1, e.message().replace('\n', ", "));
        anyhow::anyhow!("{}, line {line}: this is not TOML: {what}", origin.display())
    })
}

/// Puts a setting in its section.
pub fn insert(table: &mut Table, path: &str, value: Value) -> anyhow::Result<()> {
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

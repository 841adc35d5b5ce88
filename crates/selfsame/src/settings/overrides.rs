//! Where settings come from: defaults, then a recipe, then a TOML file, then flags and `--set`.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use selfsame_data::many_images_in;
use toml::{Table, Value};

use super::known::{check, exact};
use super::precision::Precision;
use super::{Method, RunConfig, defaults, recipes};
use crate::error::usage;
use crate::names::meant;
use crate::places::datasets;

/// Settings that replace the defaults.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Data set: one of `selfsame dataset list` [default: fashion-mini].
    pub dataset: Option<String>,
    /// A folder of your own images. It may have a sub-folder for each class, train/ and test/ or
    /// val/ with these, images without labels, shards of a WebDataset (.tar, .tar.gz), or Parquet
    /// files. `selfsame dataset inspect DIR` shows what the program finds in it.
    pub images: Option<PathBuf>,
    /// Do not follow symbolic links in a folder of images. Leave them out.
    pub no_follow_links: bool,
    /// Where to compute: flex is the CPU. A build may also have cuda, cuda:N, wgpu and ndarray.
    /// Several devices train together with cuda:0,cuda:1.
    pub device: Option<String>,
    /// What convolutions and linear layers multiply: f32, or bf16 with sums and weights in f32.
    pub precision: Option<Precision>,
    /// Fixes initial weights, shuffling and augmentation.
    pub seed: Option<u64>,
    /// Train on the first N images only, evenly across the classes if there are labels.
    pub limit: Option<usize>,
    /// Train on this share of the images only, from 0 to 1, drawn evenly from the classes.
    pub fraction: Option<f64>,
    /// A recipe: one of `selfsame recipes`.
    pub recipe: Option<String>,
    /// A TOML file with settings: any part of what `selfsame config` prints.
    pub config: Option<PathBuf>,
    /// One setting, such as `--set train.epochs=20`. May be repeated.
    pub set: Vec<String>,
}

/// The settings that were asked for, for a run of one method. The rest comes from elsewhere.
pub struct Given {
    method: Method,
    table: Table,
}

impl Overrides {
    /// The settings of a new run, checked before any data are loaded.
    pub fn resolve(&self, method: Method) -> anyhow::Result<RunConfig> {
        self.given(method)?.fresh()
    }

    /// The settings given here. Later parts replace earlier ones: the recipe, the file, the flags.
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
        if self.seed.is_some_and(|seed| seed > MOST_SEED) {
            return Err(usage(format!("--seed: at most {MOST_SEED}")));
        }
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
    /// Adds the defaults for all other settings.
    pub fn fresh(self) -> anyhow::Result<RunConfig> {
        let Self { method, table: given } = self;
        // The defaults depend on the data. So look up the data first.
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

    /// Adds `own`, the settings of the run in `folder`, for all other settings. It does not take
    /// its end or its number of threads: they were for the earlier part of the run.
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
        // The same folder, by its first path.
        config.data.images.clone_from(&own.data.images);
        config.validate()?;
        Ok(config)
    }

    /// The second part of the name of a run's folder, see `DataConfig::name`.
    pub fn data_name(&self) -> String {
        let mut data = defaults::config(self.method, Some(defaults::DATASET)).data;
        if let Some(name) = text(&self.table, "dataset") {
            data.dataset = Some(name.to_owned());
        }
        data.images = text(&self.table, "images").map(PathBuf::from);
        data.name()
    }
}

/// A setting of the data, if it is given.
fn text<'a>(table: &'a Table, key: &str) -> Option<&'a str> {
    table.get("data")?.get(key)?.as_str()
}

/// Puts `given` into `table`. A folder or a set in `given` replaces the one in `table`.
fn lay_over(table: &mut Table, given: Table) {
    if text(&given, "images").is_some() {
        remove(table, "data", "dataset");
    } else if text(&given, "dataset").is_some() {
        remove(table, "data", "images");
    }
    merge(table, given);
}

/// Replaces the name of the data by that in the catalogue, and their folder by its full path.
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

/// The full path of the images on the command line. A run can be resumed from any folder.
///
/// # Errors
/// The path is a single image, not a folder. A shard with many images is accepted.
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

/// The largest seed: TOML has no larger numbers.
pub const MOST_SEED: u64 = i64::MAX as u64;

fn integer(n: usize) -> Value {
    Value::Integer(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A TOML value, or else a string without quotes.
pub fn parse_value(text: &str) -> Value {
    match format!("v = {text}").parse::<Table>() {
        Ok(mut table) => table.remove("v").unwrap_or_else(|| Value::String(text.into())),
        Err(_) => Value::String(text.into()),
    }
}

/// Bytes of the largest file of settings. A real one has a few thousand.
const LARGEST: u64 = 1 << 20;

pub fn read_table(path: &Path) -> anyhow::Result<Table> {
    let unread = |e: &dyn std::fmt::Display| {
        usage(format!("cannot read the settings in {}: {e}", path.display()))
    };
    let (file, mut text) = (File::open(path).map_err(|e| unread(&e))?, String::new());
    // Not without end, as from /dev/zero.
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|e| unread(&e))?;
    if text.len() as u64 > LARGEST {
        return Err(unread(&format!("it has more than {LARGEST} bytes")));
    }
    parse_table(&text, path).map_err(|e| usage(e.to_string()))
}

/// Parses TOML. `origin` is the source in error messages.
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

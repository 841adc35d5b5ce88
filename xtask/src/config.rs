//! The settings of a run: defaults, then a TOML file, then flags and `--set`, then checks.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use selfsame_augment::{Interpolation, ViewConfig};
use selfsame_data::Labels;
use selfsame_eval::{Knn, LinearProbe};
use selfsame_models::{Architecture, ResNetConfig, Stem};
use selfsame_trainers::{AdamW, Lars, OptimizerConfig, Rule, Sgd, TrustRatio};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::data::{DataConfig, LabelBudget};
use crate::hex::hex;
use crate::methods::{Method, MethodConfig};
use crate::precision::Precision;
use crate::usage::usage;
use crate::{defaults, recipes};

/// Print the settings that a run would have, with their meaning.
#[derive(Args)]
pub struct ConfigArgs {
    /// The method.
    #[arg(value_parser = Method::parse)]
    method: Method,
    #[command(flatten)]
    overrides: Overrides,
}

/// Prints the effective settings as TOML with comments.
pub fn run(args: &ConfigArgs) -> anyhow::Result<()> {
    let config = args.overrides.resolve(args.method)?;
    print!("{}", config.to_commented_toml()?);
    Ok(())
}

/// Where settings can come from besides the defaults.
#[derive(Args, Debug, Clone, Default)]
pub struct Overrides {
    /// Data set: one of `cargo xtask dataset list` [default: fashion-mini].
    #[arg(long, value_name = "NAME", conflicts_with = "images")]
    pub dataset: Option<String>,
    /// Folder of images instead, with class sub-folders or without any label.
    #[arg(long, value_name = "DIR")]
    pub images: Option<PathBuf>,
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
        merge(&mut table, given);
        if let Some(other) = table.get("method").and_then(Value::as_str)
            && other != method.name()
        {
            let asked = method.name();
            return Err(usage(format!("the settings are for {other}, and {asked} was asked for")));
        }
        let config = RunConfig::parse(table).map_err(|e| usage(format!("settings: {e}")))?;
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

/// Every setting of a run. `None` stands for "decided by the data"; the file in the run's folder
/// has the decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    pub method: Method,
    pub seed: u64,
    pub device: String,
    /// Runs from before there was a choice have none.
    #[serde(default)]
    pub precision: Precision,
    pub data: DataConfig,
    pub views: ViewsConfig,
    pub encoder: EncoderConfig,
    /// The section that has the method's name.
    #[serde(flatten)]
    pub settings: MethodConfig,
    pub train: TrainSection,
    pub optimizer: OptimizerSection,
    pub eval: EvalSection,
    /// Runs from before there was a doctor have none.
    #[serde(default)]
    pub doctor: DoctorSection,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewsConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    pub crop_scale: [f32; 2],
    pub crop_ratio: [f32; 2],
    pub interpolation: Interpolation,
    pub flip_probability: f32,
    pub jitter_probability: f32,
    pub brightness: f32,
    pub contrast: f32,
    pub saturation: f32,
    pub hue: f32,
    pub grayscale_probability: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur_probability: Option<[f32; 2]>,
    pub blur_sigma: [f32; 2],
    pub solarize_probability: [f32; 2],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
}

impl ViewsConfig {
    /// The settings of view 0 or 1, with what is undecided at a harmless value.
    pub fn view(&self, view: usize) -> ViewConfig {
        let fallback = ViewConfig::default();
        ViewConfig {
            size: self.size.unwrap_or(fallback.size),
            crop_scale: self.crop_scale,
            crop_ratio: self.crop_ratio,
            interpolation: self.interpolation,
            flip_probability: self.flip_probability,
            jitter_probability: self.jitter_probability,
            brightness: self.brightness,
            contrast: self.contrast,
            saturation: self.saturation,
            hue: self.hue,
            grayscale_probability: self.grayscale_probability,
            blur_probability: self.blur_probability.map_or(0.0, |p| p[view]),
            blur_sigma: self.blur_sigma,
            solarize_probability: self.solarize_probability[view],
            mean: self.mean.unwrap_or(fallback.mean),
            std: self.std.unwrap_or(fallback.std),
            ..fallback
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderConfig {
    pub architecture: Architecture,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stem: Option<Stem>,
    pub base_width: usize,
    pub zero_init_residual: bool,
}

impl EncoderConfig {
    /// What the models crate builds from.
    pub fn resnet(&self) -> ResNetConfig {
        ResNetConfig {
            architecture: self.architecture,
            stem: self.stem.unwrap_or(Stem::Cifar),
            base_width: self.base_width,
            zero_init_residual: self.zero_init_residual,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainSection {
    pub epochs: u64,
    /// Stop after this many epochs of the schedule, as if interrupted there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<f64>,
    pub batch_size: usize,
    pub accumulation: usize,
    pub warmup_epochs: f64,
    pub checkpoint_every: u64,
    #[serde(default = "defaults::checkpoint_minutes")]
    pub checkpoint_minutes: f64,
    #[serde(default = "defaults::keep_checkpoints")]
    pub keep_checkpoints: usize,
    #[serde(default = "defaults::sync_batch_norm")]
    pub sync_batch_norm: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimizerName {
    Sgd,
    AdamW,
    Lars,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearningRateScaling {
    None,
    Linear256,
    Sqrt256,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimizerSection {
    pub name: OptimizerName,
    pub learning_rate: f64,
    pub scaling: LearningRateScaling,
    pub final_fraction: f64,
    pub weight_decay: f64,
    pub exclude_bias_and_norm: bool,
    pub momentum: f64,
    pub nesterov: bool,
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub eta: f64,
    pub trust_ratio: TrustRatio,
    pub clip: bool,
}

impl OptimizerSection {
    /// What the trainers crate takes.
    pub fn config(&self) -> OptimizerConfig {
        let rule = match self.name {
            OptimizerName::Sgd => {
                Rule::Sgd(Sgd { momentum: self.momentum, nesterov: self.nesterov })
            }
            OptimizerName::AdamW => {
                Rule::AdamW(AdamW { beta1: self.beta1, beta2: self.beta2, epsilon: self.epsilon })
            }
            OptimizerName::Lars => Rule::Lars(Lars {
                momentum: self.momentum,
                eta: self.eta,
                trust_ratio: self.trust_ratio,
                clip: self.clip,
            }),
        };
        OptimizerConfig {
            rule,
            weight_decay: self.weight_decay,
            exclude_bias_and_norm: self.exclude_bias_and_norm,
        }
    }

    /// The learning rate at its peak for an optimiser step over `batch` images.
    pub fn peak(&self, batch: usize) -> f64 {
        match self.scaling {
            LearningRateScaling::None => self.learning_rate,
            LearningRateScaling::Linear256 => self.learning_rate * batch as f64 / 256.0,
            LearningRateScaling::Sqrt256 => self.learning_rate * (batch as f64 / 256.0).sqrt(),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalSection {
    pub every: u64,
    pub knn_k: usize,
    pub knn_temperature: f32,
    pub linear_probe: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelBudget>,
    pub batch_size: usize,
}

impl EvalSection {
    pub fn knn(&self) -> Knn {
        Knn { k: self.knn_k, temperature: self.knn_temperature }
    }

    pub fn linear(&self) -> LinearProbe {
        LinearProbe::default()
    }

    /// How many labels the probes may know; `None` for all.
    pub fn labels(&self) -> anyhow::Result<Option<Labels>> {
        self.labels.as_ref().map(LabelBudget::labels).transpose()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoctorSection {
    pub images: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop_after: Option<u32>,
}

impl Default for DoctorSection {
    fn default() -> Self {
        Self { images: 512, stop_after: None }
    }
}

impl RunConfig {
    /// Everything that can be checked without data.
    pub fn validate(&self) -> anyhow::Result<()> {
        let wrong = |e: &dyn std::fmt::Display| usage(format!("settings: {e}"));
        crate::device::parse_all(&self.device)?;
        for view in 0..2 {
            self.views.view(view).validate().map_err(|e| wrong(&format!("views.{e}")))?;
        }
        self.encoder.resnet().validate().map_err(|e| wrong(&format!("encoder.{e}")))?;
        self.optimizer.config().validate().map_err(|e| wrong(&e))?;
        if self.settings.method() != self.method {
            let name = self.method.name();
            return Err(usage(format!(
                "settings: a run of {name} has the section of that method and of no other"
            )));
        }
        self.settings.validate().map_err(|e| wrong(&e))?;
        let train = &self.train;
        let micro = train.batch_size.checked_div(train.accumulation);
        let check = |ok: bool, message: String| match ok {
            true => Ok(()),
            false => Err(usage(format!("settings: {message}"))),
        };
        check(
            train.accumulation >= 1 && train.batch_size.is_multiple_of(train.accumulation.max(1)),
            format!(
                "train.accumulation: {} does not divide train.batch_size, {}",
                train.accumulation, train.batch_size
            ),
        )?;
        check(
            micro.is_some_and(|m| m >= 2),
            format!(
                "train.batch_size: {} in {} parts leaves fewer than 2 images in a batch; batch \
                 statistics need at least 2",
                train.batch_size, train.accumulation
            ),
        )?;
        check(train.epochs >= 1, "train.epochs: at least 1".into())?;
        check(
            train.stop_after.is_none_or(|n| n > 0.0 && n <= train.epochs as f64),
            format!("train.stop_after: above 0 and up to train.epochs, {}", train.epochs),
        )?;
        check(
            train.warmup_epochs >= 0.0 && train.warmup_epochs <= train.epochs as f64,
            format!(
                "train.warmup_epochs: {} is not from 0 to train.epochs, {}",
                train.warmup_epochs, train.epochs
            ),
        )?;
        let lr = self.optimizer.learning_rate;
        check(
            lr > 0.0 && lr.is_finite(),
            format!("optimizer.learning_rate: {lr} is not a finite number above 0"),
        )?;
        check(
            (0.0..=1.0).contains(&self.optimizer.final_fraction),
            format!(
                "optimizer.final_fraction: {} is outside [0, 1]",
                self.optimizer.final_fraction
            ),
        )?;
        check(self.eval.batch_size >= 1, "eval.batch_size: at least 1".into())?;
        check(self.doctor.images >= 2, "doctor.images: at least 2".into())?;
        check(
            self.doctor.stop_after != Some(0),
            "doctor.stop_after: at least 1; leave it out to never stop".into(),
        )?;
        check(
            self.doctor.stop_after.is_none() || self.eval.every > 0,
            "doctor.stop_after: the doctor comes with the evaluations, and eval.every = 0 has none"
                .into(),
        )?;
        check(train.checkpoint_every >= 1, "train.checkpoint_every: at least 1 epoch".into())?;
        check(
            train.checkpoint_minutes > 0.0 && train.checkpoint_minutes.is_finite(),
            "train.checkpoint_minutes: more than 0".into(),
        )?;
        check(train.keep_checkpoints >= 1, "train.keep_checkpoints: at least 1".into())?;
        self.data.validate()?;
        self.eval.labels()?;
        self.eval.knn().validate().map_err(|e| wrong(&format!("eval: {e}")))?;
        Ok(())
    }

    /// Every key must be known, at the top too, where the method's section has a changing name.
    fn parse(table: Table) -> Result<Self, String> {
        let keys: Vec<String> = table.keys().cloned().collect();
        let one_line = |text: String| text.trim().replace('\n', " ");
        let config: Self =
            table.try_into().map_err(|e: toml::de::Error| one_line(e.to_string()))?;
        let known = Table::try_from(&config).map_err(|e| one_line(e.to_string()))?;
        match keys.iter().find(|key| !known.contains_key(*key)) {
            None => Ok(config),
            Some(key) => Err(format!(
                "{key}: there is no such setting or section in a run of {}",
                config.method.name()
            )),
        }
    }

    /// The settings of a run that has been made.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::checked(read_table(path)?, path)
    }

    /// The settings in `text`; `origin` is for the errors.
    pub fn from_toml(text: &str, origin: &Path) -> anyhow::Result<Self> {
        Self::checked(text.parse().with_context(|| origin.display().to_string())?, origin)
    }

    fn checked(table: Table, origin: &Path) -> anyhow::Result<Self> {
        let config =
            Self::parse(table).map_err(|e| anyhow::anyhow!("{}: {e}", origin.display()))?;
        config.validate()?;
        Ok(config)
    }

    /// The first of the [`decisive`](Self::decisive) settings that `now` has otherwise, in words.
    pub fn difference(&self, now: &Self) -> anyhow::Result<Option<String>> {
        let (was, now) = (self.decisive(), now.decisive());
        if was == now {
            return Ok(None);
        }
        let (was, now) = (toml::to_string(&was)?, toml::to_string(&now)?);
        let differing = was.lines().zip(now.lines()).find(|(was, now)| was != now);
        let (was, now) = differing.unwrap_or(("a setting", "none"));
        Ok(Some(format!("{was}; now {now}")))
    }

    /// Only the settings that decide the result: where, how fast and how safely a run is computed may change on the
    /// way.
    pub fn decisive(&self) -> Self {
        let mut config = self.clone();
        config.device.clear();
        config.data.threads = None;
        config.data.prefetch = 0;
        config.train.stop_after = None;
        config.train.checkpoint_every = 0;
        config.train.checkpoint_minutes = 0.0;
        config.train.keep_checkpoints = 0;
        config
    }

    /// SHA-256 of the [`decisive`](Self::decisive) settings, in hexadecimal digits.
    pub fn sha256(&self) -> anyhow::Result<String> {
        let text = toml::to_string(&self.decisive())?;
        Ok(hex(&Sha256::digest(text)))
    }

    /// TOML with a comment on each setting.
    pub fn to_commented_toml(&self) -> anyhow::Result<String> {
        let plain = toml::to_string(self)?;
        let mut out = String::new();
        let mut section = String::new();
        let mut seen: Vec<String> = Vec::new();
        let missing = |section: &str, seen: &[String]| -> String {
            let undecided = defaults::COMMENTS.iter().filter(|(key, ..)| {
                let (own, name) = key.rsplit_once('.').unwrap_or(("", key));
                own == section && !seen.iter().any(|s| s == name)
            });
            undecided
                .map(|(key, comment)| {
                    let name = key.rsplit_once('.').map_or(*key, |(_, name)| name);
                    format!("# {comment}\n# {name} =\n")
                })
                .collect()
        };
        for line in plain.lines() {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                out.truncate(out.trim_end().len());
                out += &format!("\n{}\n", missing(&section, &seen));
                seen.clear();
                section = name.to_owned();
            } else if let Some((key, _)) = line.split_once(" = ") {
                let path = if section.is_empty() { key.into() } else { format!("{section}.{key}") };
                if let Some((_, comment)) = defaults::COMMENTS.iter().find(|(k, _)| *k == path) {
                    out += &format!("# {comment}\n");
                }
                seen.push(key.to_owned());
            }
            out += line;
            out.push('\n');
        }
        out += &missing(&section, &seen);
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(method: Method, set: &[&str]) -> anyhow::Result<RunConfig> {
        let set = set.iter().map(|s| (*s).to_owned()).collect();
        Overrides { set, ..Overrides::default() }.resolve(method)
    }

    #[test]
    fn damaged_settings_are_refused_or_read() {
        for method in [Method::Byol, Method::BarlowTwins] {
            let text = resolve(method, &[]).unwrap().to_commented_toml().unwrap();
            let origin = Path::new("config.toml");
            RunConfig::from_toml(&text, origin).unwrap();
            for end in (0..text.len()).step_by(7).filter(|end| text.is_char_boundary(*end)) {
                let _ = RunConfig::from_toml(&text[..end], origin);
            }
            let mut refused = 0;
            let tried = (0..8 * text.len()).step_by(11);
            for bit in tried.clone() {
                let mut bytes = text.clone().into_bytes();
                bytes[bit / 8] ^= 1 << (bit % 8);
                refused += usize::from(
                    RunConfig::from_toml(&String::from_utf8_lossy(&bytes), origin).is_err(),
                );
            }
            // The rest are other numbers, and comments.
            assert!(refused > tried.len() / 10, "{refused}");
        }
    }

    #[test]
    fn defaults_are_valid_and_settings_override_them() {
        for method in Method::ALL {
            resolve(method, &[]).unwrap();
        }
        let config = resolve(
            Method::Byol,
            &[
                "train.epochs=3",
                "optimizer.name=lars",
                "views.crop_scale=[0.3, 0.9]",
                "byol.tau_base=0.5",
            ],
        )
        .unwrap();
        assert_eq!((config.train.epochs, config.optimizer.name), (3, OptimizerName::Lars));
        assert_eq!(config.views.crop_scale, [0.3, 0.9]);
        let MethodConfig::Byol(byol) = config.settings else { panic!("{:?}", config.settings) };
        assert_eq!(byol.tau_base, 0.5);
    }

    #[test]
    fn wrong_settings_are_usage_errors_that_name_them() {
        for (set, word) in [
            ("train.epoch=3", "epoch"),
            ("nonsense=1", "nonsense"),
            ("train.epochs=many", "many"),
            ("train.batch_size=1", "at least 2"),
            ("train.accumulation=3", "train.accumulation"),
            ("train.warmup_epochs=1000", "warmup_epochs"),
            ("optimizer.learning_rate=-1", "learning_rate"),
            ("optimizer.weight_decay=-1", "weight_decay"),
            ("byol.tau_base=1.5", "tau_base"),
            ("views.hue=0.9", "views.hue"),
            ("encoder.base_width=0", "base_width"),
            ("eval.knn_k=0", "k of at least 1"),
            ("device=tpu", "tpu"),
            ("train.epochs", "KEY=VALUE"),
            ("barlow_twins.lambda=0.1", "settings"),
        ] {
            let error = resolve(Method::Byol, &[set]).unwrap_err();
            assert!(error.is::<crate::usage::Usage>(), "{set}: {error}");
            assert!(error.to_string().contains(word), "{set}: {error}");
        }
        let error = resolve(
            Method::Byol,
            &[
                "optimizer.name=sgd",
                "optimizer.weight_decay=0",
                "optimizer.exclude_bias_and_norm=true",
            ],
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains("exclude_bias_and_norm"), "{error}");
    }

    #[test]
    fn what_config_prints_can_be_read_back() {
        for method in Method::ALL {
            let config = resolve(method, &[]).unwrap();
            let text = config.to_commented_toml().unwrap();
            let table: Table = text.parse().unwrap();
            assert_eq!(config, table.try_into().unwrap());
            let lines: Vec<&str> = text.lines().collect();
            for pair in lines.windows(2) {
                let setting = pair[1].contains(" = ") && !pair[1].starts_with('#');
                assert!(!setting || pair[0].starts_with("# "), "{} has no comment", pair[1]);
            }
        }
    }
}

//! The settings of a run: defaults, then a TOML file, then flags and `--set`, then checks.
//!
//! The meaning of each setting is in one place, `defaults::meanings`. `selfsame config` prints it.
#![expect(missing_docs, reason = "the meaning of each setting stands in `defaults::meanings`")]

mod checks;
mod commented;
mod data;
pub(crate) mod defaults;
mod device;
#[doc(hidden)]
pub mod known;
mod methods;
mod overrides;
mod precision;
pub(crate) mod recipes;
mod sections;
mod trainer;
mod wrong;

use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

pub use data::{DataConfig, LabelBudget, Pack};
pub use device::DeviceName;
pub use methods::{Method, MethodConfig};
pub(crate) use overrides::MOST_SEED;
pub use overrides::{Overrides, images_at};
use overrides::{parse_table, read_table};
pub use precision::Precision;
pub use recipes::{Recipe, recipes};
pub use sections::{
    DoctorSection, EncoderConfig, EvalSection, LearningRateScaling, OptimizerName,
    OptimizerSection, TrainSection, ViewsConfig,
};

use crate::hex::hex;

/// Every setting of a run. `None` means that the data decide. The file in the run's folder has the
/// decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunConfig {
    pub method: Method,
    pub seed: u64,
    pub device: String,
    /// Older runs do not have it.
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
    /// Runs from before the doctor do not have it.
    #[serde(default)]
    pub doctor: DoctorSection,
}

impl RunConfig {
    /// Reads settings. Every key must be known, and every value must be valid.
    fn parse(table: Table) -> Result<Self, String> {
        let name = table.get("method").and_then(Value::as_str).unwrap_or_default();
        let method = Method::parse(name).map_err(|e| format!("method = {name:?}: {e}"))?;
        known::check(&table, method)?;
        let config = table.clone().try_into::<Self>();
        config.map_err(|e| wrong::explain(&table, method, e.message()))
    }

    /// Reads the settings of an existing run.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        Self::checked(read_table(path)?, path)
    }

    /// Reads the settings in `text`. `origin` is the source in error messages.
    pub fn from_toml(text: &str, origin: &Path) -> anyhow::Result<Self> {
        Self::checked(parse_table(text, origin)?, origin)
    }

    fn checked(table: Table, origin: &Path) -> anyhow::Result<Self> {
        let config =
            Self::parse(table).map_err(|e| anyhow::anyhow!("{}: {e}", origin.display()))?;
        config.validate()?;
        Ok(config)
    }

    /// The first [`decisive`](Self::decisive) setting that differs in `now`, in words after "it
    /// has".
    pub fn difference(&self, now: &Self) -> anyhow::Result<Option<String>> {
        let table = |config: &Self| {
            let mut config = config.decisive();
            // The same folder, in any spelling.
            config.data.images = config.data.images.map(|path| path.canonicalize().unwrap_or(path));
            Table::try_from(config)
        };
        let (was, now) = (table(self)?, table(now)?);
        let (was, now) = (known::leaves(&was), known::leaves(&now));
        let of = |settings: &[(String, &Value)], key: &str| {
            settings.iter().find(|(other, _)| other == key).map(|(_, value)| shown(value))
        };
        let keys = now.iter().chain(&was).map(|(key, _)| key);
        Ok(keys.map(|key| (key, of(&was, key), of(&now, key))).find(|(_, a, b)| a != b).map(
            |(key, was, now)| match (was, now) {
                (Some(was), Some(now)) => format!("{key} = {was}, and {now} was asked for"),
                (Some(was), None) => format!("{key} = {was}, and none was asked for"),
                (None, now) => {
                    format!("no {key}, and {key} = {} was asked for", now.unwrap_or_default())
                }
            },
        ))
    }

    /// Only the settings that decide the result. Device, speed and safety of a run may change
    /// later.
    pub fn decisive(&self) -> Self {
        let mut config = self.clone();
        config.device.clear();
        config.views.on_device = false;
        config.train.batch_size_given = false;
        config.data.threads = None;
        config.data.prefetch = 0;
        config.train.stop_after = None;
        config.train.checkpoint_every = 0;
        config.train.checkpoint_minutes = 0.0;
        config.train.keep_checkpoints = 0;
        config.train.read_every = None;
        config.train.nccl = true;
        config
    }

    /// `train.read_every`, or a value for the device: a GPU waits at every read, a CPU does not.
    pub fn read_every(&self) -> u64 {
        let names = DeviceName::all(&self.device).unwrap_or_default();
        let on_cpu = names.into_iter().all(DeviceName::is_cpu);
        self.train.read_every.unwrap_or(if on_cpu { 1 } else { 16 })
    }

    /// SHA-256 of the [`decisive`](Self::decisive) settings, in hexadecimal digits.
    pub fn sha256(&self) -> anyhow::Result<String> {
        let text = toml::to_string(&self.decisive())?;
        Ok(hex(&Sha256::digest(text)))
    }
}

/// A value as a person writes it, without the extra digits of a conversion from f32 to f64.
fn shown(value: &Value) -> String {
    match value {
        Value::Float(long) if f64::from(*long as f32) == *long => (*long as f32).to_string(),
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(shown).collect();
            format!("[{}]", list.join(", "))
        }
        other => other.to_string(),
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
            // The rest are different numbers and comments.
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
            assert!(error.is::<crate::error::Usage>(), "{set}: {error}");
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
    fn a_batch_size_that_was_chosen_is_known_from_the_default() {
        let given = |set: &[&str]| resolve(Method::Byol, set).unwrap().train.batch_size_given;
        assert!(!given(&["train.epochs=3"]));
        assert!(given(&["train.batch_size=64"]));
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

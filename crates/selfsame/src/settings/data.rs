//! Which images a run trains on, how many of them, and where they are kept decoded.

use std::path::PathBuf;

use selfsame_data::{Labels, Links, Source};
use serde::{Deserialize, Serialize};

use super::defaults;
use crate::error::usage;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// Left out if true, so that the settings of older runs stay the same.
    #[serde(default = "defaults::follow_links", skip_serializing_if = "is_true")]
    pub follow_links: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<f64>,
    #[serde(default)]
    pub split_seed: u64,
    #[serde(default)]
    pub pack: Pack,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pack_side: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    pub prefetch: usize,
}

fn is_true(value: &bool) -> bool {
    *value
}

/// Whether decoded images are packed into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pack {
    /// If they do not fit into memory.
    #[default]
    Auto,
    On,
    Off,
}

impl DataConfig {
    /// The settings for a named set, a folder, or the default set.
    pub fn source(&self) -> Source {
        match (&self.images, &self.dataset) {
            (Some(folder), _) => Source::Folder(folder.clone()),
            (None, Some(name)) => Source::Named(name.clone()),
            (None, None) => Source::Named(defaults::DATASET.into()),
        }
    }

    pub fn links(&self) -> Links {
        if self.follow_links { Links::Follow } else { Links::Skip }
    }

    /// The name for a run's folder: the name of the set, or the last part of the folder's path.
    pub fn name(&self) -> String {
        match (&self.images, &self.dataset) {
            (Some(folder), _) => {
                folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
            (None, name) => name.clone().unwrap_or_default(),
        }
    }

    /// Checks everything that needs no data.
    pub fn validate(&self) -> anyhow::Result<()> {
        let check = |ok: bool, message: &str| match ok {
            true => Ok(()),
            false => Err(usage(format!("settings: data.{message}"))),
        };
        check(self.threads != Some(0), "threads: at least 1")?;
        check(self.limit != Some(0), "limit: at least 1 image")?;
        check(self.test_limit != Some(0), "test_limit: at least 1 image")?;
        check(
            self.fraction.is_none_or(|share| share > 0.0 && share <= 1.0),
            "fraction: above 0 and up to 1",
        )?;
        check(
            self.validation.is_none_or(|share| share > 0.0 && share < 1.0),
            "validation: above 0 and below 1",
        )
    }
}

/// The number of labels for the probes: `"1%"` of each class, or `10` of each class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LabelBudget {
    PerClass(usize),
    Share(String),
}

impl LabelBudget {
    pub fn labels(&self) -> anyhow::Result<Labels> {
        let wrong = |text: &str| {
            usage(format!(
                "settings: eval.labels = {text}: write a share such as \"1%\" or a number for each \
                 class such as 10"
            ))
        };
        match self {
            Self::PerClass(0) => Err(wrong("0")),
            Self::PerClass(n) => Ok(Labels::PerClass(*n)),
            Self::Share(text) => {
                let percent = text.trim().strip_suffix('%').and_then(|p| p.trim().parse().ok());
                let share = percent.filter(|p: &f64| *p > 0.0 && *p <= 100.0);
                share.map(|p| Labels::Share(p / 100.0)).ok_or_else(|| wrong(&format!("{text:?}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_of_labels() {
        let share = |text: &str| LabelBudget::Share(text.to_owned()).labels();
        assert_eq!(share("1%").unwrap(), Labels::Share(0.01));
        assert_eq!(share(" 12.5 %").unwrap(), Labels::Share(0.125));
        assert_eq!(LabelBudget::PerClass(10).labels().unwrap(), Labels::PerClass(10));
        for text in ["", "0%", "101%", "-1%", "many", "%", "1.5", "NaN%"] {
            let error = share(text).unwrap_err();
            assert!(error.to_string().contains("eval.labels"), "{text}: {error}");
        }
        assert!(LabelBudget::PerClass(0).labels().is_err());
    }
}

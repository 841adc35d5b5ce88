//! Records the images of a run, so that changed images are noticed.

use std::path::{Path, PathBuf};

use selfsame_data::Splits;
use serde::{Deserialize, Serialize};

use crate::folder::{DATA, RunFolder};
use crate::hex::hex;

/// `data.json` in a run's folder.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The folder of the images. Empty for drawn or built-in images.
    pub root: PathBuf,
    pub train_images: usize,
    pub test_images: usize,
    /// Fingerprint of the files, see [`Splits::fingerprint`]. `None` without files.
    pub fingerprint: Option<String>,
    /// The parts that were left out, and why there is no accuracy.
    pub remarks: Vec<String>,
}

impl Origin {
    pub fn of(data: &Splits) -> Self {
        let mut remarks = data.layout.remarks();
        remarks.extend(data.untested().map(|cause| format!("no accuracy: {cause}")));
        Self {
            root: data.layout.root.clone(),
            train_images: data.train.len(),
            test_images: data.test.as_ref().map_or(0, |test| test.len()),
            fingerprint: data.fingerprint().map(|key| hex(&key.0)),
            remarks,
        }
    }

    pub fn write(&self, folder: &RunFolder) -> anyhow::Result<()> {
        folder.write(DATA, serde_json::to_string_pretty(self)?.as_bytes())
    }

    /// The difference from the images of the run in `folder`, in words.
    pub fn difference(folder: &Path, data: &Splits) -> Option<String> {
        let text = std::fs::read_to_string(folder.join(DATA)).ok()?;
        let then: Self = serde_json::from_str(&text).ok()?;
        let now = Self::of(data);
        // If no image was decoded at opening, unreadable images are still in the set.
        let left_out = data.skipped.iter().map(|skipped| skipped.path.clone()).collect();
        let without = || data.fingerprint_without(&left_out).map(|key| hex(&key.0));
        let same = then.fingerprint == now.fingerprint || then.fingerprint == without();
        (!same).then(|| {
            let count = |origin: &Self| {
                format!("{} to train on, {} to test on", origin.train_images, origin.test_images)
            };
            format!(
                "the images in {} are not the images of the run ({} then; {} now)",
                now.root.display(),
                count(&then),
                count(&now)
            )
        })
    }
}

//! A study as files: one page, Markdown with pictures, and JSON.

use std::path::PathBuf;

use selfsame_report::{Study, study};
use serde::Serialize;
use serde_json::json;

use crate::folder::replace;
use crate::places;
use crate::study::trials::StudyFolder;

/// `index.html`, `README.md` with an SVG for each chart, `study.json` with every run's figures.
pub fn publish(folder: &StudyFolder, page: &Study, runs: &impl Serialize) -> anyhow::Result<()> {
    let path = |name: &str| folder.path().join(name);
    replace(&path("index.html"), study(page)?.as_bytes())?;
    replace(&path("README.md"), page.to_markdown().as_bytes())?;
    for chart in &page.charts {
        replace(&path(&chart.file_name()), chart.to_svg().as_bytes())?;
    }
    let all = json!({"study": page, "runs": runs});
    replace(&path("study.json"), serde_json::to_string_pretty(&all)?.as_bytes())
}

/// The default folder of a study.
pub fn default_folder(stem: &str) -> PathBuf {
    places::runs().join(stem)
}

//! A study as files: one page, Markdown with pictures, and JSON.

use std::path::PathBuf;

use selfsame_report::{Study, study};
use serde::Serialize;
use serde_json::json;

use crate::folder::replace;
use crate::places;
use crate::study::trials::{FIGURES, StudyFolder};

/// `study.json` with every run's figures, `index.html`, `README.md` with an SVG for each chart.
pub fn publish(folder: &StudyFolder, page: &Study, runs: &impl Serialize) -> anyhow::Result<()> {
    let path = |name: &str| folder.path().join(name);
    let all = json!({"study": page, "runs": runs});
    replace(&path(FIGURES), serde_json::to_string_pretty(&all)?.as_bytes())?;
    replace(&path("index.html"), study(page)?.as_bytes())?;
    replace(&path("README.md"), page.to_markdown().as_bytes())?;
    for chart in &page.charts {
        replace(&path(&chart.file_name()), chart.to_svg().as_bytes())?;
    }
    Ok(())
}

/// The default folder of a study.
pub fn default_folder(stem: &str) -> PathBuf {
    places::runs().join(stem)
}

//! Studies: many runs that differ in one thing, and what they say together.
//!
//! A study is a folder. `settings/NAME.toml` is what a run was asked for, `runs/NAME/` is that run,
//! made by the program `selfsame` in a process of its own, so that memory is the run's and a crash
//! is too. The same study asked for again goes on where it was cut off.

mod ablate;
mod budget;
mod chance;
mod compare;
mod comparison;
mod conclusions;
mod figures;
#[cfg(test)]
mod made_up;
mod measured;
mod pages;
mod trials;
mod variants;

use std::path::PathBuf;

use selfsame_report::Study;
use serde_json::{Value, json};

pub use ablate::{AblateOptions, ablate};
pub use compare::{CompareOptions, compare};
pub use trials::Jobs;

use trials::StudyFolder;

/// What all studies ask for.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Runs of each kind, with seeds that follow on each other. One decides nothing.
    pub seeds: u64,
    /// The study's folder; `runs/KIND-…` where there is none.
    pub out: Option<PathBuf>,
    /// Runs at a time.
    pub jobs: Jobs,
    /// The program `selfsame`, which makes the runs.
    pub program: PathBuf,
    /// The command that asked for the study, for its page.
    pub command: Option<String>,
}

/// What a study found.
#[derive(Debug)]
pub struct Studied {
    /// The page that people look at.
    pub page: PathBuf,
    /// The same as Markdown.
    pub markdown: String,
    /// What is said, what was tested, and the figures of every run.
    pub json: Value,
}

impl Studied {
    fn new(folder: &StudyFolder, page: &Study, runs: &[Value]) -> Self {
        Self {
            page: folder.path().join("index.html"),
            markdown: page.to_markdown(),
            json: json!({"lead": page.lead, "claims": page.claims, "runs": runs}),
        }
    }
}

//! Studies: many runs that differ in one thing, and their conclusions.
//!
//! A study is a folder. `settings/NAME.toml` has the settings of a run, `runs/NAME/` is the run.
//! The program `selfsame` makes each run in a separate process, so memory and crashes stay
//! separate. The same request again resumes the study.

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
mod process;
mod trials;
mod variants;

use std::ops::Range;
use std::path::PathBuf;

use selfsame_report::Study;
use serde_json::{Value, json};

pub use ablate::{AblateOptions, ablate};
pub use compare::{CompareOptions, compare};
pub use process::end_with_study;
pub use trials::Jobs;

use crate::error::usage;
use crate::evaluation::MOST_SEEDS;
use crate::run::Interrupt;
use crate::settings::MOST_SEED;
use trials::StudyFolder;

/// The options of all studies.
#[derive(Debug, Clone)]
pub struct StudyOptions {
    /// Runs of each kind, with consecutive seeds. One run decides nothing.
    pub seeds: u64,
    /// The study's folder; by default `runs/KIND-…`.
    pub out: Option<PathBuf>,
    /// Runs at a time.
    pub jobs: Jobs,
    /// The program `selfsame`. It makes the runs.
    pub program: PathBuf,
    /// The command of the study, for its page.
    pub command: Option<String>,
    /// Asks the study to end. Its runs save their state. The same request resumes the study.
    pub interrupt: Interrupt,
}

impl StudyOptions {
    /// The seeds of the runs, from `first` on.
    ///
    /// # Errors
    /// The last one is too large.
    fn seeds_from(&self, first: u64) -> anyhow::Result<Range<u64>> {
        let end = first.checked_add(self.seeds).filter(|end| *end <= MOST_SEED);
        let end =
            end.ok_or_else(|| usage(format!("--seed: at most {}", MOST_SEED - self.seeds)))?;
        Ok(first..end)
    }

    /// # Errors
    /// The number of seeds is 0, or far too large.
    fn validate(&self) -> anyhow::Result<()> {
        match self.seeds {
            1..=MOST_SEEDS => Ok(()),
            seeds => Err(usage(format!("--seeds {seeds}: from 1 to {MOST_SEEDS}"))),
        }
    }
}

/// The results of a study.
#[derive(Debug)]
pub struct Studied {
    /// The page.
    pub page: PathBuf,
    /// The answer and the claims, as lines for a terminal.
    pub text: String,
    /// The whole page as Markdown.
    pub markdown: String,
    /// The conclusions, the tests, and the figures of every run.
    pub json: Value,
    /// The number of runs.
    pub runs: usize,
    /// The number of runs that failed.
    pub failed: usize,
}

impl Studied {
    fn new(folder: &StudyFolder, page: &Study, runs: &[Value]) -> Self {
        Self {
            page: folder.path().join("index.html"),
            text: in_short(page),
            markdown: page.to_markdown(),
            json: json!({"lead": page.lead, "claims": page.claims, "runs": runs}),
            runs: runs.len(),
            failed: runs.iter().filter(|run| run.get("failed").is_some()).count(),
        }
    }
}

/// What a study has found, without its tables.
fn in_short(page: &Study) -> String {
    let mut text = String::new();
    for paragraph in &page.lead {
        text += &format!("{paragraph}\n");
    }
    if !page.claims.is_empty() {
        text.push('\n');
    }
    for claim in &page.claims {
        text += &format!("{}: {}\n  {}\n", claim.outcome.word(), claim.text, claim.evidence);
    }
    text
}

//! A study: runs of several methods compared, or one method with its parts removed.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::limits::check;
use crate::charts::chart::{Plot, charts};
use crate::html::{Document, escape, mark, paragraph};
use crate::sections::settings::listing;
use crate::sections::table::tables;
use crate::sections::verdict::{ASK, facts};
use crate::{Chart, ReportError, RunReport, Table};

/// Everything that a study's page shows. Parts that are empty leave no trace on the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Study {
    /// The heading.
    pub title: String,
    /// What kind of study: "comparison".
    pub name: String,
    /// The command that makes it again.
    pub command: String,
    /// The answer in words, a paragraph each.
    pub lead: Vec<String>,
    /// Claims about the methods, checked against these runs.
    pub claims: Vec<Claim>,
    /// What the outcomes mean: when a claim counts as seen, and when it is undecided.
    pub legend: String,
    /// Figures.
    pub tables: Vec<Table>,
    /// Curves.
    pub charts: Vec<Chart>,
    /// What the runs ran on: (name, value).
    pub machine: Vec<(String, String)>,
    /// Settings that the runs share, as TOML.
    pub settings: String,
}

/// A claim about the methods, and whether these runs show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    /// The claim.
    pub text: String,
    /// Whether it was seen.
    pub outcome: ClaimOutcome,
    /// The figures that the outcome rests on.
    pub evidence: String,
}

/// Whether runs show a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimOutcome {
    /// They do.
    Seen,
    /// They show the opposite.
    NotSeen,
    /// They do not decide it.
    Undecided,
}

impl ClaimOutcome {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::NotSeen => "not seen",
            Self::Undecided => "undecided",
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Seen => "healthy",
            Self::NotSeen => "collapsed",
            Self::Undecided => "warning",
        }
    }

    /// A sign whose shape says as much as its colour: a tick, a cross, a question.
    fn sign(self) -> &'static str {
        match self {
            Self::Seen => {
                "<circle cx=\"10\" cy=\"10\" r=\"9\"/><path d=\"M5.8 10.4l2.9 2.9 5.6-6.2\"/>"
            }
            Self::NotSeen => {
                "<rect x=\"1\" y=\"1\" width=\"18\" height=\"18\" rx=\"3\"/><path d=\"M6 6l8 8m0-8l-8 8\"/>"
            }
            Self::Undecided => ASK,
        }
    }
}

impl Study {
    /// The study as JSON. Numbers that are not finite become `null`, and not a number again when
    /// read.
    ///
    /// # Errors
    /// JSON that cannot be written, which plain data never causes.
    pub fn to_json(&self) -> Result<String, ReportError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads what [`to_json`](Self::to_json) wrote; parts that are missing are empty.
    ///
    /// # Errors
    /// Text that is no JSON, or JSON of another shape.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        Ok(serde_json::from_str(text)?)
    }
}

/// The page of a study: a complete HTML document that needs no other file and no network.
///
/// # Errors
/// More parts than a reader could want (see [`ReportError::TooMany`]).
pub fn study(study: &Study) -> Result<String, ReportError> {
    // A study has these parts in common with a run, and the same limits.
    check(&RunReport {
        tables: study.tables.clone(),
        charts: study.charts.clone(),
        machine: study.machine.clone(),
        settings: study.settings.clone(),
        ..RunReport::default()
    })?;
    for (what, count) in [("claims", study.claims.len()), ("paragraphs", study.lead.len())] {
        if count > 1000 {
            return Err(ReportError::TooMany { what, count, most: 1000 });
        }
    }
    let lead: String = study.lead.iter().map(|text| paragraph("lead", text)).collect();
    let command = match study.command.as_str() {
        "" => String::new(),
        command => format!("<pre class=\"command\">{}</pre>", escape(command)),
    };
    let head = format!(
        "<p class=\"name\">{}{}</p><h1>{}</h1>{lead}{command}",
        mark(),
        escape(&study.name),
        escape(&study.title),
    );
    let mut document = Document::new(&study.title, head);
    document.section("Claims", &claims(&study.claims, &study.legend));
    document.section("Figures", &tables(&study.tables));
    document.section("Curves", &charts(&study.charts.iter().map(Plot::from).collect::<Vec<_>>()));
    document.section("Settings", &listing(&study.settings));
    document.section("Machine", &facts(&study.machine));
    Ok(document.finish())
}

fn claims(claims: &[Claim], legend: &str) -> String {
    if claims.is_empty() {
        return String::new();
    }
    let mut html = format!("{}<ul class=\"claims\">", paragraph("caption", legend));
    for claim in claims {
        let (class, word) = (claim.outcome.class(), claim.outcome.word());
        let _ = write!(
            html,
            "<li><span class=\"level {class}\"><svg class=\"sign {class}\" viewBox=\"0 0 20 20\" \
             aria-hidden=\"true\">{}</svg>{word}</span><div><p>{}</p>{}</div></li>",
            claim.outcome.sign(),
            escape(&claim.text),
            paragraph("note", &claim.evidence)
        );
    }
    html.push_str("</ul>");
    html
}

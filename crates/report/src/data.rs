//! The plain data of a report. It is written as `report.json` into a run's folder, and read back to
//! make the page again or to compare runs.
//!
//! A file that is read back may hold anything. Text is escaped when it is written. An image index
//! beyond the sprite shows an empty tile. A number that is not finite is left out and counted.
//! Lengths that contradict each other are a [`ReportError`](crate::ReportError).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ReportError;
use crate::numbers::nullable;

/// Everything that the page of one run shows. Parts that are empty leave no trace on the page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunReport {
    /// The heading: "BYOL on fashion-mini".
    pub title: String,
    /// The name of the run's folder. A comparison calls the run by it.
    pub name: String,
    /// Whether the representation is good, in words.
    pub verdict: Option<Verdict>,
    /// Key figures, most important first: the first four are shown large.
    pub figures: Vec<Figure>,
    /// Evaluations, with baselines and confidence intervals.
    pub tables: Vec<Table>,
    /// Curves over training, and spectra.
    pub charts: Vec<Chart>,
    /// Nearest neighbours as pictures.
    pub galleries: Vec<Gallery>,
    /// Embeddings in two dimensions.
    pub maps: Vec<Map>,
    /// Correlation matrices.
    pub heatmaps: Vec<Heatmap>,
    /// Class names by class number; a class without one is called by its number.
    pub class_names: Vec<String>,
    /// Images beside the views that were made of them for training.
    pub views: Option<ViewSheet>,
    /// The pictures of galleries and views, and of maps without a sprite of their own.
    pub sprite: Option<Sprite>,
    /// The pictures of maps: more of them, and smaller.
    pub map_sprite: Option<Sprite>,
    /// The command that makes the run again.
    pub command: String,
    /// What to do with the run's files next, as code to copy.
    pub snippets: Vec<Snippet>,
    /// Every setting of the run, as TOML.
    pub settings: String,
    /// What the run ran on: (name, value).
    pub machine: Vec<(String, String)>,
}

impl RunReport {
    /// The report as JSON. Numbers that are not finite become `null`, and NaN when read again.
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

/// How good or bad something is, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// As it should be.
    Healthy,
    /// Undecided.
    Unknown,
    /// Worth a look.
    Warning,
    /// The embeddings have collapsed to a point or to few dimensions.
    Collapsed,
}

/// The answer to "is the representation good, has it collapsed?"
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The answer in one word.
    pub level: Level,
    /// The answer in one sentence.
    pub headline: String,
    /// What the answer rests on.
    pub findings: Vec<Finding>,
}

/// One reason for a verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What this finding alone says.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub advice: Option<String>,
}

/// Which of two numbers is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The higher: an accuracy.
    Higher,
    /// The lower: a time.
    Lower,
}

/// One key figure.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What it is: "k-NN top-1".
    pub name: String,
    /// Its value with its unit: "75.5 %".
    pub value: String,
    /// What to compare it with: "untrained 68.0 %, pixels 81.0 %".
    #[serde(default)]
    pub note: String,
    /// The value as a number and which is better, for a comparison to mark the best run.
    #[serde(default)]
    pub rank: Option<Rank>,
}

/// A number that runs are ranked by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rank {
    /// The number, in any unit that all runs share.
    #[serde(deserialize_with = "nullable")]
    pub number: f64,
    /// Which is better.
    pub better: Better,
}

/// Lines over a common axis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Chart {
    /// The heading; charts of several runs are overlaid where their titles are equal.
    pub title: String,
    /// What the chart says and how to read it.
    pub caption: String,
    /// What runs from left to right: "epoch".
    pub x_label: String,
    /// What runs upwards, with its unit.
    pub y_label: String,
    /// A logarithmic vertical axis. Values that are not positive are left out.
    pub log_y: bool,
    /// A logarithmic horizontal axis. If the lines have few values (batch sizes), the ticks are
    /// these. Values that are not positive are left out.
    pub log_x: bool,
    /// The lines, most important first.
    pub lines: Vec<Line>,
}

/// One line of a chart.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// `[x, y]` in drawing order; a point that is not finite leaves a gap.
    #[serde(deserialize_with = "nullable")]
    pub points: Vec<[f64; 2]>,
    /// Measured, or something to compare with.
    pub role: Role,
    /// `[low, high]` of each point, drawn as a whisker; or empty. Not drawn: ranges that are not
    /// finite or upside down, ranges without a point, and all ranges of a line of more than 60
    /// points.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<[f64; 2]>,
}

impl Line {
    /// What was measured, without ranges.
    pub fn measured(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { name: name.into(), points, ..Self::default() }
    }

    /// What the measured lines are compared with, without ranges.
    pub fn baseline(name: impl Into<String>, points: Vec<[f64; 2]>) -> Self {
        Self { role: Role::Baseline, ..Self::measured(name, points) }
    }
}

/// What a line stands for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// What this run measured: solid, in colour.
    #[default]
    Measured,
    /// What it is compared with: dashed, grey.
    Baseline,
}

/// A matrix as a picture, from −1 (one colour) over 0 (the page) to 1 (the other colour).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Heatmap {
    /// The heading.
    pub title: String,
    /// What it says and how to read it.
    #[serde(default)]
    pub caption: String,
    /// Rows of the matrix, 1 to [`Heatmap::MOST_SIDE`].
    pub rows: usize,
    /// Columns of the matrix, 1 to [`Heatmap::MOST_SIDE`].
    pub columns: usize,
    /// `rows × columns` values in [−1, 1], row by row. Values beyond are clamped; NaN stays
    /// transparent.
    #[serde(deserialize_with = "nullable")]
    pub values: Vec<f32>,
}

impl Heatmap {
    /// The largest side that a page takes.
    pub const MOST_SIDE: usize = 1024;
}

/// Embeddings in two dimensions (PCA, t-SNE), a point for each image.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The heading.
    pub title: String,
    /// What it says and how to read it.
    #[serde(default)]
    pub caption: String,
    /// `[x, y]`, up to [`Map::MOST_POINTS`]; both axes keep one scale. Points that are not finite
    /// are left out.
    #[serde(deserialize_with = "nullable")]
    pub points: Vec<[f32; 2]>,
    /// The class of each point, for its colour; or empty, where there are no labels.
    #[serde(default)]
    pub classes: Vec<Option<u32>>,
    /// The image of each point in the sprite; or empty, where there are no images.
    #[serde(default)]
    pub images: Vec<u32>,
}

impl Map {
    /// The most points that a page takes.
    pub const MOST_POINTS: usize = 20_000;
}

/// Images beside the views that were made of them for training.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ViewSheet {
    /// What it says and how to read it.
    #[serde(default)]
    pub caption: String,
    /// Places in the sprite: each row has an image first, then its views.
    pub rows: Vec<Vec<u32>>,
}

/// Some lines of code to copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snippet {
    /// What the code does, with its language.
    pub title: String,
    /// The code.
    pub code: String,
}

/// Thumbnails of one size in one PNG or JPEG, row by row from the top left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sprite {
    /// The file; base64 in JSON. Older reports call it `png`.
    #[serde(alias = "png", serialize_with = "to_base64", deserialize_with = "from_base64")]
    pub picture: Vec<u8>,
    /// The side of a thumbnail in pixels.
    pub tile: u32,
    /// Thumbnails in a row.
    pub columns: u32,
    /// Thumbnails altogether.
    pub count: u32,
}

fn to_base64<S: Serializer>(picture: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&BASE64_STANDARD.encode(picture))
}

fn from_base64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(serde::de::Error::custom)
}

/// Images and those nearest to them: "before training", "after training".
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Gallery {
    /// The heading.
    pub title: String,
    /// What it says and how to read it.
    #[serde(default)]
    pub caption: String,
    /// A row for each query.
    pub rows: Vec<GalleryRow>,
}

/// A query and its neighbours.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GalleryRow {
    /// The query's image in the sprite.
    pub query: u32,
    /// Its class.
    pub query_label: Option<u32>,
    /// The images nearest to it, nearest first.
    pub neighbours: Vec<Neighbour>,
}

/// An image near to a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Its image in the sprite.
    pub image: u32,
    /// Its cosine similarity to the query.
    #[serde(deserialize_with = "nullable")]
    pub similarity: f32,
    /// Its class; marked where it is not the query's.
    pub label: Option<u32>,
}

/// A table of figures. The first cell of a row is its name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The heading.
    pub title: String,
    /// What it says and how to read it.
    #[serde(default)]
    pub caption: String,
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows; one that is shorter than the longest is filled up with empty cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// What it says.
    pub text: String,
    /// `[low, value, high]` of a confidence interval, drawn beneath the text on a scale that the
    /// column shares.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 3]>,
    /// Shown in bold: the best of its column.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strong: bool,
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), ..Self::default() }
    }
}

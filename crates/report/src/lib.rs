//! What people look at after training: a self-contained page and TensorBoard event files, made from plain
//! data. Knows neither encoders nor data sets.

mod tensorboard;

pub use tensorboard::{At, EventError, EventWriter, code_block};
mod axis;
mod chart;
mod comparison;
mod data;
mod error;
mod gallery;
mod heatmap;
mod html;
mod limits;
mod map;
mod markdown;
mod numbers;
mod page;
mod picture;
mod settings;
mod sprite;
mod study;
mod svg;
mod table;
mod usage;
mod verdict;
mod views;

pub use comparison::comparison;
pub use data::{
    Better, Cell, Chart, Figure, Finding, Gallery, GalleryRow, Heatmap, Level, Line, Map,
    Neighbour, Rank, Role, RunReport, Snippet, Sprite, Table, Verdict, ViewSheet,
};
pub use error::ReportError;
pub use page::page;
pub use study::{Claim, ClaimOutcome, Study, study};

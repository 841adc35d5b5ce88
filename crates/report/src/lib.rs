//! What people look at after training: a self-contained page and TensorBoard event files. The crate
//! makes them from plain data and knows neither encoders nor data sets.

mod charts;
mod data;
mod error;
mod html;
mod numbers;
mod pages;
mod sections;
mod tensorboard;

pub use data::{
    Better, Cell, Chart, Figure, Finding, Gallery, GalleryRow, Heatmap, Level, Line, Map,
    Neighbour, Rank, Role, RunReport, Snippet, Sprite, Table, Verdict, ViewSheet,
};
pub use error::ReportError;
pub use pages::comparison::comparison;
pub use pages::run::page;
pub use pages::study::{Claim, ClaimOutcome, Study, study};
pub use tensorboard::{At, EventError, EventWriter, code_block};

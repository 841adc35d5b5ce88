//! The errors of this crate.

use thiserror::Error;

/// Why there is no page.
#[derive(Debug, Error)]
pub enum ReportError {
    /// A comparison of nothing.
    #[error("a comparison needs one run at least")]
    NoRuns,
    /// A heat map with too many values, or with other numbers of rows and columns than values.
    #[error(
        "the heat map \"{title}\" says {rows} rows of {columns} (1 to {most} each) and holds {values} values",
        most = crate::Heatmap::MOST_SIDE
    )]
    Heatmap {
        /// Its title.
        title: String,
        /// What it says.
        rows: usize,
        /// What it says.
        columns: usize,
        /// What it holds.
        values: usize,
    },
    /// A map with too many points, or with lists of different lengths.
    #[error(
        "the map \"{title}\" has {points} points (at most {most}), {classes} classes and {images} images",
        most = crate::Map::MOST_POINTS
    )]
    Map {
        /// Its title.
        title: String,
        /// Points it holds.
        points: usize,
        /// Classes it holds: none, or one for each point.
        classes: usize,
        /// Images it holds: none, or one for each point.
        images: usize,
    },
    /// More parts than a page takes. No run writes so many, but a damaged file may hold them.
    #[error("{count} {what}, at most {most}")]
    TooMany {
        /// Of which part.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many a page takes.
        most: usize,
    },
    /// Thumbnails that are neither PNG nor JPEG, or that do not fit in their picture.
    #[error("the sprite of thumbnails: {0}")]
    Sprite(String),
    /// A heat map that could not be written as PNG.
    #[error("writing a picture: {0}")]
    Png(#[from] png::EncodingError),
    /// A report that could not be read.
    #[error("report.json: {0}")]
    Json(#[from] serde_json::Error),
}

//! Nearest neighbours as pictures.

use std::fmt::Write;

use crate::html::sprite::Tiles;
use crate::html::{escape, heading};
use crate::numbers::significant;
use crate::{Gallery, GalleryRow};

/// Galleries side by side: a query's neighbours before and after training share a row.
pub fn galleries(galleries: &[Gallery], tiles: &Tiles) -> String {
    if galleries.is_empty() {
        return String::new();
    }
    let figures: String = galleries.iter().map(|g| figure(g, tiles)).collect();
    let key = key(galleries.iter().flat_map(|g| &g.rows));
    format!("<div class=\"grid\">{figures}</div>{key}")
}

/// The legend for neighbours of another class, if there are any.
pub fn key<'a>(mut rows: impl Iterator<Item = &'a GalleryRow>) -> &'static str {
    let marked = |row: &GalleryRow| {
        row.neighbours.iter().any(|neighbour| differs(row.query_label, neighbour.label))
    };
    if rows.any(marked) { KEY } else { "" }
}

const KEY: &str = "<p class=\"legend-line\"><span class=\"tile wrong sample\"></span>\
                       a cross marks a neighbour of another class than the query's.</p>";

fn figure(gallery: &Gallery, tiles: &Tiles) -> String {
    let rows: String = gallery
        .rows
        .iter()
        .map(|row| format!("<div class=\"row\">{}{}</div>", query(row, tiles), strip(row, tiles)))
        .collect();
    format!(
        "<figure class=\"gallery\" data-tile=\"{}\"><figcaption>{}{}</figcaption>{rows}</figure>",
        tiles.class(),
        heading(&gallery.title, &gallery.caption),
        agreement(gallery.rows.iter())
    )
}

/// The query's picture.
pub fn query(row: &GalleryRow, tiles: &Tiles) -> String {
    let name = row.query_label.map(|l| tiles.name(l));
    tiles.tile(row.query, "query", &format!("Query: {}", name.as_deref().unwrap_or("image")))
}

/// The neighbours' pictures.
pub fn strip(row: &GalleryRow, tiles: &Tiles) -> String {
    let mut html = String::from("<div class=\"strip\">");
    for (rank, neighbour) in row.neighbours.iter().enumerate() {
        let mut text = match neighbour.label {
            Some(label) => tiles.name(label),
            None => format!("Neighbour {}", rank + 1),
        };
        if neighbour.similarity.is_finite() {
            let _ = write!(text, ", similarity {}", significant(neighbour.similarity.into(), 3));
        }
        let wrong = differs(row.query_label, neighbour.label);
        if wrong {
            text.push_str(", another class");
        }
        html.push_str(&tiles.tile(neighbour.image, if wrong { "wrong" } else { "" }, &text));
    }
    html.push_str("</div>");
    html
}

fn differs(query: Option<u32>, neighbour: Option<u32>) -> bool {
    matches!((query, neighbour), (Some(a), Some(b)) if a != b)
}

/// How many neighbours share their query's class, where classes are known.
pub fn agreement<'a>(rows: impl Iterator<Item = &'a GalleryRow>) -> String {
    let (mut same, mut all) = (0, 0);
    for row in rows {
        for neighbour in &row.neighbours {
            if row.query_label.is_some() && neighbour.label.is_some() {
                all += 1;
                same += usize::from(row.query_label == neighbour.label);
            }
        }
    }
    if all == 0 {
        return String::new();
    }
    let percent = 100.0 * f64::from(same as u32) / f64::from(all);
    format!(
        "<p class=\"figure\"><b>{same} of {all}</b> neighbours ({percent:.0} %) are of the query's class.</p>"
    )
}

/// The class of a query as text beside its pictures.
pub fn query_name(row: &GalleryRow, tiles: &Tiles) -> String {
    row.query_label.map_or(String::new(), |l| escape(&tiles.name(l)))
}

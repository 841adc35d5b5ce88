//! The neighbours that several runs find for the same queries.

use std::fmt::Write;

use super::{Named, swatch, titles};
use crate::html::sprite::Tiles;
use crate::html::{escape, heading};
use crate::sections::gallery::{agreement, key, query, query_name, strip};
use crate::{Gallery, GalleryRow};

/// For each query, the neighbours that each run finds.
pub fn joined_galleries(runs: &[Named], tiles: &[Tiles]) -> String {
    let mut html = String::new();
    for title in titles(runs, |r| r.galleries.iter().map(|g| &g.title)) {
        let own: Vec<Option<&Gallery>> =
            runs.iter().map(|(_, r)| r.galleries.iter().find(|g| g.title == title)).collect();
        html.push_str(&joined_gallery(runs, tiles, title, &own));
    }
    let rows = runs.iter().flat_map(|(_, r)| &r.galleries).flat_map(|g| &g.rows);
    html + key(rows)
}

fn joined_gallery(
    runs: &[Named],
    tiles: &[Tiles],
    title: &str,
    own: &[Option<&Gallery>],
) -> String {
    // Two queries are the same if their numbers, classes and pictures are.
    let mut queries: Vec<(usize, &GalleryRow)> = Vec::new();
    for (run, gallery) in own.iter().enumerate() {
        for row in gallery.iter().flat_map(|g| &g.rows) {
            let known = queries.iter().any(|(other, q)| {
                (q.query, q.query_label) == (row.query, row.query_label)
                    && tiles[*other].class() == tiles[run].class()
            });
            if !known {
                queries.push((run, row));
            }
        }
    }
    let caption = own.iter().flatten().next().map_or("", |g| g.caption.as_str());
    let mut html = format!(
        "<figure class=\"gallery joined\" data-tile=\"{}\"><figcaption>{}<ul class=\"key\">",
        tiles[0].class(),
        heading(title, caption)
    );
    for (i, gallery) in own.iter().enumerate() {
        if let Some(gallery) = gallery {
            let share = agreement(gallery.rows.iter());
            let _ = write!(html, "<li>{}{}{share}</li>", swatch(i), escape(&runs[i].0));
        }
    }
    html.push_str("</ul></figcaption><div class=\"queries\">");
    for (first, row) in queries {
        let _ = write!(
            html,
            "<div class=\"asked\"><div class=\"query-box\">{}<p>{}</p></div><div>",
            query(row, &tiles[first]),
            query_name(row, &tiles[first])
        );
        for (run, gallery) in own.iter().enumerate() {
            let found = gallery.and_then(|g| {
                g.rows.iter().find(|r| {
                    (r.query, r.query_label) == (row.query, row.query_label)
                        && tiles[run].class() == tiles[first].class()
                })
            });
            if let Some(found) = found {
                let label = escape(&runs[run].0);
                let _ = write!(
                    html,
                    "<div class=\"run-row\" role=\"group\" aria-label=\"{label}\">{}{}</div>",
                    swatch(run),
                    strip(found, &tiles[run])
                );
            }
        }
        html.push_str("</div></div>");
    }
    html.push_str("</div></figure>");
    html
}

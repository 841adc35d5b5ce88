//! The page of one run.

use super::limits::check;
use crate::charts::chart::{Plot, charts};
use crate::charts::heatmap::heatmaps;
use crate::charts::map::{Shown, maps};
use crate::html::sprite::Tiles;
use crate::html::{Document, escape, mark};
use crate::sections::gallery::galleries;
use crate::sections::settings::listing;
use crate::sections::table::tables;
use crate::sections::usage::usage;
use crate::sections::verdict::{facts, figures, verdict};
use crate::sections::views::views;
use crate::{ReportError, RunReport};

/// The page of one run: a complete HTML document that needs no other file and no network.
///
/// # Errors
/// Data that contradicts itself: lists of different lengths in a matrix or a map, a sprite that is
/// not a picture or too small for its tiles. Or more parts than a reader could want (see
/// [`ReportError::TooMany`]).
pub fn page(run: &RunReport) -> Result<String, ReportError> {
    check(run)?;
    let tiles = Tiles::of_galleries(run, 0)?;
    let small = Tiles::of_maps(run, 0)?;
    let head = format!(
        "<p class=\"name\">{}{}</p><h1>{}</h1>{}{}",
        mark(),
        escape(&run.name),
        escape(&run.title),
        run.verdict.as_ref().map_or(String::new(), verdict),
        figures(&run.figures)
    );
    let mut document = Document::new(&run.title, head);
    document.style(&tiles.style());
    if small.class() != tiles.class() {
        document.style(&small.style());
    }
    document.section("Evaluation", &tables(&run.tables));
    document.section("Training", &charts(&run.charts.iter().map(Plot::from).collect::<Vec<_>>()));
    document.section("Training views", &views(run.views.as_ref(), &tiles));
    document.section("Nearest neighbours", &galleries(&run.galleries, &tiles));
    let shown: Vec<Shown> =
        run.maps.iter().map(|map| Shown { title: map.title.clone(), map, tiles: &small }).collect();
    document.section("Maps", &maps(&[shown])?);
    let matrices: Vec<_> = run.heatmaps.iter().map(|m| (m.title.clone(), m)).collect();
    document.section("Correlation", &heatmaps(&matrices)?);
    document.section("Use", &usage(&run.command, &run.snippets));
    document.section("Settings", &listing(&run.settings));
    document.section("Machine", &facts(&run.machine));
    Ok(document.finish())
}

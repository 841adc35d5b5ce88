//! The page that compares several runs. A part that a run lacks is a dash, not an error.

mod galleries;
mod overlays;
mod tables;

use self::galleries::joined_galleries;
use self::overlays::overlays;
use self::tables::{differing, joined_tables, overview};
use super::limits::check;
use crate::charts::heatmap::heatmaps;
use crate::charts::map::{Shown, maps};
use crate::html::sprite::Tiles;
use crate::html::{Document, escape, mark};
use crate::{ReportError, RunReport};

/// A page that compares runs. It has figures side by side, charts of one title overlaid, tables row
/// by row, the neighbours of the same queries, and the settings that differ.
///
/// # Errors
/// No runs, or data that contradicts itself or is too much, as in [`page`](crate::page).
pub fn comparison(runs: &[RunReport]) -> Result<String, ReportError> {
    if runs.is_empty() {
        return Err(ReportError::NoRuns);
    }
    runs.iter().try_for_each(check)?;
    let runs = named(runs);
    let tiles = all_tiles(&runs, &[], Tiles::of_galleries)?;
    let small = all_tiles(&runs, &tiles, Tiles::of_maps)?;
    let title = match runs.len() {
        1 => "Comparison of 1 run".to_string(),
        n => format!("Comparison of {n} runs"),
    };
    let head = format!(
        "<p class=\"name\">{}Selfsame</p><h1>{}</h1>{}",
        mark(),
        escape(&title),
        overview(&runs)
    );
    let mut document = Document::new(&title, head);
    let mut shown = Vec::new();
    for own in tiles.iter().chain(&small) {
        if !shown.contains(&own.class()) {
            document.style(&own.style());
            shown.push(own.class());
        }
    }
    document.section("Evaluation", &joined_tables(&runs));
    document.section("Training", &overlays(&runs));
    document.section("Nearest neighbours", &joined_galleries(&runs, &tiles));
    let mut groups = Vec::new();
    for title in titles(&runs, |r| r.maps.iter().map(|m| &m.title)) {
        let mut group = Vec::new();
        for ((label, run), tiles) in runs.iter().zip(&small) {
            let own = run.maps.iter().filter(|m| m.title == title);
            group.extend(own.map(|map| Shown { title: format!("{title}: {label}"), map, tiles }));
        }
        groups.push(group);
    }
    document.section("Maps", &maps(&groups)?);
    let mut correlation = String::new();
    for title in titles(&runs, |r| r.heatmaps.iter().map(|m| &m.title)) {
        let mut group = Vec::new();
        for (label, run) in &runs {
            let own = run.heatmaps.iter().filter(|m| m.title == title);
            group.extend(own.map(|m| (format!("{title}: {label}"), m)));
        }
        correlation.push_str(&heatmaps(&group)?);
    }
    document.section("Correlation", &correlation);
    document.section("Settings that differ", &differing(&runs));
    Ok(document.finish())
}

type Named<'a> = (String, &'a RunReport);

/// Each run with a label that no other run has.
fn named(runs: &[RunReport]) -> Vec<Named<'_>> {
    let mut labels: Vec<Named> = Vec::new();
    for (i, run) in runs.iter().enumerate() {
        let name = if run.name.is_empty() { format!("run {}", i + 1) } else { run.name.clone() };
        let again = runs[..i].iter().filter(|r| r.name == run.name).count();
        let label = if again > 0 { format!("{name} ({})", again + 1) } else { name };
        labels.push((label, run));
    }
    labels
}

/// One sprite for all runs with the same pictures, those of `before` included.
fn all_tiles<'a>(
    runs: &[Named<'a>],
    before: &[Tiles<'a>],
    of: impl Fn(&'a RunReport, usize) -> Result<Tiles<'a>, ReportError>,
) -> Result<Vec<Tiles<'a>>, ReportError> {
    let mut tiles: Vec<Tiles> = Vec::new();
    for (i, (_, run)) in runs.iter().enumerate() {
        let own = of(run, i)?;
        let own = match before.iter().chain(&tiles).find(|t| t.same(&own)) {
            Some(other) => own.like(other),
            None => own,
        };
        tiles.push(own);
    }
    Ok(tiles)
}

/// Titles of all runs in the order of their first appearance.
fn titles<'a, I: Iterator<Item = &'a String>>(
    runs: &[Named<'a>],
    of: impl Fn(&'a RunReport) -> I,
) -> Vec<&'a str> {
    let mut titles: Vec<&str> = Vec::new();
    for title in runs.iter().flat_map(|(_, run)| of(run)) {
        if !titles.contains(&title.as_str()) {
            titles.push(title);
        }
    }
    titles
}

fn swatch(run: usize) -> String {
    format!("<i class=\"swatch k{}\"></i>", run % 10)
}

//! The page that sets several runs side by side. A part that a run lacks is a dash, not an error.

use std::fmt::Write;

use crate::chart::{Plot, Series, charts};
use crate::gallery::{KEY, agreement, query, query_name, strip};
use crate::heatmap::heatmaps;
use crate::html::{Document, escape, heading, mark, paragraph};
use crate::map::{Shown, maps};
use crate::settings::differences;
use crate::sprite::Tiles;
use crate::table::{Column, row_name};
use crate::verdict::short;
use crate::{Better, Cell, Chart, Figure, Gallery, ReportError, Role, RunReport, Table};

/// A page that compares runs: figures side by side, curves and spectra overlaid where charts have one title,
/// tables row by row, the neighbours of the same queries, and the settings that differ.
///
/// # Errors
/// No runs, or data that contradicts itself, as in [`page`](crate::page).
pub fn comparison(runs: &[RunReport]) -> Result<String, ReportError> {
    if runs.is_empty() {
        return Err(ReportError::NoRuns);
    }
    let runs = named(runs);
    let tiles = all_tiles(&runs)?;
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
    for (i, own) in tiles.iter().enumerate() {
        if !tiles[..i].iter().any(|t| t.class() == own.class()) {
            document.style(&own.style());
        }
    }
    document.section("Evaluation", &joined_tables(&runs));
    document.section("Training", &overlays(&runs));
    document.section("Nearest neighbours", &joined_galleries(&runs, &tiles));
    let mut groups = Vec::new();
    for title in titles(&runs, |r| r.maps.iter().map(|m| &m.title)) {
        let mut group = Vec::new();
        for ((label, run), tiles) in runs.iter().zip(&tiles) {
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

/// Runs that show the same pictures share one sprite.
fn all_tiles<'a>(runs: &[Named<'a>]) -> Result<Vec<Tiles<'a>>, ReportError> {
    let mut tiles: Vec<Tiles> = Vec::new();
    for (i, (_, run)) in runs.iter().enumerate() {
        let own = Tiles::new(run.sprite.as_ref(), i, &run.class_names)?;
        let own = match tiles.iter().find(|t| t.same(&own)) {
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

fn run_headers(runs: &[Named]) -> String {
    let mut html = String::new();
    for (i, (label, _)) in runs.iter().enumerate() {
        let _ = write!(html, "<th scope=\"col\" class=\"run\">{}{}</th>", swatch(i), escape(label));
    }
    html
}

fn scroll(label: &str, table: &str) -> String {
    format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{}\"><table class=\"compare\">{table}</table></div>",
        escape(label)
    )
}

/// Verdicts and key figures.
fn overview(runs: &[Named]) -> String {
    let mut html = format!(
        "<thead><tr><th scope=\"col\">Run</th>{}</tr></thead><tbody><tr><th scope=\"row\">What</th>",
        run_headers(runs)
    );
    for (_, run) in runs {
        let _ = write!(html, "<td>{}</td>", escape(&run.title));
    }
    html.push_str("</tr><tr><th scope=\"row\">Verdict</th>");
    for (_, run) in runs {
        let headline = run.verdict.as_ref().map_or("", |v| v.headline.as_str());
        let verdict = short(run.verdict.as_ref());
        let _ = write!(html, "<td>{verdict}{}</td>", paragraph("note", headline));
    }
    html.push_str("</tr>");
    for name in titles(runs, |r| r.figures.iter().map(|f| &f.name)) {
        let figures: Vec<Option<&Figure>> =
            runs.iter().map(|(_, r)| r.figures.iter().find(|f| f.name == name)).collect();
        let best = best(&figures);
        let _ = write!(html, "<tr><th scope=\"row\">{}</th>", escape(name));
        for (i, figure) in figures.iter().enumerate() {
            let (value, note) = figure.map_or(("–", ""), |f| (f.value.as_str(), f.note.as_str()));
            let value = escape(value);
            let value = if best.contains(&i) {
                format!("<b>{value}</b><span class=\"best\">best</span>")
            } else {
                value
            };
            let _ = write!(html, "<td>{value}{}</td>", paragraph("note", note));
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody>");
    scroll("Key figures of all runs", &html)
}

/// The runs with the best figure, unless all are equal.
fn best(figures: &[Option<&Figure>]) -> Vec<usize> {
    let ranks: Vec<(usize, f64)> = figures
        .iter()
        .enumerate()
        .filter_map(|(i, f)| {
            let rank = f.as_ref()?.rank.filter(|r| r.number.is_finite())?;
            Some((i, if rank.better == Better::Higher { rank.number } else { -rank.number }))
        })
        .collect();
    let top = ranks.iter().map(|r| r.1).fold(f64::NEG_INFINITY, f64::max);
    if ranks.iter().all(|r| r.1 == top) {
        return vec![];
    }
    ranks.iter().filter(|r| r.1 == top).map(|r| r.0).collect()
}

/// Charts of one title in one: a line for each run, and a chart for each line that the charts measure.
fn overlays(runs: &[Named]) -> String {
    let all: Vec<(&str, Vec<(usize, &Chart)>)> =
        titles(runs, |r| r.charts.iter().map(|c| &c.title))
            .into_iter()
            .map(|title| {
                let own = runs.iter().enumerate().filter_map(|(i, (_, run))| {
                    Some((i, run.charts.iter().find(|c| c.title == title)?))
                });
                (title, own.collect())
            })
            .collect();
    let mut headings = Vec::new();
    let mut pieces = Vec::new();
    for (title, own) in &all {
        let mut names: Vec<&str> = Vec::new();
        for line in own.iter().flat_map(|(_, c)| &c.lines).filter(|l| l.role == Role::Measured) {
            if !names.contains(&line.name.as_str()) {
                names.push(&line.name);
            }
        }
        for name in &names {
            let alone = names.len() == 1;
            headings.push(if alone { (*title).into() } else { format!("{title}: {name}") });
            pieces.push((own, *name));
        }
    }
    let plots: Vec<Plot> = headings
        .iter()
        .zip(&pieces)
        .filter_map(|(title, (own, name))| overlay(runs, title, own, name))
        .collect();
    charts(&plots)
}

fn overlay<'a>(
    runs: &[Named],
    title: &'a str,
    own: &[(usize, &'a Chart)],
    name: &str,
) -> Option<Plot<'a>> {
    let (_, first) = own.first()?;
    let mut series: Vec<Series> = own
        .iter()
        .flat_map(|(run, chart)| chart.lines.iter().map(move |line| (*run, line)))
        .filter(|(_, line)| line.role == Role::Measured && line.name == name)
        .map(|(run, line)| Series {
            name: runs[run].0.clone(),
            points: &line.points,
            color: Some(run),
            dash: 0,
        })
        .collect();
    // What every run compares itself with is drawn once; what differs belongs to its run.
    let mut baselines: Vec<(usize, &crate::Line)> = Vec::new();
    for (run, chart) in own {
        for line in chart.lines.iter().filter(|l| l.role == Role::Baseline) {
            if !baselines.iter().any(|(_, l)| l.name == line.name && l.points == line.points) {
                baselines.push((*run, line));
            }
        }
    }
    for (i, (run, line)) in baselines.iter().enumerate() {
        let shared = baselines.iter().filter(|(_, l)| l.name == line.name).count() == 1;
        series.push(Series {
            name: if shared {
                line.name.clone()
            } else {
                format!("{}: {}", line.name, runs[*run].0)
            },
            points: &line.points,
            color: (!shared).then_some(*run),
            dash: 1 + if shared { i } else { 0 },
        });
    }
    Some(Plot {
        title,
        caption: &first.caption,
        x_label: &first.x_label,
        y_label: &first.y_label,
        log_y: own.iter().all(|(_, c)| c.log_y),
        series,
    })
}

/// Tables of one title in one: a row for each name, the runs side by side within each column.
fn joined_tables(runs: &[Named]) -> String {
    titles(runs, |r| r.tables.iter().map(|t| &t.title))
        .into_iter()
        .map(|title| {
            let own: Vec<Option<&Table>> =
                runs.iter().map(|(_, r)| r.tables.iter().find(|t| t.title == title)).collect();
            joined_table(runs, title, &own)
        })
        .collect()
}

fn joined_table(runs: &[Named], title: &str, own: &[Option<&Table>]) -> String {
    let Some(first) = own.iter().flatten().next() else { return String::new() };
    let width = own.iter().flatten().map(|t| t.header.len()).max().unwrap_or(0);
    let mut rows: Vec<&Cell> = Vec::new();
    for row in own.iter().flatten().flat_map(|t| &t.rows) {
        if let Some(name) = row.first().filter(|n| !rows.iter().any(|r| r.text == n.text)) {
            rows.push(name);
        }
    }
    let cell = |row: &Cell, run: usize, column: usize| {
        own[run]
            .and_then(|t| t.rows.iter().find(|r| r.first().is_some_and(|n| n.text == row.text)))
            .and_then(|r| r.get(column))
    };
    let name = |column: usize| {
        own.iter().flatten().find_map(|t| t.header.get(column)).map_or("", String::as_str)
    };
    let several = width > 2;
    let mut html = String::from("<thead>");
    if several {
        let _ = write!(html, "<tr><td class=\"corner\"></td>");
        for column in 1..width {
            let _ = write!(
                html,
                "<th scope=\"colgroup\" colspan=\"{}\" class=\"group\">{}</th>",
                runs.len(),
                escape(name(column))
            );
        }
        html.push_str("</tr>");
    }
    let _ = write!(html, "<tr><th scope=\"col\">{}</th>", escape(name(0)));
    html.push_str(&run_headers(runs).repeat(width.saturating_sub(1)));
    html.push_str("</tr></thead><tbody>");
    let columns: Vec<Column> = (1..width)
        .map(|c| {
            let all = rows.iter().flat_map(|r| (0..runs.len()).filter_map(move |i| cell(r, i, c)));
            Column::of(&all.collect::<Vec<_>>())
        })
        .collect();
    let missing = Cell::from("–");
    for row in &rows {
        html.push_str("<tr>");
        html.push_str(&row_name(row));
        for (i, column) in columns.iter().enumerate() {
            for run in 0..runs.len() {
                let shown = cell(row, run, i + 1).unwrap_or(&missing);
                html.push_str(&column.cell(shown, &format!("k{}", run % 10)));
            }
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody>");
    format!(
        "<figure class=\"table\"><figcaption>{}</figcaption>{}</figure>",
        heading(title, &first.caption),
        scroll(title, &html)
    )
}

/// For each query, the neighbours that each run finds.
fn joined_galleries(runs: &[Named], tiles: &[Tiles]) -> String {
    let mut html = String::new();
    for title in titles(runs, |r| r.galleries.iter().map(|g| &g.title)) {
        let own: Vec<Option<&Gallery>> =
            runs.iter().map(|(_, r)| r.galleries.iter().find(|g| g.title == title)).collect();
        html.push_str(&joined_gallery(runs, tiles, title, &own));
    }
    if html.is_empty() { html } else { format!("{html}{KEY}") }
}

fn joined_gallery(
    runs: &[Named],
    tiles: &[Tiles],
    title: &str,
    own: &[Option<&Gallery>],
) -> String {
    // Queries are the same where number, class and pictures are.
    let mut queries: Vec<(usize, &crate::GalleryRow)> = Vec::new();
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

fn differing(runs: &[Named]) -> String {
    let settings: Vec<&str> = runs.iter().map(|(_, r)| r.settings.as_str()).collect();
    let differences = differences(&settings);
    if differences.is_empty() {
        return String::new();
    }
    let mut html = format!(
        "<thead><tr><th scope=\"col\">Setting</th>{}</tr></thead><tbody>",
        run_headers(runs)
    );
    for (key, values) in differences {
        let _ = write!(html, "<tr><th scope=\"row\"><code>{}</code></th>", escape(&key));
        for value in values {
            let value = value.map_or("–".into(), |v| format!("<code>{}</code>", escape(&v)));
            let _ = write!(html, "<td>{value}</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody>");
    scroll("Settings that differ", &html)
}

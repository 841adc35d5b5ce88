//! Figures, tables and settings of several runs, side by side.

use std::fmt::Write;

use super::{Named, swatch, titles};
use crate::html::{escape, heading, paragraph};
use crate::sections::settings::differences;
use crate::sections::table::{Column, row_name};
use crate::sections::verdict::short;
use crate::{Better, Cell, Figure, Table};

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
pub fn overview(runs: &[Named]) -> String {
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

/// Joins the tables of one title: a row for each name, and the runs side by side in each column.
pub fn joined_tables(runs: &[Named]) -> String {
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

/// The settings that differ.
pub fn differing(runs: &[Named]) -> String {
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

//! Curves and spectra of several runs in one chart.

use super::{Named, titles};
use crate::charts::chart::{Plot, Series, charts};
use crate::{Chart, Line, Role};

/// Joins the charts of one title: a chart for each measured line, with a line for each run.
pub fn overlays(runs: &[Named]) -> String {
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
            ranges: &line.ranges,
            color: Some(run),
            dash: 0,
        })
        .collect();
    // A baseline that all runs share is drawn once. One that differs belongs to its run.
    let mut baselines: Vec<(usize, &Line)> = Vec::new();
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
            ranges: &line.ranges,
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
        log_x: own.iter().all(|(_, c)| c.log_x),
        series,
    })
}

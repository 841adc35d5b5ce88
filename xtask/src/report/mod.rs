//! `report.html`: one page that needs nothing else.

use std::fmt::Write;
use std::io::Cursor;

use anyhow::anyhow;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::ImageFormat;
use plotters::prelude::*;
use serde_json::Value;

use crate::config::RunConfig;
use crate::evaluate::{Judge, SplitFeatures};
use crate::gallery;
use crate::pretrain::Summary;
use crate::run_folder::{METRICS, REPORT, RunFolder};

const NEIGHBOURS: &str = "neighbours.png";

/// Writes the page, and the gallery of nearest neighbours as a picture of its own.
pub fn write(
    folder: &RunFolder,
    config: &RunConfig,
    summary: &Summary,
    judge: &Judge,
    features: &SplitFeatures,
) -> anyhow::Result<()> {
    let sheet = match (&judge.test, &features.test) {
        (Some(test), Some(queries)) => {
            gallery::neighbours(test, queries, &judge.train, &features.train)?
        }
        _ => gallery::neighbours(&judge.train, &features.train, &judge.train, &features.train)?,
    };
    let mut png = Vec::new();
    sheet.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
    folder.write(NEIGHBOURS, &png)?;

    let metrics = std::fs::read_to_string(folder.file(METRICS))?;
    let lines: Vec<Value> =
        metrics.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let mut page = String::new();
    let title = format!("{} on {}", config.method.name(), escape(&summary.dataset));
    write!(page, "{}", HEAD.replace("TITLE", &title))?;
    write!(page, "<h1>{title}</h1><table>")?;
    for (name, value) in summary.lines() {
        write!(page, "<tr><th>{name}</th><td>{}</td></tr>", escape(&value))?;
    }
    write!(page, "</table>")?;

    write!(page, "<h2>Training</h2>")?;
    write!(page, "{}", chart("loss", &[("loss", series(&lines, "loss"))])?)?;
    let mut knn = vec![("k-NN top-1", series(&lines, "knn_top1"))];
    // The untrained encoder is where the curve begins, the final evaluation where it ends.
    if let Some(start) = summary.knn_top1_random_init {
        knn[0].1.insert(0, (0.0, start));
    }
    knn[0].1.extend(summary.knn_top1.map(|end| (summary.epochs, end)));
    let span = |value: Option<f64>| -> Vec<(f64, f64)> {
        value.map(|v| vec![(0.0, v), (summary.epochs, v)]).unwrap_or_default()
    };
    knn.push(("raw pixels", span(summary.knn_top1_pixels)));
    knn.push(("untrained encoder", span(summary.knn_top1_random_init)));
    write!(page, "{}", chart("k-NN top-1 on held-out images", &knn)?)?;
    let std = [("embedding std × √dim", series(&lines, "embedding_std"))];
    write!(page, "{}", chart("collapse: 0 is one point, 1 is spread evenly", &std)?)?;

    write!(
        page,
        "<h2>Nearest neighbours</h2><p>Left: an image never trained on. Right: the training images \
         nearest to it in the encoder's features. A red frame marks another class.</p>\
         <img alt=\"nearest neighbours\" src=\"data:image/png;base64,{}\">",
        BASE64_STANDARD.encode(&png)
    )?;
    write!(page, "<h2>Settings</h2><pre>{}</pre>", escape(&toml::to_string(config)?))?;
    let commit = summary.git_commit.as_deref().unwrap_or("unknown");
    write!(page, "<p>Commit {}</p></main></body></html>", escape(commit))?;
    folder.write(REPORT, page.as_bytes())
}

const HEAD: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
<link rel=\"icon\" href=\"data:,\"><title>TITLE</title><style>\
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:0}\
main{max-width:46rem;margin:auto;padding:1rem}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:normal;opacity:.75}th,td{padding:.25rem .5rem;border-bottom:1px solid #8884}\
td{text-align:right;font-variant-numeric:tabular-nums}svg,img{max-width:100%;height:auto;background:#fff;border-radius:6px}\
figure{margin:1rem 0}pre{overflow:auto;font-size:13px;padding:1rem;background:#8881;border-radius:6px}\
</style></head><body><main>";

/// One value of each line that has it, against the epoch.
fn series(lines: &[Value], key: &str) -> Vec<(f64, f64)> {
    lines.iter().filter_map(|l| Some((l["epoch"].as_f64()?, l[key].as_f64()?))).collect()
}

/// Lines over epochs as an SVG figure; nothing where there are no points.
fn chart(title: &str, lines: &[(&str, Vec<(f64, f64)>)]) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|(_, points)| points).filter(|(_, y)| y.is_finite());
    let Some(x_end) = points().map(|p| p.0).reduce(f64::max) else { return Ok(String::new()) };
    let low = points().map(|p| p.1).fold(f64::INFINITY, f64::min);
    let high = points().map(|p| p.1).fold(f64::NEG_INFINITY, f64::max);
    let margin = ((high - low) * 0.08).max(1e-3);
    let mut svg = String::new();
    {
        let plot_error = |e: &dyn std::fmt::Display| anyhow!("drawing the chart of {title}: {e}");
        let area = SVGBackend::with_string(&mut svg, (720, 280)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(32)
            .y_label_area_size(52)
            .build_cartesian_2d(0.0..x_end.max(1e-9), low - margin..high + margin)
            .map_err(|e| plot_error(&e))?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(|e| plot_error(&e))?;
        let colors = [RGBColor(31, 95, 180), RGBColor(190, 120, 20), RGBColor(120, 120, 120)];
        for ((name, points), color) in lines.iter().zip(colors) {
            if points.is_empty() {
                continue;
            }
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))
                .map_err(|e| plot_error(&e))?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
        }
        if lines.len() > 1 {
            chart
                .configure_series_labels()
                .border_style(TRANSPARENT)
                .background_style(WHITE.mix(0.8))
                .position(SeriesLabelPosition::LowerRight)
                .draw()
                .map_err(|e| plot_error(&e))?;
        }
        area.present().map_err(|e| plot_error(&e))?;
    }
    // A view box lets the page scale it.
    let svg =
        svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title)), 1);
    Ok(format!("<figure><figcaption>{}</figcaption>{svg}</figure>", escape(title)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

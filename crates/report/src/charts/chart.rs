//! Line charts that fit any width. The lines are an SVG that stretches, while its strokes do not.
//! The text beside them is HTML in the page's own size.

use std::fmt::Write;

use super::axis::{Axis, Kind};
use crate::html::{escape, heading};
use crate::numbers::{coordinate, significant};
use crate::{Chart, Role};

/// Height of the plotting area in pixels, which the style sheet repeats.
const HEIGHT: f64 = 208.0;
/// Least distance between two labels at the lines' ends in pixels.
const LABEL: f64 = 17.0;
/// A line with more points than this (two to a pixel) is drawn by the extremes of neighbouring
/// points.
const MOST_POINTS: usize = 800;
/// The longest name that is written at a line's end. Longer ones stand in the legend only.
const LONGEST_LABEL: usize = 20;
/// A line with more points than this has no whiskers: they would be a grey wall.
const MOST_WHISKERS: usize = 60;
/// Most lines that are named at their ends.
const MOST_LABELS: usize = 8;

/// One line as it is drawn.
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: String,
    /// `[x, y]`.
    pub points: &'a [[f64; 2]],
    /// `[low, high]` of each point, or empty.
    pub ranges: &'a [[f64; 2]],
    /// The colour's number in the style sheet, or none for grey.
    pub color: Option<usize>,
    /// Which of the dash patterns; 0 is solid.
    pub dash: usize,
}

/// A chart as it is drawn.
pub struct Plot<'a> {
    /// The heading.
    pub title: &'a str,
    /// Beneath the heading.
    pub caption: &'a str,
    /// What runs from left to right.
    pub x_label: &'a str,
    /// What runs upwards.
    pub y_label: &'a str,
    /// Whether upwards is logarithmic.
    pub log_y: bool,
    /// Whether rightwards is logarithmic.
    pub log_x: bool,
    /// The lines.
    pub series: Vec<Series<'a>>,
}

impl<'a> From<&'a Chart> for Plot<'a> {
    fn from(chart: &'a Chart) -> Self {
        let (mut measured, mut baselines) = (0, 0);
        let series = chart.lines.iter().map(|line| {
            let (color, dash) = match line.role {
                Role::Measured => (Some(measured), 0),
                Role::Baseline => (None, 1 + baselines),
            };
            match line.role {
                Role::Measured => measured += 1,
                Role::Baseline => baselines += 1,
            }
            let (points, ranges) = (&line.points[..], &line.ranges[..]);
            Series { name: line.name.clone(), points, ranges, color, dash }
        });
        Self {
            title: &chart.title,
            caption: &chart.caption,
            x_label: &chart.x_label,
            y_label: &chart.y_label,
            log_y: chart.log_y,
            log_x: chart.log_x,
            series: series.collect(),
        }
    }
}

/// Charts in rows of two, since names at the lines' ends need space.
pub fn charts(plots: &[Plot]) -> String {
    if plots.is_empty() {
        return String::new();
    }
    format!("<div class=\"grid\">{}</div>", plots.iter().map(figure).collect::<String>())
}

/// The two axes. They span every point that can be drawn and its range.
pub fn axes(plot: &Plot) -> (Option<Axis>, Option<Axis>) {
    let all = || plot.series.iter().flat_map(|s| s.points);
    let x_kind = if plot.log_x { Kind::Marks } else { Kind::Tight };
    let y_kind = if plot.log_y { Kind::Log } else { Kind::Nice };
    let finite = |p: &&[f64; 2]| p[0].is_finite();
    let ranges = plot.series.iter().flat_map(Series::whiskers).flat_map(|(_, range)| range);
    (
        Axis::fit(all().map(|p| p[0]), x_kind, 6),
        Axis::fit(all().filter(finite).map(|p| p[1]).chain(ranges), y_kind, 4),
    )
}

impl Series<'_> {
    /// Each point's place and its range, where the range can be drawn.
    pub fn whiskers(&self) -> impl Iterator<Item = (f64, [f64; 2])> {
        let few = if self.points.len() <= MOST_WHISKERS { self.ranges } else { &[] };
        self.points
            .iter()
            .zip(few)
            .filter(|(p, [low, high])| {
                p.iter().chain([low, high]).all(|v| v.is_finite()) && low <= high
            })
            .map(|(p, range)| (p[0], *range))
    }
}

/// Upright strokes from low to high, for all ranges that lie on both axes.
fn whiskers(series: &Series, x: &Axis, y: &Axis) -> String {
    let mut path = String::new();
    for (at, [low, high]) in series.whiskers() {
        if let (Some(at), Some(low), Some(high)) = (x.place(at), y.place(low), y.place(high)) {
            let up = |place: f64| coordinate(1000.0 * (1.0 - place));
            let _ = write!(path, "M{} {}V{}", coordinate(1000.0 * at), up(low), up(high));
        }
    }
    path
}

fn figure(plot: &Plot) -> String {
    let axes = axes(plot);
    let head = heading(plot.title, plot.caption);
    let (Some(x), Some(y)) = axes else {
        return format!(
            "<figure class=\"chart\"><figcaption>{head}</figcaption>\
             <p class=\"none\">No values to draw.</p></figure>"
        );
    };
    let lines: Vec<Drawn> = plot.series.iter().map(|s| Drawn::new(s, &x, &y)).collect();
    let left_out: usize = lines.iter().map(|l| l.left_out).sum();
    let named: Vec<&Drawn> = lines.iter().filter(|l| l.last.is_some()).collect();
    let at_ends = named.len() <= MOST_LABELS
        && named.iter().all(|l| l.series.name.chars().count() <= LONGEST_LABEL);

    let mut body = rules(&y);
    for line in &lines {
        body.push_str(&line.svg(&whiskers(line.series, &x, &y)));
    }
    let (x_low, x_high) = x.ends();
    let (y_low, y_high) = y.ends();
    let widest = y.ticks().iter().map(|(_, t)| t.chars().count()).max().unwrap_or(1);
    let longest = named.iter().map(|l| l.end_text(named.len()).chars().count()).max().unwrap_or(0);
    let mut html = format!(
        "<figure class=\"chart{}\" data-x=\"{x_low},{x_high}\" data-y=\"{y_low},{y_high}\" data-log=\"{}\" data-log-x=\"{}\" \
         data-x-label=\"{}\" style=\"--left:{widest}ch;--right:{longest}ch\"><figcaption>{head}</figcaption>",
        if at_ends { " direct" } else { "" },
        u8::from(plot.log_y),
        u8::from(plot.log_x),
        escape(plot.x_label),
    );
    if lines.len() > 1 {
        html.push_str("<ul class=\"key\">");
        for line in &lines {
            let _ = write!(html, "<li>{}{}</li>", line.swatch(), escape(&line.series.name));
        }
        html.push_str("</ul>");
    }
    let _ = write!(
        html,
        "<p class=\"axis\">{}</p><div class=\"plot\">\
         <svg viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"{}\">{body}</svg>",
        escape(plot.y_label),
        escape(&describe(plot, &lines)),
    );
    for (place, text) in y.ticks() {
        let top = coordinate(100.0 * (1.0 - place));
        let _ = write!(html, "<span class=\"y\" style=\"top:{top}%\">{text}</span>");
    }
    for (place, text) in x.ticks() {
        let left = coordinate(100.0 * place);
        let _ = write!(html, "<span class=\"x\" style=\"left:{left}%\">{text}</span>");
    }
    if at_ends {
        html.push_str(&end_labels(&named));
    }
    let _ = write!(html, "</div><p class=\"axis x-axis\">{}</p>", escape(plot.x_label));
    if left_out > 0 {
        let these = if left_out == 1 { "1 value is" } else { &format!("{left_out} values are") };
        let why = if plot.log_y || plot.log_x { "no positive number" } else { "no finite number" };
        let _ = write!(html, "<p class=\"warn\">{these} {why} and left out.</p>");
    }
    html.push_str("</figure>");
    html
}

/// Horizontal lines at the ticks.
fn rules(y: &Axis) -> String {
    let lines: String = y
        .ticks()
        .iter()
        .map(|(place, _)| format!("M0 {}H1000", coordinate(1000.0 * (1.0 - place))))
        .collect();
    format!("<path class=\"rule\" d=\"{lines}\"/>")
}

/// The names at the lines' ends, moved apart so that none overlap.
fn end_labels(lines: &[&Drawn]) -> String {
    let mut labels: Vec<(f64, &Drawn)> =
        lines.iter().filter_map(|l| l.last.map(|(_, y, _)| (y / 1000.0 * HEIGHT, *l))).collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Downwards until each has room, then upwards from the bottom edge.
    for i in 1..labels.len() {
        labels[i].0 = labels[i].0.max(labels[i - 1].0 + LABEL);
    }
    let mut floor = HEIGHT;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(floor);
        floor = label.0 - LABEL;
    }
    labels
        .iter()
        .map(|(top, line)| {
            format!(
                "<span class=\"end {}\" style=\"top:{}px\">{}</span>",
                line.class(),
                coordinate(*top),
                escape(&line.end_text(lines.len()))
            )
        })
        .collect()
}

/// What the chart shows, for those who cannot see it.
fn describe(plot: &Plot, lines: &[Drawn]) -> String {
    let mut text = format!("Line chart: {} over {}.", plot.title, plot.x_label);
    for line in lines.iter().take(20) {
        let finite = || line.series.points.iter().map(|p| p[1]).filter(|v| v.is_finite());
        let (Some(first), Some(last)) = (finite().next(), finite().next_back()) else { continue };
        let _ = write!(
            text,
            " {}: from {} to {}, between {} and {}.",
            line.series.name,
            significant(first, 3),
            significant(last, 3),
            significant(finite().fold(f64::INFINITY, f64::min), 3),
            significant(finite().fold(f64::NEG_INFINITY, f64::max), 3),
        );
    }
    text
}

/// A line in the coordinates of the SVG.
struct Drawn<'a> {
    series: &'a Series<'a>,
    path: String,
    /// Place of the last point, and its value.
    last: Option<(f64, f64, f64)>,
    left_out: usize,
}

impl<'a> Drawn<'a> {
    fn new(series: &'a Series<'a>, x: &Axis, y: &Axis) -> Self {
        let mut pieces: Vec<Vec<[f64; 2]>> = vec![vec![]];
        let (mut left_out, mut last) = (0, None);
        for point in series.points {
            match (x.place(point[0]), y.place(point[1])) {
                (Some(at_x), Some(at_y)) => {
                    let place = [1000.0 * at_x, 1000.0 * (1.0 - at_y)];
                    last = Some((place[0], place[1], point[1]));
                    if let Some(piece) = pieces.last_mut() {
                        piece.push(place);
                    }
                }
                _ => {
                    left_out += 1;
                    if pieces.last().is_some_and(|p| !p.is_empty()) {
                        pieces.push(vec![]);
                    }
                }
            }
        }
        let path = pieces.iter().map(|piece| polyline(&thin(piece))).collect();
        Self { series, path, last, left_out }
    }

    fn class(&self) -> String {
        let color = self.series.color.map_or("grey".into(), |c| format!("c{}", c % 10));
        // A colour that is used again has other dashes.
        let dash = self.series.dash + self.series.color.unwrap_or(0) / 10;
        format!("{color} d{}", dash.min(3))
    }

    fn svg(&self, whiskers: &str) -> String {
        let mut svg = match whiskers {
            "" => String::new(),
            d => format!("<path class=\"whisker {}\" d=\"{d}\"/>", self.class()),
        };
        let _ = write!(
            svg,
            "<path class=\"line {}\" data-name=\"{}\" d=\"{}\"/>",
            self.class(),
            escape(&self.series.name),
            self.path
        );
        if let (Some((x, y, _)), Some(_)) = (self.last, self.series.color) {
            let (x, y) = (coordinate(x), coordinate(y));
            let _ = write!(svg, "<path class=\"point {}\" d=\"M{x} {y}h.01\"/>", self.class());
        }
        svg
    }

    fn swatch(&self) -> String {
        format!(
            "<svg class=\"swatch\" viewBox=\"0 0 22 8\" aria-hidden=\"true\">\
             <path class=\"line {}\" d=\"M1 4H21\"/></svg>",
            self.class()
        )
    }

    /// The name and the last value. A single line has the chart's title for a name.
    fn end_text(&self, lines: usize) -> String {
        let value = self.last.map_or(String::new(), |(_, _, value)| significant(value, 3));
        if lines == 1 { value } else { format!("{} {value}", self.series.name) }
    }
}

fn polyline(points: &[[f64; 2]]) -> String {
    let mut path = String::new();
    for (i, [x, y]) in points.iter().enumerate() {
        let command = if i == 0 { "M" } else { "L" };
        let _ = write!(path, "{command}{} {}", coordinate(*x), coordinate(*y));
    }
    if points.len() == 1 {
        path.push_str("h.01");
    }
    path
}

/// The lowest and the highest of each group of neighbouring points: a spike stays a spike.
fn thin(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.len() <= MOST_POINTS {
        return points.to_vec();
    }
    let size = points.len().div_ceil(MOST_POINTS / 2 - 1);
    let (first, last) = (points[0], points[points.len() - 1]);
    let mut kept = vec![first];
    for group in points.chunks(size) {
        let index = |better: fn(f64, f64) -> bool| {
            (1..group.len()).fold(0, |b, i| if better(group[i][1], group[b][1]) { i } else { b })
        };
        let (low, high) = (index(|a, b| a < b), index(|a, b| a > b));
        kept.push(group[low.min(high)]);
        if low != high {
            kept.push(group[low.max(high)]);
        }
    }
    kept.push(last);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Line;

    fn chart(points: Vec<[f64; 2]>) -> Chart {
        let line = Line::measured("loss", points);
        Chart { title: "Loss".into(), lines: vec![line], ..Chart::default() }
    }

    #[test]
    fn a_value_that_is_not_finite_leaves_a_gap_and_is_counted() {
        let chart = chart(vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0], [3.0, 2.0]]);
        let html = figure(&Plot::from(&chart));
        assert!(html.contains("d=\"M0 1000h.01M666.67 0L1000 500\""), "{html}");
        assert!(html.contains("1 value is no finite number and left out."));
    }

    #[test]
    fn a_chart_without_values_says_so() {
        assert!(figure(&Plot::from(&chart(vec![]))).contains("No values to draw."));
    }

    #[test]
    fn thinning_keeps_the_ends_and_a_spike() {
        let mut points: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i), 0.5]).collect();
        points[54_321][1] = 9.0;
        let kept = thin(&points);
        assert!(kept.len() <= MOST_POINTS + 2);
        assert!(kept.contains(&points[54_321]));
        assert_eq!((kept[0], kept[kept.len() - 1]), (points[0], points[99_999]));
    }

    #[test]
    fn labels_at_the_ends_do_not_touch() {
        let lines: Vec<Line> = (0..6)
            .map(|i| {
                let points = vec![[0.0, 0.0], [1.0, 1.0 + f64::from(i) * 1e-3]];
                Line::measured(format!("run {i}"), points)
            })
            .collect();
        let html = figure(&Plot::from(&Chart { lines, ..Chart::default() }));
        let mut tops: Vec<f64> = html
            .split("class=\"end ")
            .skip(1)
            .filter_map(|s| s.split("top:").nth(1)?.split("px").next()?.parse().ok())
            .collect();
        tops.sort_by(f64::total_cmp);
        assert_eq!(tops.len(), 6);
        assert!(tops.windows(2).all(|w| w[1] - w[0] >= LABEL - 0.02), "{tops:?}");
    }
}

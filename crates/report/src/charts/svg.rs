//! A chart as a picture of its own, for documents that cannot hold HTML.

use std::fmt::Write;

use super::axis::Axis;
use super::chart::{Plot, Series, axes};
use crate::Chart;
use crate::html::escape;
use crate::numbers::{coordinate, significant};

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
/// Space for the title above, and for ticks and their name below.
const TOP: f64 = 62.0;
const BOTTOM: f64 = 52.0;
const LEFT: f64 = 58.0;
/// Room for the lines' names.
const RIGHT: f64 = 196.0;
/// Least distance between two names.
const LABEL: f64 = 16.0;
/// The longest name that is written.
const LONGEST_NAME: usize = 24;

/// The colours of lines, for light and dark pages. A picture in a document follows the reader's
/// preference.
const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#5a6270}.title{font-size:16px;font-weight:600;fill:#1c1f24}\
.rule{stroke:#d9dde3;fill:none}.line{fill:none;stroke:var(--c);stroke-width:2;stroke-linejoin:round}\
.whisker{fill:none;stroke:var(--c);stroke-width:1.2;opacity:.75}.grey{--c:#8a919c;stroke-dasharray:5 4}\
.dot{fill:var(--c)}.name{fill:var(--c);font-weight:600}.name.grey{stroke-dasharray:none;fill:#6a717c}\
.c0{--c:#2456b3}.c1{--c:#c25a1c}.c2{--c:#8c124a}.c3{--c:#8f55c4}.c4{--c:#25827b}.c5{--c:#55137c}.c6{--c:#0e4404}\
.c7{--c:#705b03}.c8{--c:#bb4563}.c9{--c:#68649a}\
@media (prefers-color-scheme:dark){text{fill:#a4abb5}.title{fill:#e8eaed}.rule{stroke:#3a3f46}.grey{--c:#8a919c}\
.name.grey{fill:#a4abb5}.c0{--c:#8ab4f8}.c1{--c:#fea620}.c2{--c:#e283b0}.c3{--c:#b98bb9}.c4{--c:#2fe1de}.c5{--c:#8f9be8}\
.c6{--c:#bad09a}.c7{--c:#b8b86c}.c8{--c:#e0763a}.c9{--c:#3fb4ea}}";

impl Chart {
    /// The chart as an SVG file: title, axes with ticks, lines with their names at the right. It
    /// needs no other file, and follows the reader's preference for light or dark pages.
    pub fn to_svg(&self) -> String {
        let plot = Plot::from(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\"><style>{STYLE}</style>\
             <text class=\"title\" x=\"12\" y=\"26\">{}</text>",
            escape(&self.title),
            escape(&self.title)
        );
        if let (Some(x), Some(y)) = axes(&plot) {
            svg.push_str(&frame(&plot, &x, &y));
            for series in &plot.series {
                svg.push_str(&line(series, &x, &y));
            }
            svg.push_str(&names(&plot.series, &x, &y));
        } else {
            let _ = write!(svg, "<text x=\"12\" y=\"80\">No values to draw.</text>");
        }
        svg.push_str("</svg>\n");
        svg
    }
}

fn across(place: f64) -> f64 {
    LEFT + place * (WIDTH - LEFT - RIGHT)
}

fn down(place: f64) -> f64 {
    HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)
}

/// Rules, ticks and the names of the axes.
fn frame(plot: &Plot, x: &Axis, y: &Axis) -> String {
    let mut svg = format!("<text x=\"12\" y=\"48\">{}</text>", escape(plot.y_label));
    for (place, text) in y.ticks() {
        let at = coordinate(down(place));
        let (left, right) = (coordinate(LEFT), coordinate(WIDTH - RIGHT));
        let _ = write!(
            svg,
            "<path class=\"rule\" d=\"M{left} {at}H{right}\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{text}</text>",
            coordinate(LEFT - 8.0),
            coordinate(down(place) + 4.5),
        );
    }
    for (place, text) in x.ticks() {
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{text}</text>",
            coordinate(across(place)),
            coordinate(HEIGHT - BOTTOM + 20.0),
        );
    }
    let _ = write!(
        svg,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        coordinate(across(0.5)),
        coordinate(HEIGHT - 10.0),
        escape(plot.x_label)
    );
    svg
}

fn class(series: &Series) -> String {
    series.color.map_or("grey".into(), |color| format!("c{}", color % 10))
}

fn line(series: &Series, x: &Axis, y: &Axis) -> String {
    let class = class(series);
    let (mut path, mut drawing, mut count) = (String::new(), false, 0);
    for point in series.points {
        match (x.place(point[0]), y.place(point[1])) {
            (Some(at_x), Some(at_y)) => {
                let command = if drawing { 'L' } else { 'M' };
                let (right, low) = (coordinate(across(at_x)), coordinate(down(at_y)));
                let _ = write!(path, "{command}{right} {low}");
                drawing = true;
                count += 1;
            }
            _ => drawing = false,
        }
    }
    let mut svg = String::new();
    let mut whiskers = String::new();
    for (at, [low, high]) in series.whiskers() {
        if let (Some(at), Some(low), Some(high)) = (x.place(at), y.place(low), y.place(high)) {
            let (low, high) = (coordinate(down(low)), coordinate(down(high)));
            let _ = write!(whiskers, "M{} {low}V{high}", coordinate(across(at)));
        }
    }
    if !whiskers.is_empty() {
        let _ = write!(svg, "<path class=\"whisker {class}\" d=\"{whiskers}\"/>");
    }
    let _ = write!(svg, "<path class=\"line {class}\" d=\"{path}\"/>");
    // Few points are drawn one by one, many as a curve.
    if (1..=12).contains(&count) && series.color.is_some() {
        for point in series.points {
            if let (Some(at_x), Some(at_y)) = (x.place(point[0]), y.place(point[1])) {
                let (right, low) = (coordinate(across(at_x)), coordinate(down(at_y)));
                let _ = write!(
                    svg,
                    "<circle class=\"dot {class}\" cx=\"{right}\" cy=\"{low}\" r=\"3\"/>"
                );
            }
        }
    }
    svg
}

/// The lines' names beside their ends, moved apart so that none overlap.
fn names(series: &[Series], x: &Axis, y: &Axis) -> String {
    let end = |series: &Series| {
        let drawn = |p: &&[f64; 2]| x.place(p[0]).is_some();
        let mut found =
            series.points.iter().filter(drawn).filter_map(|p| Some((y.place(p[1])?, p[1])));
        found.next_back()
    };
    let mut labels: Vec<(f64, f64, &Series)> = series
        .iter()
        .filter_map(|s| end(s).map(|(place, value)| (down(place), value, s)))
        .collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    for i in 1..labels.len() {
        labels[i].0 = labels[i].0.max(labels[i - 1].0 + LABEL);
    }
    let mut floor = HEIGHT - BOTTOM;
    for label in labels.iter_mut().rev() {
        label.0 = label.0.min(floor);
        floor = label.0 - LABEL;
    }
    let mut svg = String::new();
    for (top, value, series) in labels {
        let mut name: String = series.name.chars().take(LONGEST_NAME).collect();
        if name.len() < series.name.len() {
            name.push('…');
        }
        let _ = write!(
            svg,
            "<text class=\"name {}\" x=\"{}\" y=\"{}\">{} {}</text>",
            class(series),
            coordinate(WIDTH - RIGHT + 10.0),
            coordinate(top + 4.5),
            escape(&name),
            significant(value, 3)
        );
    }
    svg
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Line;

    /// Every number of an attribute that holds coordinates.
    fn numbers(svg: &str) -> Vec<f64> {
        let paths = svg.split(" d=\"").skip(1).filter_map(|rest| rest.split('"').next());
        let all = paths.flat_map(|d| d.split(|c: char| !(c.is_ascii_digit() || "-.".contains(c))));
        all.filter_map(|text| text.parse().ok()).collect()
    }

    proptest! {
        /// Lines and whiskers stay within the picture, whatever is measured.
        #[test]
        fn everything_lies_within_the_picture(
            points in proptest::collection::vec((1e-3f64..1e6, -1e9f64..1e9, 0.0f64..1e9), 1..20),
            log_x in proptest::bool::ANY,
        ) {
            let lines = vec![Line {
                ranges: points.iter().map(|(_, y, r)| [y - r, y + r]).collect(),
                ..Line::measured("a <b> & \"c\"", points.iter().map(|(x, y, _)| [*x, *y]).collect())
            }];
            let svg = Chart { title: "<t>".into(), log_x, lines, ..Chart::default() }.to_svg();
            prop_assert!(!svg.contains("<b>") && !svg.contains("<t>") && !svg.contains("NaN"));
            let numbers = numbers(&svg);
            prop_assert!(numbers.len() > 4);
            prop_assert!(numbers.iter().all(|v| (0.0..=WIDTH).contains(v)), "{numbers:?}");
        }
    }

    #[test]
    fn batch_sizes_are_the_ticks_of_a_logarithmic_axis() {
        let lines = vec![Line::measured("m", vec![[32.0, 1.0], [64.0, 2.0], [256.0, 3.0]])];
        let svg = Chart { log_x: true, lines, ..Chart::default() }.to_svg();
        let place = |text: &str| -> f64 {
            let before =
                svg.split(&format!("\" text-anchor=\"middle\">{text}</text>")).next().unwrap();
            let x = before.rsplit("x=\"").next().unwrap();
            x.split('"').next().unwrap().parse().unwrap()
        };
        let (a, b, c) = (place("32"), place("64"), place("256"));
        assert!(((c - b) / (b - a) - 2.0).abs() < 0.01, "{a} {b} {c}");
    }

    #[test]
    fn nine_names_do_not_lie_on_each_other() {
        let lines = (0..9).map(|i| Line::measured(format!("m{i}"), vec![[0.0, 0.0], [1.0, 1.0]]));
        let svg = Chart { lines: lines.collect(), ..Chart::default() }.to_svg();
        let mut tops: Vec<f64> = svg
            .split("class=\"name ")
            .skip(1)
            .map(|s| s.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        tops.sort_by(f64::total_cmp);
        assert!(tops.windows(2).all(|w| w[1] - w[0] >= LABEL - 0.02), "{tops:?}");
    }

    #[test]
    fn a_chart_without_values_says_so() {
        assert!(Chart::default().to_svg().contains("No values to draw."));
    }
}

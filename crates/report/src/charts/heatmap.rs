//! Matrices as pictures with one pixel for each value. The browser scales them up.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::html::{escape, grid, heading};
use crate::numbers::significant;
use crate::{Heatmap, ReportError};

/// Grey value of the palette's middle: 0 lies at index 127 of 0 to 254.
const ZERO: u8 = 127;
/// The palette's last index: not a number.
const MISSING: u8 = 255;

type Rgb = [u8; 3];

/// Colours of −1, −½, 0, ½ and 1. Every eye can tell blue from orange.
const LIGHT: [Rgb; 5] =
    [[133, 58, 4], [236, 151, 74], [250, 250, 250], [96, 146, 214], [20, 52, 120]];
/// The same for a dark page: zero is dark, the ends are bright.
const DARK: [Rgb; 5] =
    [[255, 205, 150], [196, 106, 32], [30, 32, 37], [56, 110, 190], [170, 208, 255]];

/// Heat maps with their titles, side by side.
///
/// # Errors
/// A matrix whose values are not as many as it says.
pub fn heatmaps(maps: &[(String, &Heatmap)]) -> Result<String, ReportError> {
    let figures: Vec<String> =
        maps.iter().map(|(title, map)| figure(title, map)).collect::<Result<_, _>>()?;
    Ok(grid(&figures))
}

fn figure(title: &str, map: &Heatmap) -> Result<String, ReportError> {
    let sides = [map.rows, map.columns];
    if sides.iter().any(|s| *s == 0 || *s > Heatmap::MOST_SIDE)
        || map.rows * map.columns != map.values.len()
    {
        return Err(ReportError::Heatmap {
            title: map.title.clone(),
            rows: map.rows,
            columns: map.columns,
            values: map.values.len(),
        });
    }
    let summary = summary(map);
    let alt = escape(&format!("{title}: {} × {} values. {summary}", map.rows, map.columns));
    let (light, dark) = (picture(map, &LIGHT)?, picture(map, &DARK)?);
    Ok(format!(
        "<figure class=\"heatmap\"><figcaption>{}</figcaption>\
         <picture><source media=\"screen and (prefers-color-scheme: dark)\" srcset=\"{dark}\">\
         <img src=\"{light}\" width=\"{}\" height=\"{}\" alt=\"{alt}\"></picture>\
         <div class=\"bar\" aria-hidden=\"true\"><i></i><span>−1</span><span>0</span><span>1</span></div>\
         <p class=\"figure\">{}</p></figure>",
        heading(title, &map.caption),
        map.columns,
        map.rows,
        escape(&summary),
    ))
}

/// The picture in numbers: how near a square matrix is to the identity.
fn summary(map: &Heatmap) -> String {
    let mean = |values: &mut dyn Iterator<Item = f32>| {
        let finite: Vec<f64> = values.filter(|v| v.is_finite()).map(f64::from).collect();
        (!finite.is_empty()).then(|| finite.iter().sum::<f64>() / finite.len() as f64)
    };
    let numbered = || map.values.iter().copied().enumerate();
    let number = |value: Option<f64>| value.map_or("–".into(), |v| significant(v, 2));
    if map.rows != map.columns || map.rows < 2 {
        return format!("Mean {}.", number(mean(&mut map.values.iter().copied())));
    }
    let on_diagonal = |i: usize| i.is_multiple_of(map.columns + 1);
    let diagonal = mean(&mut numbered().filter(|(i, _)| on_diagonal(*i)).map(|(_, v)| v));
    let beside = mean(&mut numbered().filter(|(i, _)| !on_diagonal(*i)).map(|(_, v)| v.abs()));
    format!("Diagonal, mean {}; beside it, mean size {}.", number(diagonal), number(beside))
}

/// The matrix as an indexed PNG in a data URL.
fn picture(map: &Heatmap, stops: &[Rgb; 5]) -> Result<String, ReportError> {
    let pixels: Vec<u8> = map.values.iter().map(|v| index(*v)).collect();
    let mut palette: Vec<u8> = (0..MISSING).flat_map(|i| color(i, stops)).collect();
    palette.extend([0, 0, 0]);
    let mut opacity = vec![255; usize::from(MISSING)];
    opacity.push(0);

    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, map.columns as u32, map.rows as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.set_trns(opacity);
    encoder.set_compression(png::Compression::High);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(file)))
}

fn index(value: f32) -> u8 {
    if value.is_nan() {
        return MISSING;
    }
    (f32::from(ZERO) + value.clamp(-1.0, 1.0) * f32::from(ZERO)).round() as u8
}

fn color(index: u8, stops: &[Rgb; 5]) -> Rgb {
    let at = f32::from(index) / f32::from(ZERO) * 2.0;
    let stop = (at as usize).min(3);
    let share = at - stop as f32;
    std::array::from_fn(|c| {
        let (from, to) = (f32::from(stops[stop][c]), f32::from(stops[stop + 1][c]));
        (from + (to - from) * share).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_side_of_zero() {
        assert_eq!([-9.0, -1.0, 0.0, 1.0, f32::INFINITY].map(index), [0, 0, 127, 254, 254]);
        assert_eq!(index(f32::NAN), MISSING);
        assert_eq!([0, 127, 254].map(|i| color(i, &LIGHT)), [LIGHT[0], LIGHT[2], LIGHT[4]]);
    }

    #[test]
    fn the_summary_is_the_distance_from_the_identity() {
        let values = vec![1.0, -0.2, 0.2, 0.8];
        let map = Heatmap { rows: 2, columns: 2, values, ..Heatmap::default() };
        assert_eq!(summary(&map), "Diagonal, mean 0.90; beside it, mean size 0.20.");
    }

    #[test]
    fn sides_that_do_not_match_the_values_are_an_error() {
        let sizes = [(2, 2), (usize::MAX, 2), (0, 0), (1, 2000)];
        for (rows, columns) in sizes {
            let map = Heatmap { rows, columns, values: vec![0.0; 3], ..Heatmap::default() };
            assert!(matches!(figure("", &map), Err(ReportError::Heatmap { .. })));
        }
    }
}

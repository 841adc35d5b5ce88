//! Embeddings in two dimensions: a dot for each image, a colour for each class, the image itself on request.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::html::{escape, grid, heading};
use crate::numbers::coordinate;
use crate::sprite::Tiles;
use crate::{Map, ReportError};

/// Classes with a colour of their own: ten colours, round and square. Others are grey.
const MOST_CLASSES: usize = 20;
/// Most classes whose names are written into the map.
const MOST_NAMES: usize = 12;
/// Least distance of two names, of 1000.
const NAME: f64 = 42.0;

/// The colours of classes, shared by all maps of a page.
pub struct Classes {
    /// Class numbers in the order of their colours.
    colored: Vec<u32>,
}

impl Classes {
    /// The most frequent classes of all maps, in the order of their numbers.
    pub fn of<'a>(maps: impl Iterator<Item = &'a Map>) -> Self {
        let mut counts = BTreeMap::new();
        for class in maps.flat_map(|m| m.classes.iter().flatten()) {
            *counts.entry(*class).or_insert(0usize) += 1;
        }
        let mut colored: Vec<(usize, u32)> = counts.into_iter().map(|(c, n)| (n, c)).collect();
        colored.sort_by_key(|(count, class)| (usize::MAX - count, *class));
        colored.truncate(MOST_CLASSES);
        let mut colored: Vec<u32> = colored.into_iter().map(|(_, class)| class).collect();
        colored.sort_unstable();
        Self { colored }
    }

    fn slot(&self, class: Option<u32>) -> Option<usize> {
        class.and_then(|c| self.colored.binary_search(&c).ok())
    }
}

/// A map with its title and its pictures.
pub struct Shown<'a> {
    /// The heading.
    pub title: String,
    /// The points.
    pub map: &'a Map,
    /// Where its images are.
    pub tiles: &'a Tiles<'a>,
}

/// Maps under one legend, those of a group side by side.
///
/// # Errors
/// Lists of different lengths, or too many points.
pub fn maps(groups: &[Vec<Shown>]) -> Result<String, ReportError> {
    let Some(first) = groups.iter().flatten().next() else { return Ok(String::new()) };
    let classes = Classes::of(groups.iter().flatten().map(|s| s.map));
    let mut legend = String::new();
    for (slot, class) in classes.colored.iter().enumerate() {
        let _ = write!(
            legend,
            "<label class=\"k{}{}\"><input type=\"checkbox\" value=\"{slot}\"><i></i>{}</label>",
            slot % 10,
            if slot >= 10 { " square" } else { "" },
            escape(&first.tiles.name(*class))
        );
    }
    if !legend.is_empty() {
        legend = format!(
            "<fieldset class=\"legend\"><legend>Select classes to set them off</legend>{legend}</fieldset>"
        );
    }
    let mut grids = String::new();
    for group in groups {
        let figures: Vec<String> =
            group.iter().map(|s| figure(s, &classes)).collect::<Result<_, _>>()?;
        grids.push_str(&grid(&figures));
    }
    Ok(format!("<div class=\"maps\">{legend}{grids}</div>"))
}

fn figure(shown: &Shown, classes: &Classes) -> Result<String, ReportError> {
    let map = shown.map;
    let fits = |len: usize| len == 0 || len == map.points.len();
    if map.points.len() > Map::MOST_POINTS || !fits(map.classes.len()) || !fits(map.images.len()) {
        return Err(ReportError::Map {
            title: map.title.clone(),
            points: map.points.len(),
            classes: map.classes.len(),
            images: map.images.len(),
        });
    }
    let head = heading(&shown.title, &map.caption);
    let Some(places) = places(&map.points) else {
        return Ok(format!(
            "<figure class=\"map\"><figcaption>{head}</figcaption>\
             <p class=\"none\">No points to draw.</p></figure>"
        ));
    };
    let mut groups: BTreeMap<Option<usize>, Group> = BTreeMap::new();
    for (i, place) in places.iter().enumerate() {
        let Some(place) = place else { continue };
        let class = map.classes.get(i).copied().flatten();
        let group = groups.entry(classes.slot(class)).or_default();
        group.places.push(*place);
        group.images.push(map.images.get(i).copied());
    }
    let missing = places.iter().filter(|p| p.is_none()).count();

    let mut dots = String::new();
    let mut names = Vec::new();
    for (slot, group) in &groups {
        let name = slot.map_or("other".into(), |s| shown.tiles.name(classes.colored[s]));
        let class = slot.map_or("grey".into(), |s| format!("k{} s{s}", s % 10));
        let square = if slot.is_some_and(|s| s >= 10) { " square" } else { "" };
        let _ = write!(
            dots,
            "<path class=\"dot {class}{square}\" data-name=\"{}\" data-at=\"{}\" d=\"{}\"/>",
            escape(&name),
            group.positions(shown.tiles),
            group.path()
        );
        if slot.is_some() && groups.len() <= MOST_NAMES {
            names.push((group.center(), class, name));
        }
    }
    let count: usize = groups.values().map(|g| g.places.len()).sum();
    let alt = escape(&format!(
        "{}: {count} images as points, in {} groups by class.",
        shown.title,
        groups.len()
    ));
    let mut html = format!(
        "<figure class=\"map\" data-tile=\"{}\"><figcaption>{head}</figcaption><div class=\"field\">\
         <svg viewBox=\"0 0 1000 1000\" role=\"img\" aria-label=\"{alt}\">{dots}</svg>{}<b class=\"ring\" hidden></b>\
         </div>",
        shown.tiles.class(),
        labels(names)
    );
    if missing > 0 {
        let _ = write!(html, "<p class=\"warn\">{missing} points are not finite and left out.</p>");
    }
    html.push_str("</figure>");
    Ok(html)
}

/// Points of one class.
#[derive(Default)]
struct Group {
    places: Vec<[f64; 2]>,
    images: Vec<Option<u32>>,
}

impl Group {
    fn path(&self) -> String {
        let dot = |p: &[f64; 2]| format!("M{} {}h.1", coordinate(p[0]), coordinate(p[1]));
        self.places.iter().map(dot).collect()
    }

    /// Where each point's thumbnail lies in the sprite, for the script.
    fn positions(&self, tiles: &Tiles) -> String {
        if self.images.iter().all(Option::is_none) {
            return String::new();
        }
        let position =
            |image: &Option<u32>| image.and_then(|i| tiles.position(i)).unwrap_or_default();
        self.images.iter().map(position).collect::<Vec<_>>().join(",")
    }

    /// The median in each direction: in the thick of the class, whatever its stragglers do.
    fn center(&self) -> [f64; 2] {
        [0, 1].map(|axis| {
            let mut values: Vec<f64> = self.places.iter().map(|p| p[axis]).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(500.0)
        })
    }
}

/// Class names over their points, moved down where two would lie on each other.
fn labels(mut names: Vec<([f64; 2], String, String)>) -> String {
    names.sort_by(|a, b| a.0[1].total_cmp(&b.0[1]));
    let mut html = String::new();
    let mut taken: Vec<[f64; 3]> = Vec::new();
    for ([x, mut y], class, name) in names {
        let width = 13.0 * name.chars().count() as f64;
        for other in &taken {
            if (other[0] - x).abs() < (other[2] + width) / 2.0 && y < other[1] + NAME {
                y = y.max(other[1] + NAME);
            }
        }
        taken.push([x, y, width]);
        let _ = write!(
            html,
            "<span class=\"name {class}\" style=\"left:{}%;top:{}%\">{}</span>",
            coordinate(x.clamp(80.0, 920.0) / 10.0),
            coordinate(y.clamp(20.0, 980.0) / 10.0),
            escape(&name)
        );
    }
    html
}

/// Points within 0..1000 with a margin, the first axis to the right and the second upwards, on one scale.
/// `None` where no point is finite.
fn places(points: &[[f32; 2]]) -> Option<Vec<Option<[f64; 2]>>> {
    let point = |p: &[f32; 2]| p.iter().all(|v| v.is_finite()).then(|| p.map(f64::from));
    let finite = || points.iter().filter_map(point);
    finite().next()?;
    let bounds = [0, 1].map(|axis| {
        finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), p| {
            (low.min(p[axis]), high.max(p[axis]))
        })
    });
    let span = bounds.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
    let scale = if span > 0.0 { 940.0 / span } else { 0.0 };
    let center = bounds.map(|(low, high)| (low + high) / 2.0);
    let place =
        |p: [f64; 2]| [500.0 + (p[0] - center[0]) * scale, 500.0 - (p[1] - center[1]) * scale];
    Some(points.iter().map(|p| point(p).map(place)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_axes_keep_one_scale() {
        let points = [[0.0, 0.0], [4.0, 1.0], [f32::NAN, 0.0], [0.0, f32::INFINITY]];
        let places = places(&points).unwrap();
        assert_eq!(places, [Some([30.0, 617.5]), Some([970.0, 382.5]), None, None]);
    }

    #[test]
    fn one_point_stands_in_the_middle_and_none_is_nothing() {
        assert_eq!(places(&[[7.0, -3.0]]), Some(vec![Some([500.0, 500.0])]));
        assert_eq!(places(&[[f32::NAN, 0.0]]), None);
    }

    #[test]
    fn only_the_most_frequent_classes_have_colours() {
        let classes: Vec<Option<u32>> =
            (0..30).flat_map(|c| vec![Some(c); 1 + c as usize]).collect();
        let map = Map { classes, ..Map::default() };
        let classes = Classes::of([&map].into_iter());
        assert_eq!(classes.colored, (10..30).collect::<Vec<u32>>());
        assert_eq!(
            (classes.slot(Some(10)), classes.slot(Some(9)), classes.slot(None)),
            (Some(0), None, None)
        );
    }
}

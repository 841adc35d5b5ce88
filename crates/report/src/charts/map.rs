//! Embeddings in two dimensions: a dot for each image, a colour for each class, and the image
//! itself under the pointer.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::html::sprite::Tiles;
use crate::html::{escape, grid, heading};
use crate::numbers::coordinate;
use crate::{Map, ReportError};

/// Classes with a mark of their own: ten colours, round and square. Others are grey.
const MOST_CLASSES: usize = 20;
/// Most classes whose names are written into the map.
const MOST_NAMES: usize = 12;
/// Most characters of a name that is written into the map; longer ones are cut.
const LONGEST_NAME: usize = 22;
/// Side of the smallest map in pixels, on a phone. Names that do not overlap there overlap nowhere.
const SMALLEST: f64 = 325.0;
/// A name in pixels: its height, the space around its text, and a bold letter of a wide font.
const NAME: [f64; 3] = [21.0, 28.0, 8.5];

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

    /// The median in each direction. It lies within the class, whatever its outliers do.
    fn center(&self) -> [f64; 2] {
        [0, 1].map(|axis| {
            let mut values: Vec<f64> = self.places.iter().map(|p| p[axis]).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied().unwrap_or(500.0)
        })
    }
}

/// Class names over their points. They move as little as needed, so that none overlaps another or
/// leaves the map. A name without room stands in the legend only.
fn labels(names: Vec<([f64; 2], String, String)>) -> String {
    let mut html = String::new();
    let mut taken: Vec<Label> = Vec::new();
    for (center, class, name) in names {
        let mut short: String = name.chars().take(LONGEST_NAME).collect();
        if short.len() < name.len() {
            short.push('…');
        }
        let Some(label) = Label::beside(center, short.chars().count(), &taken) else { continue };
        let [left, top] = label.center.map(|v| coordinate(v / 10.0));
        taken.push(label);
        let _ = write!(
            html,
            "<span class=\"name {class}\" style=\"left:{left}%;top:{top}%\">{}</span>",
            escape(&short)
        );
    }
    html
}

/// The room of a name on the smallest map, of 1000.
#[derive(Debug, Clone, Copy)]
struct Label {
    center: [f64; 2],
    size: [f64; 2],
}

impl Label {
    /// The free place nearest to `center`.
    fn beside(center: [f64; 2], letters: usize, taken: &[Self]) -> Option<Self> {
        let [height, around, letter] = NAME.map(|pixels| pixels * 1000.0 / SMALLEST);
        let size = [around + letter * letters as f64, height];
        let mut steps: Vec<[f64; 2]> = (-8..=8)
            .flat_map(|x| (-30..=30).map(move |y| [60.0 * f64::from(x), 33.0 * f64::from(y)]))
            .collect();
        let far = |step: &[f64; 2]| step[0] * step[0] + step[1] * step[1];
        steps.sort_by(|a, b| far(a).total_cmp(&far(b)));
        steps.into_iter().find_map(|step| {
            let within = |i: usize| {
                let half = size[i] / 2.0;
                (center[i] + step[i]).max(half).min(1000.0 - half)
            };
            let label = Self { center: [within(0), within(1)], size };
            (!taken.iter().any(|other| label.overlaps(other))).then_some(label)
        })
    }

    fn overlaps(&self, other: &Self) -> bool {
        [0, 1].into_iter().all(|i| {
            (self.center[i] - other.center[i]).abs() < (self.size[i] + other.size[i]) / 2.0
        })
    }
}

/// Points within 0..1000 with a margin, the first axis to the right and the second upwards, on one
/// scale. `None` where no point is finite.
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
    fn names_of_classes_that_lie_together_do_not_overlap() {
        let names = ["t-shirt", "dress", "trouser", "ankle boot", "shirt", "coat", "bag", "sandal"];
        let mut taken: Vec<Label> = Vec::new();
        for (i, name) in names.iter().cycle().take(MOST_NAMES).enumerate() {
            // All within a twentieth of the map, some at its corner.
            let at = [970.0 + 3.0 * i as f64, 20.0 + 4.0 * (i % 3) as f64];
            let label = Label::beside(at, name.chars().count(), &taken).unwrap();
            assert!(!taken.iter().any(|other| label.overlaps(other)), "{name}");
            for (center, size) in label.center.iter().zip(label.size) {
                assert!((0.0..=1000.0).contains(&(center - size / 2.0)), "{name} leaves the map");
                assert!((0.0..=1000.0).contains(&(center + size / 2.0)), "{name} leaves the map");
            }
            taken.push(label);
        }
        // Where there is room, a name stands where its class is.
        let alone = Label::beside([200.0, 900.0], 5, &taken).unwrap();
        assert_eq!(alone.center, [200.0, 900.0]);
    }

    #[test]
    fn a_long_name_is_cut() {
        let name = "a class with a name that nobody can read on a map";
        let html = labels(vec![([500.0, 500.0], "k0".into(), name.into())]);
        assert!(html.contains(">a class with a name th…<"), "{html}");
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

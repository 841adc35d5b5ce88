//! Thumbnails, galleries and maps of a report.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::imageops::{FilterType, replace, resize};
use image::{ImageFormat, RgbImage};
use selfsame_eval::{Features, LabelledImages, Pca, TSne};
use selfsame_report::{Gallery, GalleryRow, Map, Neighbour, Sprite};

use crate::bridge::PlainImages;
use crate::gallery::Row;

/// The largest side of a thumbnail.
const LARGEST_TILE: u32 = 48;
const COLUMNS: u32 = 32;

/// Collects the images that a page shows, each once.
pub struct Thumbnails<'a> {
    sets: [&'a PlainImages; 2],
    tile: u32,
    places: BTreeMap<(usize, usize), u32>,
    order: Vec<(usize, usize)>,
}

/// Which of the two sets an image is from.
pub const QUERY: usize = 0;
pub const BANK: usize = 1;

impl<'a> Thumbnails<'a> {
    /// `size`: the side of a view.
    pub fn new(queries: &'a PlainImages, bank: &'a PlainImages, size: u32) -> Self {
        let tile = size.clamp(16, LARGEST_TILE);
        Self { sets: [queries, bank], tile, places: BTreeMap::new(), order: Vec::new() }
    }

    /// The place of an image in the sprite.
    pub fn place(&mut self, set: usize, index: usize) -> u32 {
        let order = &mut self.order;
        *self.places.entry((set, index)).or_insert_with(|| {
            order.push((set, index));
            order.len() as u32 - 1
        })
    }

    pub fn sprite(&self) -> anyhow::Result<Sprite> {
        let count = self.order.len() as u32;
        let (columns, tile) = (COLUMNS.min(count.max(1)), self.tile);
        let rows = count.div_ceil(columns).max(1);
        let mut sheet = RgbImage::new(columns * tile, rows * tile);
        for (place, (set, index)) in self.order.iter().enumerate() {
            let image = self.sets[*set].dataset().image(*index)?;
            let small = image.width().max(image.height()) < tile;
            let filter = if small { FilterType::Nearest } else { FilterType::Triangle };
            let (x, y) = (place as u32 % columns * tile, place as u32 / columns * tile);
            replace(&mut sheet, &resize(&*image, tile, tile, filter), i64::from(x), i64::from(y));
        }
        let mut png = Vec::new();
        sheet.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
        Ok(Sprite { png, tile, columns, count })
    }
}

/// Queries with the images of the bank that are nearest to them.
pub fn gallery(
    title: &str,
    caption: &str,
    rows: &[Row],
    thumbnails: &mut Thumbnails<'_>,
) -> Gallery {
    let [queries, bank] = thumbnails.sets;
    let rows = rows.iter().map(|row| GalleryRow {
        query: thumbnails.place(QUERY, row.query),
        query_label: queries.label(row.query),
        neighbours: row
            .neighbours
            .iter()
            .map(|(index, similarity)| Neighbour {
                image: thumbnails.place(BANK, *index),
                similarity: *similarity,
                label: bank.label(*index),
            })
            .collect(),
    });
    let rows = rows.collect();
    Gallery { title: title.into(), caption: caption.into(), rows }
}

/// Maps of the queries' features, before and after training: PCA and t-SNE.
pub fn maps(
    before: &Features,
    after: &Features,
    thumbnails: &mut Thumbnails<'_>,
) -> anyhow::Result<Vec<Map>> {
    let images: Vec<u32> = (0..after.rows()).map(|i| thumbnails.place(QUERY, i)).collect();
    let classes: Vec<Option<u32>> = thumbnails.sets[QUERY].labels();
    let classes = if classes.iter().any(Option::is_some) { classes } else { Vec::new() };
    let map = |title: String, caption: String, points: Vec<[f32; 2]>| Map {
        title,
        caption,
        points,
        classes: classes.clone(),
        images: images.clone(),
    };
    let sides = [("before training", before.normalized()), ("after training", after.normalized())];
    let mut maps = Vec::new();
    for (side, unit) in &sides {
        if unit.rows() > 2 && unit.dim() >= 2 {
            let (points, share) = plane(unit)?;
            let caption = format!(
                "The plane of the largest variance of the normalised features; it holds {:.0} % of it.",
                100.0 * share
            );
            maps.push(map(format!("PCA, {side}"), caption, points));
        }
    }
    for (side, unit) in &sides {
        let caption = "Neighbours on this map are neighbours among the features; distances between groups say little.";
        maps.push(map(format!("t-SNE, {side}"), caption.into(), TSne::default().map(unit)?));
    }
    Ok(maps)
}

/// The first two principal components, and the share of the variance that they hold.
fn plane(features: &Features) -> anyhow::Result<(Vec<[f32; 2]>, f64)> {
    let pca = Pca::fit(features, 2)?;
    let share = pca.explained_variance_share().iter().sum();
    let points = pca.transform(features)?;
    let points = points.iter().filter_map(|p| Some([*p.first()?, *p.get(1)?])).collect();
    Ok((points, share))
}

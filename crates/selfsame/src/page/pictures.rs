//! Thumbnails, galleries and maps of a report.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::imageops::replace;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use selfsame_eval::{Features, LabelledImages, Pca, TSne};
use selfsame_report::{Gallery, GalleryRow, Map, Neighbour, Sprite};

use crate::features::images::PlainImages;
use crate::search::gallery::{Row, thumbnail};

/// The largest side of a picture in a gallery. Multiples of a JPEG block, so that no picture bleeds
/// into the next. Pictures on a map are smaller, because there are many more.
pub const GALLERY_TILE: u32 = 96;
pub const MAP_TILE: u32 = 40;
const JPEG_BLOCK: u32 = 8;
const COLUMNS: u32 = 32;
/// Up to this many bytes, a sheet keeps its exact pixels. A larger sheet holds photographs.
const MOST_PNG: usize = 1 << 20;
const JPEG_QUALITY: u8 = 80;

/// Collects the images of a page, each once.
pub struct Thumbnails<'a> {
    sets: [&'a PlainImages; 2],
    tile: u32,
    places: BTreeMap<(usize, usize), u32>,
    tiles: Vec<RgbImage>,
}

/// The set of an image.
pub const QUERY: usize = 0;
pub const BANK: usize = 1;

impl<'a> Thumbnails<'a> {
    /// `size`: the side of a view; `most`: the largest side of a thumbnail.
    pub fn new(queries: &'a PlainImages, bank: &'a PlainImages, size: u32, most: u32) -> Self {
        let tile = match size.clamp(16, most) {
            tile @ ..=32 => tile,
            tile => tile / JPEG_BLOCK * JPEG_BLOCK,
        };
        Self { sets: [queries, bank], tile, places: BTreeMap::new(), tiles: Vec::new() }
    }

    /// The position of an image in the sprite.
    pub fn place(&mut self, set: usize, index: usize) -> anyhow::Result<u32> {
        if let Some(place) = self.places.get(&(set, index)) {
            return Ok(*place);
        }
        let image = self.sets[set].dataset().image(index)?;
        let place = self.add(&image);
        self.places.insert((set, index), place);
        Ok(place)
    }

    /// The position of a picture from neither set.
    pub fn add(&mut self, image: &RgbImage) -> u32 {
        self.tiles.push(thumbnail(image, self.tile));
        self.tiles.len() as u32 - 1
    }

    pub fn sprite(&self) -> anyhow::Result<Sprite> {
        let count = self.tiles.len() as u32;
        let (columns, tile) = (COLUMNS.min(count.max(1)), self.tile);
        let rows = count.div_ceil(columns).max(1);
        let mut sheet = RgbImage::new(columns * tile, rows * tile);
        for (place, image) in (0..).zip(&self.tiles) {
            let (x, y) = (place % columns * tile, place / columns * tile);
            replace(&mut sheet, image, i64::from(x), i64::from(y));
        }
        Ok(Sprite { picture: encoded(&sheet)?, tile, columns, count })
    }
}

/// A sheet as a PNG, in grey if possible. As a JPEG if the PNG would be large.
fn encoded(sheet: &RgbImage) -> anyhow::Result<Vec<u8>> {
    let grey = sheet.pixels().all(|Rgb([r, g, b])| r == g && g == b);
    let mut png = Vec::new();
    let mut file = Cursor::new(&mut png);
    match grey {
        true => {
            DynamicImage::from(sheet.clone()).to_luma8().write_to(&mut file, ImageFormat::Png)?
        }
        false => sheet.write_to(&mut file, ImageFormat::Png)?,
    }
    if png.len() <= MOST_PNG {
        return Ok(png);
    }
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, JPEG_QUALITY).encode_image(sheet)?;
    Ok(jpeg)
}

/// Queries with their nearest images in the bank.
pub fn gallery(
    title: &str,
    caption: &str,
    rows: &[Row],
    thumbnails: &mut Thumbnails<'_>,
) -> anyhow::Result<Gallery> {
    let [queries, bank] = thumbnails.sets;
    let mut shown = Vec::new();
    for row in rows {
        let mut neighbours = Vec::new();
        for (index, similarity) in &row.neighbours {
            neighbours.push(Neighbour {
                image: thumbnails.place(BANK, *index)?,
                similarity: *similarity,
                label: bank.label(*index),
            });
        }
        shown.push(GalleryRow {
            query: thumbnails.place(QUERY, row.query)?,
            query_label: queries.label(row.query),
            neighbours,
        });
    }
    Ok(Gallery { title: title.into(), caption: caption.into(), rows: shown })
}

/// Maps of the queries' features, before and after training: PCA and t-SNE. `shown`: the images, in
/// words.
pub fn maps(
    before: &Features,
    after: &Features,
    shown: &str,
    thumbnails: &mut Thumbnails<'_>,
) -> anyhow::Result<Vec<Map>> {
    let images: Vec<u32> =
        (0..after.rows()).map(|i| thumbnails.place(QUERY, i)).collect::<anyhow::Result<_>>()?;
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
                "The plane of the largest variance of the normalised features of {shown}; it holds \
                 {:.0} % of the variance.",
                100.0 * share
            );
            maps.push(map(format!("PCA, {side}"), caption, points));
        }
    }
    for (side, unit) in &sides {
        let caption = format!(
            "The features of {shown}. Neighbours on this map are neighbours among the features; distances between \
             groups say little."
        );
        maps.push(map(format!("t-SNE, {side}"), caption, TSne::default().map(unit)?));
    }
    Ok(maps)
}

/// The first two principal components, and their share of the variance.
fn plane(features: &Features) -> anyhow::Result<(Vec<[f32; 2]>, f64)> {
    let pca = Pca::fit(features, 2)?;
    let share = pca.explained_variance_share().iter().sum();
    let points = pca.transform(features)?;
    let points = points.iter().filter_map(|p| Some([*p.first()?, *p.get(1)?])).collect();
    Ok((points, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neighbouring pixels differ little, as in a photograph, and no two pictures are equal.
    fn photograph(seed: u32) -> RgbImage {
        RgbImage::from_fn(100, 75, |x, y| {
            let wave = |a: u32, b: u32| {
                let at = (x * (1 + seed % a) + y * (1 + seed % b) + seed) as f32 / 20.0;
                at.sin() * 0.5 + 0.5
            };
            let grain = (x * 7919 + y * 104_729 + seed * 31) % 13;
            Rgb([wave(5, 7), wave(3, 11), wave(13, 2)].map(|v| (v * 230.0) as u8 + grain as u8))
        })
    }

    fn sheet(count: u32, tile: u32, image: impl Fn(u32) -> RgbImage) -> RgbImage {
        let mut sheet = RgbImage::new(COLUMNS * tile, count.div_ceil(COLUMNS) * tile);
        for i in 0..count {
            let (x, y) = (i % COLUMNS * tile, i / COLUMNS * tile);
            replace(&mut sheet, &thumbnail(&image(i), tile), i64::from(x), i64::from(y));
        }
        sheet
    }

    #[test]
    fn a_thousand_photographs_on_a_map_take_less_than_a_megabyte() {
        let bytes = encoded(&sheet(1000, MAP_TILE, photograph)).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xd8]), "no JPEG");
        assert!(bytes.len() < 1_000_000, "{}", bytes.len());
    }

    #[test]
    fn few_pictures_keep_every_pixel() {
        for grey in [false, true] {
            let sheet = sheet(40, 28, |i| match grey {
                true => {
                    let grey = DynamicImage::from(photograph(i)).to_luma8();
                    DynamicImage::from(grey).to_rgb8()
                }
                false => photograph(i),
            });
            let bytes = encoded(&sheet).unwrap();
            assert_eq!(image::load_from_memory(&bytes).unwrap().to_rgb8(), sheet);
        }
    }

    #[test]
    fn a_thumbnail_is_the_middle_of_its_image() {
        let halves = RgbImage::from_fn(300, 100, |x, _| Rgb([if x < 100 { 255 } else { 40 }; 3]));
        assert!(thumbnail(&halves, 48).pixels().all(|p| p.0 == [40; 3]));
    }
}

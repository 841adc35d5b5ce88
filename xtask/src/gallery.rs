//! Nearest neighbours as a picture: what the encoder takes to be alike.

use image::imageops::{FilterType, resize};
use image::{Rgb, RgbImage};
use selfsame_eval::Features;

use crate::bridge::PlainImages;
use crate::spread::spread;

const QUERIES: usize = 10;
const NEIGHBOURS: usize = 8;
const TILE: u32 = 56;
const GAP: u32 = 4;

/// A sheet of rows: a query on the left, its nearest training images by cosine similarity beside
/// it. A neighbour of another class than the query's has a red frame.
pub fn neighbours(
    queries: &PlainImages,
    query_features: &Features,
    bank: &PlainImages,
    bank_features: &Features,
) -> anyhow::Result<RgbImage> {
    let chosen = spread(query_features.rows(), QUERIES);
    let width = (NEIGHBOURS as u32 + 1) * (TILE + GAP) + 3 * GAP;
    let height = chosen.len() as u32 * (TILE + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255, 255, 255]));
    let (bank_unit, query_unit) = (bank_features.normalized(), query_features.normalized());
    for (row, query) in chosen.into_iter().enumerate() {
        let y = GAP + row as u32 * (TILE + GAP);
        paste(&mut sheet, queries, query, GAP, y, None)?;
        let Some(vector) = query_unit.iter().nth(query) else { continue };
        let mut order: Vec<(f32, usize)> = bank_unit
            .iter()
            .map(|other| vector.iter().zip(other).map(|(a, b)| a * b).sum())
            .zip(0..)
            .collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let label = queries.dataset().label(query);
        // An image is its own nearest neighbour where queries come from the bank itself.
        let nearest = order.iter().filter(|(s, i)| !(*s > 0.999_999 && *i == query));
        for (column, (_, index)) in nearest.take(NEIGHBOURS).enumerate() {
            let x = 3 * GAP + (column as u32 + 1) * (TILE + GAP);
            let other = bank.dataset().label(*index);
            let wrong = label.is_some() && other.is_some() && label != other;
            paste(&mut sheet, bank, *index, x, y, wrong.then_some(Rgb([220, 40, 40])))?;
        }
    }
    Ok(sheet)
}

fn paste(
    sheet: &mut RgbImage,
    images: &PlainImages,
    index: usize,
    x: u32,
    y: u32,
    frame: Option<Rgb<u8>>,
) -> anyhow::Result<()> {
    let image = images.dataset().image(index)?;
    let side = image.width().min(image.height());
    let filter = if side < TILE { FilterType::Nearest } else { FilterType::Triangle };
    let tile = resize(&*image, TILE, TILE, filter);
    image::imageops::replace(sheet, &tile, i64::from(x), i64::from(y));
    if let Some(color) = frame {
        for i in 0..TILE {
            for edge in 0..2 {
                for (px, py) in [(i, edge), (i, TILE - 1 - edge), (edge, i), (TILE - 1 - edge, i)] {
                    sheet.put_pixel(x + px, y + py, color);
                }
            }
        }
    }
    Ok(())
}

//! Nearest neighbours under the encoder, and a picture of them.

use std::io::Cursor;

use image::imageops::{FilterType, crop_imm, resize};
use image::{ImageFormat, Rgb, RgbImage};
use selfsame_eval::{Features, nearest};

use crate::evenly::evenly;
use crate::features::images::PlainImages;

const QUERIES: usize = 10;
const NEIGHBOURS: usize = 8;
const TILE: u32 = 56;
const GAP: u32 = 4;

/// A query and its nearest images in the bank: indices and cosine similarities.
pub struct Row {
    pub query: usize,
    pub neighbours: Vec<(usize, f32)>,
}

/// Some queries, evenly over all, with their nearest neighbours. `own`: the queries are also in the
/// bank, so each is nearest to itself.
pub fn rows(queries: &Features, bank: &Features, own: bool) -> anyhow::Result<Vec<Row>> {
    let chosen = evenly(queries.rows(), QUERIES);
    let values = chosen.iter().flat_map(|i| queries.iter().nth(*i).into_iter().flatten().copied());
    let some = Features::new(values.collect(), chosen.len(), queries.dim())?;
    let found = nearest(bank, &some, NEIGHBOURS + usize::from(own))?;
    let rows = chosen.into_iter().zip(found.iter()).map(|(query, (indices, similarities))| {
        let all = indices.iter().zip(similarities).map(|(i, s)| (*i as usize, *s));
        Row { query, neighbours: all.skip(usize::from(own)).collect() }
    });
    Ok(rows.collect())
}

/// A sheet of rows as a PNG: a query on the left, its neighbours beside it. A neighbour of another
/// class has a red frame.
pub fn sheet(rows: &[Row], queries: &PlainImages, bank: &PlainImages) -> anyhow::Result<Vec<u8>> {
    let width = (NEIGHBOURS as u32 + 1) * (TILE + GAP) + 3 * GAP;
    let height = rows.len() as u32 * (TILE + GAP) + GAP;
    let mut sheet = RgbImage::from_pixel(width, height, Rgb([255, 255, 255]));
    for (y, row) in rows.iter().enumerate() {
        let y = GAP + y as u32 * (TILE + GAP);
        paste(&mut sheet, queries, row.query, GAP, y, None)?;
        let label = queries.dataset().label(row.query);
        for (column, (index, _)) in row.neighbours.iter().enumerate() {
            let x = 3 * GAP + (column as u32 + 1) * (TILE + GAP);
            let other = bank.dataset().label(*index);
            let wrong = label.is_some() && other.is_some() && label != other;
            paste(&mut sheet, bank, *index, x, y, wrong.then_some(Rgb([220, 40, 40])))?;
        }
    }
    let mut png = Vec::new();
    sheet.write_to(&mut Cursor::new(&mut png), ImageFormat::Png)?;
    Ok(png)
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
    let tile = thumbnail(&image, TILE);
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

/// The largest central square of an image, as in evaluation, with a side of `side`.
pub fn thumbnail(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let square = width.min(height);
    let (x, y) = ((width - square) / 2, (height - square) / 2);
    let filter = if square < side { FilterType::Nearest } else { FilterType::Triangle };
    resize(&*crop_imm(image, x, y, square, square), side, side, filter)
}

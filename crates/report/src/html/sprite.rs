//! Thumbnails cut from one picture. The page holds the picture once, however often it shows them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::escape;
use super::picture::Picture;
use crate::numbers::coordinate;
use crate::{ReportError, RunReport, Sprite};

/// The largest side of a picture that browsers draw without scaling down.
const MOST_SIDE: u32 = 16_384;

/// The sprite of a page. Its tiles are known to lie within its picture.
pub struct Tiles<'a> {
    sprite: Option<(&'a Sprite, Picture)>,
    class: String,
    names: &'a [String],
}

impl<'a> Tiles<'a> {
    /// The pictures of a run's galleries and views. `number` is the run's place on the page.
    ///
    /// # Errors
    /// Bytes that are neither PNG nor JPEG, or a picture too small for the tiles.
    pub fn of_galleries(run: &'a RunReport, number: usize) -> Result<Self, ReportError> {
        Self::new(run.sprite.as_ref(), format!("t{number}"), &run.class_names)
    }

    /// The pictures of a run's maps. A run without any uses those of its galleries.
    ///
    /// # Errors
    /// As [`of_galleries`](Self::of_galleries).
    pub fn of_maps(run: &'a RunReport, number: usize) -> Result<Self, ReportError> {
        match &run.map_sprite {
            None => Self::of_galleries(run, number),
            Some(sprite) => Self::new(Some(sprite), format!("m{number}"), &run.class_names),
        }
    }

    /// Checks `sprite`. Without a sprite every tile is empty.
    fn new(
        sprite: Option<&'a Sprite>,
        class: String,
        names: &'a [String],
    ) -> Result<Self, ReportError> {
        let sprite = sprite.map(|s| check(s).map(|picture| (s, picture))).transpose()?;
        Ok(Self { sprite, class, names })
    }

    /// The rule that holds the picture.
    pub fn style(&self) -> String {
        let Some((sprite, Picture { kind, width, height })) = self.sprite else {
            return String::new();
        };
        let scale = |side: u32| coordinate(100.0 * f64::from(side) / f64::from(sprite.tile));
        // Small pictures stay crisp. Photographs look better smooth.
        let small = sprite.tile <= 48 && kind == "png";
        let rendering = if small { "pixelated" } else { "auto" };
        format!(
            ".{}{{background-image:url(data:image/{kind};base64,{});background-size:{}% {}%;\
             image-rendering:{rendering}}}\n",
            self.class,
            BASE64_STANDARD.encode(&sprite.picture),
            scale(width),
            scale(height),
        )
    }

    /// The CSS class of a tile, empty where there are no pictures.
    pub fn class(&self) -> &str {
        if self.sprite.is_some() { &self.class } else { "" }
    }

    /// `background-position` of an image, or none where the sprite lacks it.
    pub fn position(&self, image: u32) -> Option<String> {
        let (sprite, Picture { width, height, .. }) = self.sprite?;
        if image >= sprite.count {
            return None;
        }
        // A percentage aligns that share of the picture with that share of the tile.
        let share = |index: u32, side: u32| {
            let room = f64::from(side) - f64::from(sprite.tile);
            let at = f64::from(index) * f64::from(sprite.tile);
            if room > 0.0 { ((at / room) * 1e6).round() / 1e4 } else { 0.0 }
        };
        let (column, row) = (image % sprite.columns, image / sprite.columns);
        Some(format!("{}% {}%", share(column, width), share(row, height)))
    }

    /// A thumbnail described by `text`, with `class` besides the sprite's own.
    pub fn tile(&self, image: u32, class: &str, text: &str) -> String {
        let text = escape(text);
        match self.position(image) {
            Some(position) => format!(
                "<span class=\"tile {} {class}\" role=\"img\" aria-label=\"{text}\" \
                 style=\"background-position:{position}\"></span>",
                self.class
            ),
            None => {
                format!(
                    "<span class=\"tile empty {class}\" role=\"img\" aria-label=\"{text}, no picture\"></span>"
                )
            }
        }
    }

    /// The name of a class.
    pub fn name(&self, class: u32) -> String {
        self.names
            .get(class as usize)
            .filter(|n| !n.is_empty())
            .cloned()
            .unwrap_or_else(|| format!("class {class}"))
    }

    /// Whether two reports show the same pictures under the same numbers.
    pub fn same(&self, other: &Self) -> bool {
        match (self.sprite, other.sprite) {
            (Some((a, ..)), Some((b, ..))) => a == b,
            (None, None) => true,
            _ => false,
        }
    }

    /// This sprite, shown under the number of `other`.
    pub fn like(mut self, other: &Self) -> Self {
        self.class.clone_from(&other.class);
        self
    }
}

fn check(sprite: &Sprite) -> Result<Picture, ReportError> {
    let fail = |reason: String| Err(ReportError::Sprite(reason));
    let picture = Picture::of(&sprite.picture).map_err(ReportError::Sprite)?;
    let Picture { width, height, .. } = picture;
    if width > MOST_SIDE || height > MOST_SIDE {
        return fail(format!("{width}×{height} pixels, at most {MOST_SIDE} a side"));
    }
    if sprite.tile == 0 || sprite.columns == 0 {
        return fail("tiles of no size, or rows of none".into());
    }
    let rows = u64::from(sprite.count.div_ceil(sprite.columns).max(1));
    let (tile, columns) = (u64::from(sprite.tile), u64::from(sprite.columns));
    if tile * columns > u64::from(width) || tile * rows > u64::from(height) {
        return fail(format!(
            "{width}×{height} pixels do not hold {rows} rows of {columns} tiles of {tile} pixels"
        ));
    }
    Ok(picture)
}

//! Thumbnails cut from one picture, which the page holds once however often it shows them.

use std::io::Cursor;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::html::escape;
use crate::numbers::coordinate;
use crate::{ReportError, Sprite};

/// The largest PNG side: what browsers draw without scaling down.
const MOST_SIDE: u32 = 16_384;

/// The sprite of a page, checked: its tiles lie within its picture.
pub struct Tiles<'a> {
    sprite: Option<(&'a Sprite, u32, u32)>,
    class: String,
    names: &'a [String],
}

impl<'a> Tiles<'a> {
    /// Checks `sprite` (none: every tile is empty), the page's number `number` among several.
    ///
    /// # Errors
    /// Bytes that are no PNG, or a picture too small for the tiles.
    pub fn new(
        sprite: Option<&'a Sprite>,
        number: usize,
        names: &'a [String],
    ) -> Result<Self, ReportError> {
        let sprite = sprite.map(|s| check(s).map(|(w, h)| (s, w, h))).transpose()?;
        Ok(Self { sprite, class: format!("t{number}"), names })
    }

    /// The rule that holds the picture.
    pub fn style(&self) -> String {
        let Some((sprite, width, height)) = self.sprite else { return String::new() };
        let scale = |side: u32| coordinate(100.0 * f64::from(side) / f64::from(sprite.tile));
        // Small pictures stay crisp; a photograph is better off smooth.
        let rendering = if sprite.tile <= 48 { "pixelated" } else { "auto" };
        format!(
            ".{}{{background-image:url(data:image/png;base64,{});background-size:{}% {}%;\
             image-rendering:{rendering}}}\n",
            self.class,
            BASE64_STANDARD.encode(&sprite.png),
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
        let (sprite, width, height) = self.sprite?;
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

    /// A thumbnail that says `text`, with `class` besides the sprite's.
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

    /// This one shown under another's number.
    pub fn like(mut self, other: &Self) -> Self {
        self.class.clone_from(&other.class);
        self
    }
}

fn check(sprite: &Sprite) -> Result<(u32, u32), ReportError> {
    let fail = |reason: String| Err(ReportError::Sprite(reason));
    let mut decoder = png::Decoder::new(Cursor::new(&sprite.png));
    let (width, height) = match decoder.read_header_info() {
        Ok(info) => info.size(),
        Err(error) => return fail(error.to_string()),
    };
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
    Ok((width, height))
}

//! Images beside their training views.

use crate::ViewSheet;
use crate::html::paragraph;
use crate::html::sprite::Tiles;

/// A group for each image: the image, then its views.
pub fn views(sheet: Option<&ViewSheet>, tiles: &Tiles) -> String {
    let Some(sheet) = sheet.filter(|sheet| !sheet.rows.is_empty()) else { return String::new() };
    let mut groups = String::new();
    for row in &sheet.rows {
        groups.push_str("<div class=\"views\">");
        for (i, place) in row.iter().enumerate() {
            let (class, text) = match i {
                0 => ("query", "The image".to_owned()),
                view => ("", format!("View {view}")),
            };
            groups.push_str(&tiles.tile(*place, class, &text));
        }
        groups.push_str("</div>");
    }
    format!(
        "<figure class=\"gallery sheet\" data-tile=\"{}\" data-label=\"Training views\">\
         <figcaption>{}</figcaption><div class=\"view-rows\">{groups}</div></figure>",
        tiles.class(),
        paragraph("caption", &sheet.caption),
    )
}

//! The sheet of training views.

use anyhow::Context;
use image::RgbImage;
use selfsame_augment::{RgbSource, ViewBuffer, ViewKey};
use selfsame_data::Splits;
use selfsame_report::ViewSheet;

use super::pictures::Thumbnails;
use crate::evenly::evenly;
use crate::settings::RunConfig;

/// The number of images in the sheet.
const SHOWN: usize = 8;

/// Some training images with both of their views from the first epoch.
pub fn sheet(
    config: &RunConfig,
    data: &Splits,
    thumbnails: &mut Thumbnails<'_>,
) -> anyhow::Result<ViewSheet> {
    let configs = [config.views.view(0), config.views.view(1)];
    let mut rows = Vec::new();
    for index in evenly(data.train.len(), SHOWN) {
        let image = data.train.image(index).with_context(|| format!("image {index}"))?;
        let source = RgbSource::try_from(&*image)?;
        let mut row = vec![thumbnails.add(&image)];
        for (view, config_of_view) in (0..).zip(&configs) {
            let key = ViewKey { seed: config.seed, epoch: 0, image: index as u64, view };
            let drawn = config_of_view.draw(source.width(), source.height(), &mut key.rng());
            let mut pixels = RgbImage::new(config_of_view.size, config_of_view.size);
            config_of_view.render(source, &drawn, ViewBuffer::Rgb8(&mut pixels))?;
            row.push(thumbnails.add(&pixels));
        }
        rows.push(row);
    }
    let caption = "Framed: a training image. Beside it: its two views of the first epoch, before normalisation. A view \
                   should look different and still show the same thing.";
    Ok(ViewSheet { caption: caption.into(), rows })
}

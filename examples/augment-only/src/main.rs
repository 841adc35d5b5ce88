//! `selfsame-augment` without Burn: five BYOL pairs of one image, as a sheet to look at.

use image::{Rgb, RgbImage};
use selfsame_augment::{RgbSource, ViewBuffer, ViewGenerator, ViewKey, ViewPair};

const SIZE: u32 = 96;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1);
    let photo = match &path {
        Some(path) => image::open(path)?.into_rgb8(),
        None => RgbImage::from_fn(160, 120, |x, y| {
            let inside = (x as f32 - 80.0).hypot(y as f32 - 60.0) < 40.0;
            if inside { Rgb([220, 120, 40]) } else { Rgb([(x) as u8, 110, (2 * y) as u8]) }
        }),
    };
    // An 8-bit view is not normalised, whatever the mean and the deviation are.
    let pair = ViewPair::byol(SIZE, [0.0; 3], [1.0; 3])?;
    let mut sheet = RgbImage::new(5 * SIZE, 2 * SIZE);
    let mut tile = RgbImage::new(SIZE, SIZE);
    let source = RgbSource::try_from(&photo)?;
    for image in 0..5u32 {
        for view in 0..2u32 {
            let key = ViewKey { seed: 0, epoch: 0, image: u64::from(image), view: u64::from(view) };
            pair.render(source, view as usize, &mut key.rng(), ViewBuffer::Rgb8(&mut tile))?;
            let (x, y) = (i64::from(image * SIZE), i64::from(view * SIZE));
            image::imageops::replace(&mut sheet, &tile, x, y);
        }
    }
    let out = std::env::temp_dir().join("selfsame-views.png");
    sheet.save(&out)?;
    println!("five pairs of views → {}", out.display());
    Ok(())
}

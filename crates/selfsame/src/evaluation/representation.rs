//! Representations: features of an encoder, pixels, or their principal components.

use std::sync::Arc;

use selfsame_data::{ImageDataset, Subset};
use selfsame_eval::{Features, Labelled, LabelledImages, Pca};
use selfsame_models::ResNet;
use sha2::{Digest, Sha256};

use super::Setting;
use super::phases::Phases;
use super::reading::Wanted;
use crate::features::cache::images_key;
use crate::features::images::PlainImages;

/// The most principal components of pixels that are kept.
const MOST_COMPONENTS: usize = 256;

/// The names of the trained and the untrained encoder.
pub const TRAINED: &str = "trained encoder";
pub const UNTRAINED: &str = "untrained encoder";

/// A map from images to vectors, with the vectors of the table's images.
pub struct Representation {
    pub name: &'static str,
    pub train: Labelled,
    pub test: Labelled,
    /// How further images are represented.
    pub embed: Embed,
    /// For each test image, whether its own classifier is right.
    pub classified: Option<Vec<bool>>,
}

pub enum Embed {
    Encoder(Box<ResNet>),
    Pixels,
    Components(Pca),
}

/// The images of one split: all for the evaluation, and those of the table among them.
pub struct Split<'a> {
    pub all: &'a PlainImages,
    pub table: Arc<dyn ImageDataset>,
    every: Vec<usize>,
    /// Indices of the table's images, in ascending order.
    rows: Vec<usize>,
    /// Labels of all images, and of those of the table.
    keys: [[u8; 32]; 2],
}

impl<'a> Split<'a> {
    /// With at most `most` images for the table, evenly over the classes.
    pub fn new(all: &'a PlainImages, most: usize) -> anyhow::Result<Self> {
        let every: Vec<usize> = (0..all.len()).collect();
        let key = images_key(all.dataset())?;
        if all.len() <= most {
            let (rows, table) = (every.clone(), all.shared());
            return Ok(Self { all, table, every, rows, keys: [key; 2] });
        }
        let subset = Subset::first(all.shared(), most);
        let rows: Vec<usize> = subset.indices().iter().map(|i| *i as usize).collect();
        let mut of_some = Sha256::new_with_prefix(key);
        rows.iter().for_each(|row| of_some.update((*row as u64).to_le_bytes()));
        let keys = [key, of_some.finalize().into()];
        Ok(Self { all, table: Arc::new(subset), every, rows, keys })
    }

    /// Whether the table uses all images.
    pub fn is_whole(&self) -> bool {
        self.rows.len() == self.every.len()
    }

    /// One more than the largest label of the table's images.
    pub fn classes(&self) -> usize {
        self.labels().into_iter().flatten().max().map_or(0, |label| label as usize + 1)
    }

    /// Labels of the table's images.
    pub fn labels(&self) -> Vec<Option<u32>> {
        self.rows.iter().map(|row| self.all.label(*row)).collect()
    }

    /// Features of `encoders`, each for all images or only for the table's, and the table's pixels
    /// if they are wanted. Kept features are not computed again. For the others, the images are
    /// read once.
    pub fn read(
        &self,
        setting: &Setting<'_>,
        what: &str,
        encoders: &[(&ResNet, Of)],
        pixels: bool,
        phases: &mut Phases,
    ) -> anyhow::Result<(Vec<Features>, Features)> {
        let places = encoders.iter().map(|(encoder, of)| {
            let (rows, key) = match of {
                Of::All => (&self.every, self.keys[0]),
                Of::Table => (&self.rows, self.keys[1]),
            };
            let place = setting.cache.place(*encoder, key, rows.len())?;
            let kept = place.read();
            Ok((*encoder, rows, place, kept))
        });
        let mut places = places.collect::<anyhow::Result<Vec<_>>>()?;
        let missing = places.iter().filter(|(.., kept)| kept.is_none());
        let wanted = Wanted {
            encoders: missing.map(|(encoder, rows, ..)| (*encoder, rows.as_slice())).collect(),
            pixels: if pixels { &self.rows } else { &[] },
            pixel_side: setting.bounds.pixel_side,
        };
        match wanted.images().len() {
            0 => {
                phases.begin(&format!("{what}, from the kept features"), 1);
                phases.advance(1);
            }
            images => phases.begin(what, images),
        }
        let batch = setting.config.eval.batch_size;
        let found =
            wanted.read(self.all, batch, setting.device, &mut |read| phases.advance(read))?;
        let missing = places.iter_mut().filter(|(.., kept)| kept.is_none());
        for ((_, _, place, kept), features) in missing.zip(found.features) {
            place.write(&features)?;
            *kept = Some(features);
        }
        Ok((places.into_iter().filter_map(|(.., kept)| kept).collect(), found.pixels))
    }

    /// The rows of the table's images, from features of all images.
    pub fn of_table(&self, all: &Features) -> Features {
        if self.is_whole() { all.clone() } else { all.select(&self.rows) }
    }
}

/// The images of an encoder.
#[derive(Clone, Copy)]
pub enum Of {
    All,
    Table,
}

/// Train and test images of an evaluation with labels.
pub struct Splits<'a> {
    pub train: Split<'a>,
    pub test: Split<'a>,
}

impl Splits<'_> {
    /// A representation of the table's images.
    pub fn represented(
        &self,
        name: &'static str,
        [train, test]: [Features; 2],
        embed: Embed,
    ) -> anyhow::Result<Representation> {
        Ok(Representation {
            name,
            train: Labelled::new(&train, &self.train.labels())?,
            test: Labelled::new(&test, &self.test.labels())?,
            embed,
            classified: None,
        })
    }

    /// Pixels, and their principal components from at most `most` images.
    pub fn of_pixels(
        &self,
        [pixels, test]: [Features; 2],
        most: usize,
        phases: &mut Phases,
    ) -> anyhow::Result<[Representation; 2]> {
        phases.begin("principal components of pixels", 1);
        let some = crate::evenly::evenly(pixels.rows(), most);
        let components = MOST_COMPONENTS.min(some.len()).min(pixels.dim());
        let pca = Pca::fit(&pixels.select(&some), components)?;
        let reduced = [pca.transform(&pixels)?, pca.transform(&test)?];
        phases.advance(1);
        Ok([
            self.represented("PCA of pixels", reduced, Embed::Components(pca))?,
            self.represented("raw pixels", [pixels, test], Embed::Pixels)?,
        ])
    }
}

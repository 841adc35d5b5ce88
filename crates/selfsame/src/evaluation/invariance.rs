//! The invariances of an encoder: how far each augmentation alone moves an image, and which factors
//! of `shapes` can still be read.

use std::ops::Range;
use std::sync::Arc;

use selfsame_augment::{ViewConfig, ViewPair};
use selfsame_data::{Factors, ShapesDataset};
use selfsame_eval::{Factor, FactorReader, Features, LabelledImages, Pca, invariance, raw_pixels};
use selfsame_report::{Cell, Table};
use serde::Serialize;

use crate::features::images::{PIXEL_SIDE, PlainImages, first_views};
use crate::settings::RunConfig;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// How far one augmentation alone moves an image, over the distance between different images.
/// `None` where all embeddings are one point.
#[derive(Debug, Clone, Serialize)]
pub struct AugmentationRow {
    pub augmentation: &'static str,
    pub pixels: Option<f64>,
    pub untrained: Option<f64>,
    pub trained: Option<f64>,
}

/// Features of some images under the untrained and the trained encoder.
pub type BothEncoders<'a> = dyn Fn(&dyn LabelledImages) -> anyhow::Result<[Features; 2]> + 'a;

/// Each augmentation of BYOL's pair of views, alone and with probability 1. The strength is the
/// same for all runs, so that they can be compared. Augmentations without effect on these images
/// are left out.
pub fn augmentations(
    config: &RunConfig,
    images: &PlainImages,
    both: &BothEncoders<'_>,
) -> anyhow::Result<Vec<AugmentationRow>> {
    let view = config.views.view(0);
    let pixels = images.pixels()?;
    // A view that is not larger than the reduced pixels serves as pixels. So nothing is rendered
    // twice.
    let small = view.size <= PIXEL_SIDE;
    let seen = |pixels: &Features, whole: &dyn LabelledImages| match small {
        true => both(&Pixels { values: pixels, side: view.size as usize }),
        false => both(whole),
    };
    let [untrained, trained] = seen(&pixels, images)?;
    let of_size = |size| ViewConfig::plain(size).normalize(view.mean, view.std);
    let mut rows = Vec::new();
    for (augmentation, add) in AUGMENTATIONS {
        let augmented = |size| -> anyhow::Result<Augmented<'_>> {
            let config = add(of_size(size));
            Ok(Augmented { images, pair: ViewPair::new(config.clone(), config)? })
        };
        let moved_pixels = raw_pixels(&augmented(view.size.min(PIXEL_SIDE))?)?;
        let moved = invariance(&pixels, &moved_pixels)?;
        if moved.same < 1e-6 {
            continue;
        }
        let [before, after] = seen(&moved_pixels, &augmented(view.size)?)?;
        rows.push(AugmentationRow {
            augmentation,
            pixels: moved.ratio,
            untrained: invariance(&untrained, &before)?.ratio,
            trained: invariance(&trained, &after)?.ratio,
        });
    }
    Ok(rows)
}

/// How far each augmentation alone moves an image.
pub fn augmentation_table(rows: &[AugmentationRow]) -> Table {
    let cell = |ratio: Option<f64>| Cell::from(ratio.map_or("–".into(), |r| format!("{r:.3}")));
    Table {
        title: "Invariance to each augmentation".into(),
        caption: "Lower is more invariant. The squared distance between an image and itself under that augmentation \
                  alone, over the squared distance between different images; features are divided by their length. \
                  A ratio without a unit: 0 is invariant, 1 is as far away as another image."
            .into(),
        header: ["augmentation", "raw pixels", "untrained", "trained"].map(str::to_owned).into(),
        rows: rows
            .iter()
            .map(|row| {
                vec![
                    row.augmentation.into(),
                    cell(row.pixels),
                    cell(row.untrained),
                    Cell { strong: row.trained < row.untrained, ..cell(row.trained) },
                ]
            })
            .collect(),
    }
}

/// One augmentation: its name, and the change to a plain view.
pub type Augmentation = (&'static str, fn(ViewConfig) -> ViewConfig);

/// The images to look at.
pub const AUGMENTATIONS: [Augmentation; 9] = [
    ("crop to 20–100 % of the area", |v| v.random_resized_crop([0.2, 1.0], [0.75, 4.0 / 3.0])),
    ("horizontal flip", |v| v.horizontal_flip(1.0)),
    ("brightness ± 40 %", |v| v.color_jitter(1.0, [0.4, 0.0, 0.0, 0.0])),
    ("contrast ± 40 %", |v| v.color_jitter(1.0, [0.0, 0.4, 0.0, 0.0])),
    ("saturation ± 40 %", |v| v.color_jitter(1.0, [0.0, 0.0, 0.4, 0.0])),
    ("hue ± 0.1 turns", |v| v.color_jitter(1.0, [0.0, 0.0, 0.0, 0.1])),
    ("grayscale", |v| v.grayscale(1.0)),
    ("blur σ 0.1–2 pixels", |v| v.gaussian_blur(1.0, [0.1, 2.0])),
    ("solarise", |v| v.solarize(1.0, 128.0 / 255.0)),
];

/// The first view of each image.
struct Augmented<'a> {
    images: &'a PlainImages,
    pair: ViewPair,
}

impl LabelledImages for Augmented<'_> {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        first_views(self.images.dataset(), &self.pair, range, out)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.images.label(index)
    }
}

/// An embedding of images as their own pixels.
struct Pixels<'a> {
    values: &'a Features,
    side: usize,
}

impl LabelledImages for Pixels<'_> {
    fn len(&self) -> usize {
        self.values.rows()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        let dim = self.values.dim();
        out.extend_from_slice(&self.values.values()[range.start * dim..range.end * dim]);
        Ok([3, self.side, self.side])
    }

    fn label(&self, _: usize) -> Option<u32> {
        None
    }
}

/// How well a linear model reads a factor from the embedding.
#[derive(Debug, Clone, Serialize)]
pub struct FactorRow {
    pub factor: &'static str,
    /// The score of guessing: 0 for R², the share of the largest class for accuracy.
    pub chance: f64,
    pub pixels: f64,
    pub untrained: f64,
    pub trained: f64,
}

/// Numbers of drawings to train and to test a reader. They are not in the data set `shapes`.
const LEARN: usize = 4_000;
const TEST: usize = 1_000;
const SEED: u64 = 0x5e1f;
const PIXEL_COMPONENTS: usize = 256;

/// Draws images of `shapes` and measures how well a linear model reads each factor from raw pixels
/// and from both encoders.
pub fn factors(config: &RunConfig, both: &BothEncoders<'_>) -> anyhow::Result<Vec<FactorRow>> {
    let sets = [(0, LEARN), (LEARN as u64, TEST)].map(|(first, len)| {
        let drawn = ShapesDataset::new(SEED, first, len);
        let factors: Vec<Factors> = (0..len).map(|i| drawn.factors(i)).collect();
        (PlainImages::new(Arc::new(drawn), config), factors)
    });
    let [(learn, learn_factors), (test, test_factors)] = sets;
    let (learn, test) = (learn?, test?);
    let [untrained, trained] = both(&learn)?;
    let [untrained_test, trained_test] = both(&test)?;
    // A linear model of that many pixels would mostly fit rounding errors.
    let pixels = learn.pixels()?;
    let pca = Pca::fit(&pixels, PIXEL_COMPONENTS.min(pixels.dim()))?;
    let (pixels, pixels_test) = (pca.transform(&pixels)?, pca.transform(&test.pixels()?)?);
    let readers = [
        (FactorReader::fit(&pixels)?, &pixels_test),
        (FactorReader::fit(&untrained)?, &untrained_test),
        (FactorReader::fit(&trained)?, &trained_test),
    ];
    let mut rows = Vec::new();
    for (factor, columns) in COLUMNS {
        let [learnt, tested] = [&learn_factors, &test_factors].map(columns);
        let [learnt_columns, tested_columns] = [&learnt, &tested].map(|c| c.columns());
        let (learnt, tested) = (learnt.factor(&learnt_columns), tested.factor(&tested_columns));
        let scores = readers
            .iter()
            .map(|(reader, test)| reader.read(&learnt, test, &tested))
            .collect::<Result<Vec<_>, _>>()?;
        let [pixels, untrained, trained] = scores.as_slice() else { continue };
        rows.push(FactorRow {
            factor,
            chance: pixels.chance,
            pixels: pixels.score,
            untrained: untrained.score,
            trained: trained.score,
        });
    }
    Ok(rows)
}

/// A factor of many drawings.
enum Column {
    Class(Vec<u32>),
    Numbers(Vec<Vec<f32>>),
    Angle(Vec<f32>),
}

impl Column {
    fn columns(&self) -> Vec<&[f32]> {
        match self {
            Self::Numbers(columns) => columns.iter().map(Vec::as_slice).collect(),
            Self::Class(_) | Self::Angle(_) => Vec::new(),
        }
    }

    fn factor<'a>(&'a self, columns: &'a [&'a [f32]]) -> Factor<'a> {
        match self {
            Self::Class(labels) => Factor::Class(labels),
            Self::Numbers(_) => Factor::Vector(columns),
            Self::Angle(radians) => Factor::Angle { radians, symmetry: 1 },
        }
    }
}

/// A factor: its name, and its values in the drawings.
type NamedFactor = (&'static str, fn(&Vec<Factors>) -> Column);

const COLUMNS: [NamedFactor; 10] = [
    ("shape (the class)", |drawn| Column::Class(drawn.iter().map(|f| f.shape).collect())),
    ("texture", |drawn| Column::Class(drawn.iter().map(|f| f.texture as u32).collect())),
    ("colour", |drawn| numbers(drawn, &[|f| f.color[0], |f| f.color[1], |f| f.color[2]])),
    ("background", |drawn| {
        numbers(drawn, &[|f| f.background[0], |f| f.background[1], |f| f.background[2]])
    }),
    ("position", |drawn| numbers(drawn, &[|f| f.position[0], |f| f.position[1]])),
    ("scale", |drawn| numbers(drawn, &[|f| f.scale])),
    ("rotation", |drawn| Column::Angle(drawn.iter().map(|f| f.rotation).collect())),
    ("light's direction", |drawn| Column::Angle(drawn.iter().map(|f| f.lighting[0]).collect())),
    ("light's strength", |drawn| numbers(drawn, &[|f| f.lighting[1]])),
    ("noise", |drawn| numbers(drawn, &[|f| f.noise])),
];

fn numbers(drawn: &[Factors], values: &[fn(&Factors) -> f32]) -> Column {
    Column::Numbers(values.iter().map(|value| drawn.iter().map(value).collect()).collect())
}

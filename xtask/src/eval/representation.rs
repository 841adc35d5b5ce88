use selfsame_eval::{Features, Labelled, LabelledImages, Pca};
use selfsame_models::ResNet;

use super::Setting;
use crate::bridge::PlainImages;

/// The most principal components of pixels that are kept.
const MOST_COMPONENTS: usize = 256;

/// Something that turns an image into a vector, with the vectors of all labelled images.
pub struct Representation {
    pub name: &'static str,
    pub train: Labelled,
    pub test: Labelled,
    /// How further images are represented.
    pub embed: Embed,
    /// For each test image, whether the classifier that it was trained as is right.
    pub classified: Option<Vec<bool>>,
}

pub enum Embed {
    Encoder(Box<ResNet>),
    Pixels,
    Components(Pca),
}

impl Embed {
    pub fn features(
        &self,
        setting: &Setting<'_>,
        images: &PlainImages,
    ) -> anyhow::Result<Features> {
        let batch = setting.config.eval.batch_size;
        Ok(match self {
            Self::Encoder(encoder) => {
                selfsame_eval::extract(&**encoder, images, batch, setting.device)?
            }
            Self::Pixels => images.pixels()?,
            Self::Components(pca) => pca.transform(&images.pixels()?)?,
        })
    }
}

/// The trained encoder, and what it has to be better than. There are labels.
pub fn all(
    setting: &Setting<'_>,
    trained: &ResNet,
    untrained: &ResNet,
) -> anyhow::Result<Vec<Representation>> {
    let judge = setting.judge;
    let mut all = vec![
        of_encoder(setting, "trained encoder", trained.clone())?,
        of_encoder(setting, "untrained encoder", untrained.clone())?,
    ];
    let Some(test) = &judge.test else { return Ok(all) };
    let (pixels, test_pixels) = (judge.train.pixels()?, test.pixels()?);
    let components = MOST_COMPONENTS.min(pixels.rows()).min(pixels.dim());
    let pca = Pca::fit(&pixels, components)?;
    let reduced = [pca.transform(&pixels)?, pca.transform(&test_pixels)?];
    all.push(of_features(setting, "PCA of pixels", reduced, Embed::Components(pca))?);
    all.push(of_features(setting, "raw pixels", [pixels, test_pixels], Embed::Pixels)?);
    Ok(all)
}

pub fn of_encoder(
    setting: &Setting<'_>,
    name: &'static str,
    encoder: ResNet,
) -> anyhow::Result<Representation> {
    let features = setting.judge.cached_features(&encoder, setting.cache)?;
    let test = features.test.ok_or_else(|| anyhow::anyhow!("there are no test images"))?;
    of_features(setting, name, [features.train, test], Embed::Encoder(Box::new(encoder)))
}

fn of_features(
    setting: &Setting<'_>,
    name: &'static str,
    [train, test]: [Features; 2],
    embed: Embed,
) -> anyhow::Result<Representation> {
    let judge = setting.judge;
    let labels = judge.test.as_ref().map(LabelledImages::labels).unwrap_or_default();
    Ok(Representation {
        name,
        train: Labelled::new(&train, &judge.train.labels())?,
        test: Labelled::new(&test, &labels)?,
        embed,
        classified: None,
    })
}

//! Where the crates meet: data sets in the form that trainers and evaluation take.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use selfsame_augment::{PlainView, RgbSource, ViewBuffer, ViewGenerator, ViewKey};
use selfsame_data::{ImageDataset, Source, Splits, ViewStream};
use selfsame_eval::LabelledImages;
use selfsame_models::Stem;
use selfsame_trainers::{ViewSource, Views};

use crate::config::{DataConfig, RunConfig};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Images above this are taken to be photographs: larger views, blur, the ImageNet stem.
const SMALL_SIDE: u32 = 64;
/// Side of a view of photographs.
const PHOTO_SIDE: u32 = 96;

/// The data sets' folder, beside `xtask/`.
pub fn datasets_root() -> PathBuf {
    // Cargo sets the variable when it runs us; a binary called by itself looks around it.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let beside = manifest.and_then(|dir| Some(dir.parent()?.join("datasets")));
    beside.filter(|path| path.is_dir()).unwrap_or_else(|| PathBuf::from("datasets"))
}

/// Opens the data of a run, with its limits.
pub fn open_data(config: &DataConfig) -> anyhow::Result<Splits> {
    let source = match (&config.images, &config.dataset) {
        (Some(folder), _) => Source::Folder(folder.clone()),
        (None, Some(name)) => Source::Named(name.clone()),
        (None, None) => Source::Named(crate::defaults::DATASET.into()),
    };
    let splits = selfsame_data::open(&source, &datasets_root())?;
    if config.limit.is_none() && config.test_limit.is_none() {
        return Ok(splits);
    }
    Ok(splits.limit(config.limit, config.test_limit)?)
}

/// Decides what the settings leave to the data: view size, stem, blur, statistics.
pub fn settle(config: &mut RunConfig, data: &Splits) -> anyhow::Result<()> {
    let first = data.train.image(0)?;
    let side = first.width().min(first.height()).max(1);
    let size = *config.views.size.get_or_insert(if side <= SMALL_SIDE { side } else { PHOTO_SIDE });
    let small = size <= SMALL_SIDE;
    config.views.blur_probability.get_or_insert(if small { [0.0, 0.0] } else { [1.0, 0.1] });
    config.encoder.stem.get_or_insert(if small { Stem::Cifar } else { Stem::ImageNet });
    config.views.mean.get_or_insert(data.mean);
    config.views.std.get_or_insert(data.std);
    Ok(())
}

/// A data set as an encoder is evaluated on it: whole images, no augmentation.
pub struct PlainImages {
    dataset: Arc<dyn ImageDataset>,
    view: PlainView,
}

impl PlainImages {
    pub fn new(dataset: Arc<dyn ImageDataset>, config: &RunConfig) -> anyhow::Result<Self> {
        let settings = config.views.view(0);
        let view = PlainView::new(settings.size, settings.mean, settings.std)?;
        Ok(Self { dataset, view })
    }

    pub fn path(&self, index: usize) -> Option<PathBuf> {
        self.dataset.path(index)
    }

    pub fn dataset(&self) -> &dyn ImageDataset {
        &*self.dataset
    }
}

impl LabelledImages for PlainImages {
    fn len(&self) -> usize {
        self.dataset.len()
    }

    fn read(&self, range: Range<usize>, out: &mut Vec<f32>) -> Result<[usize; 3], BoxError> {
        let size = self.view.view_size(0);
        let length = 3 * size * size;
        let mut start = out.len();
        out.resize(start + range.len() * length, 0.0);
        for index in range {
            let image = self.dataset.image(index)?;
            // A plain view draws nothing, but every view is rendered with a generator.
            let mut rng = ViewKey { seed: 0, epoch: 0, image: 0, view: 0 }.rng();
            let target = ViewBuffer::Planar(&mut out[start..start + length]);
            self.view.render(RgbSource::try_from(&*image)?, 0, &mut rng, target)?;
            start += length;
        }
        Ok([3, size, size])
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.dataset.label(index)
    }
}

/// A loader's stream as a source of training batches.
pub struct LoaderSource(pub ViewStream);

impl ViewSource for LoaderSource {
    fn next_views(&mut self) -> Option<Result<Views, BoxError>> {
        Some(self.0.next()?.map_err(Into::into).and_then(|batch| {
            let pixels: [Vec<f32>; 2] =
                batch.views.try_into().map_err(|_| "the loader did not make two views")?;
            let [size, other] = [batch.sizes[0], batch.sizes[1]];
            if size != other {
                return Err(format!("views of {size} and of {other} pixels").into());
            }
            let shape = [batch.batch, 3, size, size];
            Ok(Views { pixels, shape })
        }))
    }
}

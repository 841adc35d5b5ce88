//! A data set as a run uses it: images to train on and images to test on.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::content::{ContentKey, KeyBuilder};
use super::image_set::{ImageSet, ImageStore, Reading};
use super::layout::{Layout, Untested};
use crate::{DataError, ImageDataset, Skipped, Subset};

/// A data set as a run uses it.
#[derive(Clone)]
pub struct Splits {
    /// The name, for reports.
    pub name: String,
    /// The images to train on. Training does not look at labels.
    pub train: Arc<dyn ImageDataset>,
    /// The images to test on. They are never trained on.
    pub test: Option<Arc<dyn ImageDataset>>,
    /// Images left out, and why.
    pub skipped: Vec<Skipped>,
    /// What the files were taken for.
    pub layout: Layout,
}

impl Splits {
    /// A set with or without a test split.
    pub fn new(
        name: impl Into<String>,
        train: Arc<dyn ImageDataset>,
        test: Option<Arc<dyn ImageDataset>>,
        skipped: Vec<Skipped>,
    ) -> Self {
        Self { name: name.into(), train, test, skipped, layout: Layout::default() }
    }

    /// Every tenth labelled image of each class is tested on; a class of two to nine gives its last
    /// one. The others are trained on, and so are images without a label.
    ///
    /// # Errors
    /// The set itself, if no class has two images.
    fn hold_out_tenths(all: Arc<dyn ImageDataset>) -> Result<[Subset; 2], Arc<dyn ImageDataset>> {
        const EVERY: u64 = 10;
        let mut sizes = vec![0u64; all.class_names().len()];
        let class = |index: u32| all.label(index as usize).map(|label| label as usize);
        let indices = || 0..u32::try_from(all.len()).unwrap_or(u32::MAX);
        for class in indices().filter_map(class) {
            if let Some(size) = sizes.get_mut(class) {
                *size += 1;
            }
        }
        let mut seen = vec![0u64; sizes.len()];
        let (test, train): (Vec<u32>, Vec<u32>) = indices().partition(|index| {
            let Some(class) = class(*index).filter(|class| *class < sizes.len()) else {
                return false;
            };
            seen[class] += 1;
            match sizes[class] {
                0 | 1 => false,
                few if few < EVERY => seen[class] == few,
                _ => seen[class].is_multiple_of(EVERY),
            }
        });
        // A single image measures nothing.
        if test.len() < 2 {
            return Err(all);
        }
        Ok([Subset::new(all.clone(), train), Subset::new(all, test)])
    }

    /// The first `train` and `test` images (see [`Subset::first`]), if a number is given.
    ///
    /// # Errors
    /// A limit of 0.
    pub fn limit(self, train: Option<usize>, test: Option<usize>) -> Result<Self, DataError> {
        let cut = |dataset: Arc<dyn ImageDataset>, limit: Option<usize>| match limit {
            Some(0) => Err(DataError::Request("a limit of 0 images leaves nothing".into())),
            Some(n) => Ok(Arc::new(Subset::first(dataset, n)) as Arc<dyn ImageDataset>),
            None => Ok(dataset),
        };
        let test = self.test.map(|set| cut(set, test)).transpose()?;
        Ok(Self { train: cut(self.train, train)?, test, ..self })
    }

    /// A share of the training images (see [`Subset::fraction`]).
    ///
    /// # Errors
    /// A share out of its range.
    pub fn fraction(self, share: f64, seed: u64) -> Result<Self, DataError> {
        let train = Arc::new(Subset::fraction(self.train, share, seed)?);
        Ok(Self { train, ..self })
    }

    /// Holds out a share of the training images (see [`Subset::hold_out`]) and tests on it instead
    /// of the test images. So settings can be chosen while the test images stay unseen.
    ///
    /// # Errors
    /// A share out of its range, or one that leaves nothing.
    pub fn hold_out(self, share: f64, seed: u64) -> Result<Self, DataError> {
        let (train, held) = Subset::hold_out(self.train, share, seed)?;
        Ok(Self { train: Arc::new(train), test: Some(Arc::new(held)), ..self })
    }

    /// The same without unreadable images. They are added to `skipped` by their names. If only
    /// decoding can tell, every image is decoded once. `progress` gets the number of images that
    /// are done and of all images, from several threads.
    ///
    /// # Errors
    /// No readable image to train on.
    pub fn without_unreadable(
        self,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Self, DataError> {
        let mut skipped = self.skipped;
        let mut readable = |set: Arc<dyn ImageDataset>| -> Arc<dyn ImageDataset> {
            let bad = set.unreadable().unwrap_or_else(|| decode_all(&*set, progress));
            if bad.is_empty() {
                return set;
            }
            let mut rest: Vec<u32> = (0..u32::try_from(set.len()).unwrap_or(u32::MAX)).collect();
            rest.retain(|index| bad.binary_search_by_key(index, |(i, _)| *i as u32).is_err());
            skipped.extend(
                bad.into_iter().map(|(index, reason)| Skipped { path: set.name(index), reason }),
            );
            Arc::new(Subset::new(set, rest))
        };
        let train = readable(self.train);
        let mut layout = self.layout;
        let test = self.test.and_then(|test| {
            let all = test.len();
            let test = readable(test);
            if test.len() >= 2 {
                return Some(test);
            }
            layout.no_test = match test.len() {
                0 => format!("none of the {all} test images can be read"),
                _ => "there is only 1 test image, and at least 2 are needed".into(),
            };
            None
        });
        if train.is_empty() {
            return Err(no_images(&layout.root, &skipped));
        }
        Ok(Self { train, test, skipped, layout, ..self })
    }

    /// SHA-256 of all files' sizes and paths from [`Layout::root`], in the order of the images. It
    /// stays the same if the folder is moved or copied. `None` without files.
    pub fn fingerprint(&self) -> Option<ContentKey> {
        self.fingerprint_without(&HashSet::new())
    }

    /// The fingerprint as it would be if these files had been left out on opening.
    pub fn fingerprint_without(&self, left_out: &HashSet<PathBuf>) -> Option<ContentKey> {
        let mut key = KeyBuilder::default();
        let mut files = 0u64;
        for set in std::iter::once(&self.train).chain(&self.test) {
            set.visit_files(&mut |path| {
                if !left_out.contains(path) {
                    files += 1;
                    key.add_file_from(&self.layout.root, path);
                }
            });
        }
        (files > 0).then(|| key.finish())
    }

    /// Why no accuracy can be measured, if it cannot.
    pub fn untested(&self) -> Option<Untested> {
        let classes = self.train.class_names();
        let mut images = vec![0u64; classes.len()];
        for label in (0..self.train.len()).filter_map(|index| self.train.label(index)) {
            if let Some(images) = images.get_mut(label as usize) {
                *images += 1;
            }
        }
        let mut used = images.iter().enumerate().filter(|(_, images)| **images > 0);
        match (used.next(), used.next()) {
            (None, _) => return Some(Untested::NoLabels(self.layout.unlabelled.clone())),
            (Some((class, _)), None) => return Some(Untested::OneClass(classes[class].clone())),
            _ => {}
        }
        let Some(test) = &self.test else {
            if !self.layout.no_test.is_empty() {
                return Some(Untested::NoTest(self.layout.no_test.clone()));
            }
            let most = images.iter().max().copied().unwrap_or(0);
            return Some(Untested::TooFew { images: self.train.len(), most });
        };
        let known = |index| {
            let images = test.label(index).and_then(|label| images.get(label as usize));
            images.is_some_and(|images| *images > 0)
        };
        match (0..test.len()).any(known) {
            true => None,
            false => Some(Untested::TestUnlabelled(self.layout.test.clone())),
        }
    }
}

/// The indices of the images that cannot be decoded, in order, with the reasons.
fn decode_all(
    set: &dyn ImageDataset,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Vec<(usize, String)> {
    let (done, total) = (AtomicUsize::new(0), set.len());
    let check = |index: usize| {
        // Images decoded here stay in memory for training.
        let error = set.image(index).err();
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        error.map(|error| (index, error.reason()))
    };
    (0..total).into_par_iter().filter_map(check).collect()
}

/// Images of one split before anything is decoded.
pub(crate) struct Found<S> {
    /// Where they are, in words: `train/`, `3 shards`.
    pub(crate) place: String,
    pub(crate) store: S,
    /// What was left out on the way.
    pub(crate) skipped: Vec<Skipped>,
    /// Images beside the class folders.
    pub(crate) beside: Vec<Skipped>,
    /// Classes of a test split without training images, with the number of their images.
    pub(crate) unknown: BTreeMap<String, u64>,
}

impl<S: ImageStore> Found<S> {
    fn images(&self) -> u64 {
        (self.store.len() + self.beside.len()) as u64
    }

    fn labelled(&self) -> bool {
        (0..self.store.len()).any(|index| self.store.label(index).is_some())
    }
}

/// Makes splits from the training images and the candidates to test on, in the order of preference.
///
/// The first labelled candidate is tested on. If none is labelled but the training images are, some
/// of those are held out. Without any labels, the first candidate with images is used to look for
/// collapse. The layout lists what is passed over.
pub(crate) fn assemble<S: ImageStore + 'static>(
    name: &str,
    train: Found<S>,
    tests: Vec<Found<S>>,
    class_names: Vec<String>,
    mut layout: Layout,
    reading: Reading,
) -> Result<Splits, DataError> {
    let mut skipped = train.skipped;
    skipped.extend(train.beside);
    let labelled = (0..train.store.len()).any(|index| train.store.label(index).is_some());
    let train_set = ImageSet::new(train.store, class_names.clone(), reading, &mut skipped);
    if train_set.is_empty() {
        return Err(no_images(&layout.root, &skipped));
    }
    layout.train = train.place;
    let train_set: Arc<dyn ImageDataset> = Arc::new(train_set);
    let mut chosen = None;
    let mut others = Vec::new();
    for test in tests.into_iter().filter(|test| test.store.len() > 0) {
        if chosen.is_some() || (labelled && !test.labelled()) {
            others.push((test.place.clone(), test.images(), test.labelled()));
            continue;
        }
        skipped.extend(test.skipped);
        skipped.extend(test.beside);
        let set = ImageSet::new(test.store, class_names.clone(), reading, &mut skipped);
        if set.is_empty() {
            layout.no_test = format!("none of the test images in {} can be read", test.place);
            layout.notes.push(layout.no_test.clone());
            continue;
        }
        layout.test = Some(test.place);
        layout.unknown_classes = test.unknown;
        chosen = Some(Arc::new(set) as Arc<dyn ImageDataset>);
    }
    for (place, images, has_labels) in others {
        let reason = match &layout.test {
            Some(test) if labelled && !has_labels => {
                format!("its images have no labels; {test} is tested on")
            }
            Some(test) => format!("{test} is tested on"),
            None => "its images have no labels; some training images are held out instead".into(),
        };
        layout.pass_over(&place, images, reason);
    }
    if chosen.is_some() {
        return Ok(Splits { layout, ..Splits::new(name, train_set, chosen, skipped) });
    }
    match Splits::hold_out_tenths(train_set) {
        Err(all) => Ok(Splits { layout, ..Splits::new(name, all, None, skipped) }),
        Ok([train, test]) => {
            layout.held_out = true;
            layout.test =
                Some("held out: a tenth of each class, and at least one image of it".into());
            let test = Some(Arc::new(test) as Arc<dyn ImageDataset>);
            Ok(Splits { layout, ..Splits::new(name, Arc::new(train), test, skipped) })
        }
    }
}

/// A set without a single usable image to train on.
pub(crate) fn no_images(root: &Path, skipped: &[Skipped]) -> DataError {
    let detail = match skipped {
        [first, rest @ ..] => {
            let more = match rest.len() {
                0 => String::new(),
                n => format!(" (and {n} more)"),
            };
            format!("; {}: {}{more}", first.path.display(), first.reason)
        }
        [] => " to train on".into(),
    };
    DataError::NoImages { path: root.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InMemory;

    fn set(labels: &[Option<u32>]) -> Arc<dyn ImageDataset> {
        let images = labels.iter().map(|_| image::RgbImage::new(1, 1)).collect();
        let names = vec!["a".into(), "b".into()];
        Arc::new(InMemory::new(images, labels.to_vec(), names).unwrap())
    }

    fn held_out(of_a: usize, of_b: usize) -> Option<Vec<u32>> {
        let labels: Vec<_> = std::iter::repeat_n(Some(0), of_a)
            .chain(std::iter::repeat_n(Some(1), of_b))
            .chain([None])
            .collect();
        let [train, test] = Splits::hold_out_tenths(set(&labels)).ok()?;
        assert_eq!(train.len() + test.len(), labels.len());
        Some(test.indices().to_vec())
    }

    #[test]
    fn a_split_that_is_possible_is_made() {
        assert_eq!(held_out(20, 10), Some(vec![9, 19, 29]));
        assert_eq!(held_out(9, 2), Some(vec![8, 10]));
        assert_eq!(held_out(25, 1), Some(vec![9, 19]));
        assert_eq!(held_out(1, 1), None);
    }
}

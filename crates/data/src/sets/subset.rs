//! Some images of a data set, chosen by their order or by a seed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use rand::seq::SliceRandom;
use selfsame_augment::ViewKey;
use sha2::{Digest, Sha256};

use super::content::ContentKey;
use super::dataset::out_of_range;
use crate::{DataError, ImageDataset};

/// Some images of another data set. Its indices are its own, from 0.
pub struct Subset {
    inner: Arc<dyn ImageDataset>,
    /// Of a larger set only the first 2³² images can be chosen.
    indices: Vec<u32>,
}

/// How much of a labelled set keeps its labels, as in the papers' semi-supervised tables.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Labels {
    /// This share of each class, in `(0, 1]`, and at least one image of it.
    Share(f64),
    /// This many of each class, or all where there are fewer.
    PerClass(usize),
}

impl Subset {
    /// The images at `indices`. An index out of range is an error when its image is needed.
    pub fn new(inner: Arc<dyn ImageDataset>, indices: Vec<u32>) -> Self {
        Self { inner, indices }
    }

    /// The images' indices in the other set.
    pub fn indices(&self) -> &[u32] {
        &self.indices
    }

    /// The first `n` images, evenly over the classes: the first one of each class, then the second
    /// one of each, and so on. Images without a label are one more class. The order of the set is
    /// kept.
    pub fn first(inner: Arc<dyn ImageDataset>, n: usize) -> Self {
        let mut classes = by_class(&*inner);
        classes.retain(|class| !class.is_empty());
        // How many of each class: one more in each round while images are left to give.
        let mut taken = vec![0; classes.len()];
        let mut left = n.min(classes.iter().map(Vec::len).sum());
        while left > 0 {
            let open = (0..classes.len()).filter(|c| taken[*c] < classes[*c].len());
            let open: Vec<usize> = open.collect();
            let rounds = open.iter().map(|c| classes[*c].len() - taken[*c]).min().unwrap_or(0);
            let rounds = rounds.min(left / open.len().max(1));
            if rounds == 0 {
                open.iter().take(left).for_each(|c| taken[*c] += 1);
                break;
            }
            open.iter().for_each(|c| taken[*c] += rounds);
            left -= rounds * open.len();
        }
        let chosen =
            classes.into_iter().zip(taken).flat_map(|(class, n)| class.into_iter().take(n));
        Self { indices: sorted(chosen), inner }
    }

    /// A share of the images, in `(0, 1]`, drawn from each class by itself (images without a label
    /// are one more class), and at least one of each. The order of the set is kept.
    ///
    /// # Errors
    /// A share that is not one.
    pub fn fraction(
        inner: Arc<dyn ImageDataset>,
        share: f64,
        seed: u64,
    ) -> Result<Self, DataError> {
        check_share(share, true)?;
        let keep = |len: usize| ((len as f64 * share).round() as usize).max(1);
        let indices = sorted(strata(&*inner, seed).flat_map(|class| {
            let keep = keep(class.len());
            class.into_iter().take(keep)
        }));
        Ok(Self { inner, indices })
    }

    /// The images whose labels a probe may know. A larger budget with the same seed has all images
    /// of a smaller one.
    ///
    /// # Errors
    /// A share out of its range, no image of a class, or no labels.
    pub fn labelled(
        inner: Arc<dyn ImageDataset>,
        labels: Labels,
        seed: u64,
    ) -> Result<Self, DataError> {
        match labels {
            Labels::Share(share) => check_share(share, true)?,
            Labels::PerClass(0) => {
                return Err(DataError::Request("0 images of each class leave nothing".into()));
            }
            Labels::PerClass(_) => {}
        }
        let keep = |len: usize| match labels {
            Labels::Share(share) => ((len as f64 * share).round() as usize).max(1),
            Labels::PerClass(n) => n,
        };
        let labelled = strata(&*inner, seed)
            .filter(|class| class.first().is_some_and(|i| inner.label(*i as usize).is_some()));
        let indices = sorted(labelled.flat_map(|class| {
            let keep = keep(class.len());
            class.into_iter().take(keep)
        }));
        if indices.is_empty() {
            return Err(DataError::Request("none of the images has a label".into()));
        }
        Ok(Self { inner, indices })
    }

    /// Holds out a share of the images, in `(0, 1)`, drawn as by [`fraction`](Self::fraction).
    /// Returns the rest, to train on, and the held-out images, to choose settings by. Both have at
    /// least one image.
    ///
    /// # Errors
    /// A share out of its range, or fewer than two images.
    pub fn hold_out(
        inner: Arc<dyn ImageDataset>,
        share: f64,
        seed: u64,
    ) -> Result<(Self, Self), DataError> {
        check_share(share, false)?;
        let (mut rest, mut held) = (Vec::new(), Vec::new());
        for class in strata(&*inner, seed) {
            let out = (class.len() as f64 * share).round() as usize;
            held.extend_from_slice(&class[..out]);
            rest.extend_from_slice(&class[out..]);
        }
        if rest.is_empty() || held.is_empty() {
            let reason = format!("holding out {share} of {} images leaves none", inner.len());
            return Err(DataError::Request(reason));
        }
        let subset =
            |indices: Vec<u32>| Self { inner: inner.clone(), indices: sorted(indices.into_iter()) };
        Ok((subset(rest), subset(held)))
    }
}

fn all(inner: &dyn ImageDataset) -> impl Iterator<Item = u32> + use<> {
    0..u32::try_from(inner.len()).unwrap_or(u32::MAX)
}

fn sorted(indices: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut indices: Vec<u32> = indices.collect();
    indices.sort_unstable();
    indices
}

fn check_share(share: f64, whole: bool) -> Result<(), DataError> {
    if share > 0.0 && (share < 1.0 || whole && share == 1.0) {
        return Ok(());
    }
    let end = if whole { "up to 1" } else { "below 1" };
    Err(DataError::Request(format!("{share} is not a share of the images: above 0 and {end}")))
}

/// The images of each class in order; those without a label last.
fn by_class(inner: &dyn ImageDataset) -> Vec<Vec<u32>> {
    let classes = inner.class_names().len();
    let mut images = vec![Vec::new(); classes + 1];
    for index in all(inner) {
        let class = inner.label(index as usize).map_or(classes, |label| label as usize);
        images[class.min(classes)].push(index);
    }
    images
}

/// The images of each class that is not empty, those without a label last. Each class is shuffled
/// by its own generator.
fn strata(inner: &dyn ImageDataset, seed: u64) -> impl Iterator<Item = Vec<u32>> + use<> {
    let mut strata = by_class(inner);
    for (class, indices) in strata.iter_mut().enumerate() {
        // The key differs from those of images and epochs: no image has this index, and no run so
        // many epochs.
        let key = ViewKey { seed, epoch: u64::MAX, image: u64::MAX, view: class as u64 };
        indices.shuffle(&mut key.rng());
    }
    strata.into_iter().filter(|indices| !indices.is_empty())
}

impl ImageDataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let inner = self.indices.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        self.inner.image(*inner as usize)
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        let inner = self.indices.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        self.inner.decode(*inner as usize)
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.inner.label(*self.indices.get(index)? as usize)
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.inner.path(*self.indices.get(index)? as usize)
    }

    fn name(&self, index: usize) -> PathBuf {
        let inner = self.indices.get(index).map(|inner| self.inner.name(*inner as usize));
        inner.unwrap_or_else(|| format!("image {index}").into())
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.inner.visit_files(visit);
    }

    fn unreadable(&self) -> Option<Vec<(usize, String)>> {
        let bad: HashMap<usize, String> = self.inner.unreadable()?.into_iter().collect();
        let own = self.indices.iter().enumerate();
        let own = own.filter_map(|(own, inner)| Some((own, bad.get(&(*inner as usize))?.clone())));
        Some(own.collect())
    }

    fn content_key(&self) -> Option<ContentKey> {
        let mut hash = Sha256::new_with_prefix(self.inner.content_key()?.0);
        for index in &self.indices {
            hash.update(index.to_le_bytes());
        }
        Some(ContentKey(hash.finalize().into()))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::InMemory;

    fn set(labels: &[Option<u32>], classes: usize) -> Arc<dyn ImageDataset> {
        let images = (0..labels.len())
            .map(|i| RgbImage::from_pixel(1, 1, image::Rgb([i as u8, 0, 255])))
            .collect();
        let names = (0..classes).map(|c| c.to_string()).collect();
        Arc::new(InMemory::new(images, labels.to_vec(), names).unwrap())
    }

    fn counts(subset: &Subset, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes + 1];
        for i in 0..subset.len() {
            counts[subset.label(i).map_or(classes, |l| l as usize)] += 1;
        }
        counts
    }

    #[test]
    fn a_limit_takes_the_first_of_each_class() {
        let labels = [Some(0), Some(0), Some(0), Some(1), Some(1), Some(1)];
        let subset = Subset::first(set(&labels, 2), 5);
        assert_eq!(subset.indices, [0, 1, 2, 3, 4]);
        assert_eq!(Subset::first(set(&labels, 2), 4).indices, [0, 1, 3, 4]);
        let subset = Subset::first(set(&labels, 2), 3);
        assert_eq!(subset.indices, [0, 1, 3]);
        assert_eq!(subset.image(2).unwrap().get_pixel(0, 0).0[0], 3);
        assert_eq!(subset.label(2), Some(1));
        assert!(subset.image(3).is_err());
        // Fewer than there are classes, and more than there are images.
        let classes: Vec<_> = (0..40).flat_map(|class| [Some(class); 10]).collect();
        let few = Subset::first(set(&classes, 40), 39);
        assert_eq!(few.indices, (0..39).map(|class| class * 10).collect::<Vec<_>>());
        assert_eq!(Subset::first(set(&labels, 2), 100).len(), 6);
        // An exhausted class leaves its turns to the others.
        let uneven = [Some(0), Some(1), Some(1), Some(1), Some(1)];
        assert_eq!(Subset::first(set(&uneven, 2), 4).indices, [0, 1, 2, 3]);
        // The images without a label are what such a set is for.
        let partly = [Some(0), Some(1), None, Some(1), None];
        assert_eq!(Subset::first(set(&partly, 2), 3).indices, [0, 1, 2]);
    }

    /// 200 images of class 0, 100 of class 1, 10 of class 2 and 50 without a label.
    fn uneven() -> Arc<dyn ImageDataset> {
        let classes = [(Some(0), 200), (Some(1), 100), (Some(2), 10), (None, 50)];
        let labels: Vec<_> =
            classes.iter().flat_map(|(label, n)| std::iter::repeat_n(*label, *n)).collect();
        set(&labels, 3)
    }

    #[test]
    fn budgets_of_labels_are_even_and_nested() {
        let labelled = |labels| Subset::labelled(uneven(), labels, 0).unwrap();
        let few = labelled(Labels::Share(0.01));
        let more = labelled(Labels::Share(0.1));
        assert_eq!(counts(&few, 3), [2, 1, 1, 0]);
        assert_eq!(counts(&more, 3), [20, 10, 1, 0]);
        assert_eq!(counts(&labelled(Labels::PerClass(20)), 3), [20, 20, 10, 0]);
        assert_eq!(labelled(Labels::Share(1.0)).len(), 310);
        let more: BTreeSet<u32> = more.indices.into_iter().collect();
        assert!(few.indices.iter().all(|i| more.contains(i)));
    }

    #[test]
    fn a_seed_fixes_the_choice_and_another_changes_it() {
        let fraction = |seed| Subset::fraction(uneven(), 0.2, seed).unwrap();
        assert_eq!(counts(&fraction(0), 3), [40, 20, 2, 10]);
        assert_eq!(fraction(0).indices, fraction(0).indices);
        assert_ne!(fraction(0).indices, fraction(1).indices);
    }

    #[test]
    fn what_cannot_be_chosen_is_refused() {
        for share in [0.0, -0.5, 1.5, f64::NAN] {
            assert!(Subset::fraction(uneven(), share, 0).is_err(), "{share}");
            assert!(Subset::hold_out(uneven(), share, 0).is_err(), "{share}");
        }
        assert!(Subset::hold_out(uneven(), 1.0, 0).is_err());
        assert!(Subset::hold_out(set(&[None], 0), 0.5, 0).is_err());
        assert!(Subset::labelled(uneven(), Labels::PerClass(0), 0).is_err());
        assert!(Subset::labelled(set(&[None, None], 0), Labels::PerClass(1), 0).is_err());
    }

    proptest! {
        /// Training and validation images do not overlap, are complete, and are in order.
        #[test]
        fn holding_out_divides_the_set(
            labels in prop::collection::vec(prop::option::of(0u32..4), 2..200),
            share in 0.01f64..0.99,
            seed: u64,
        ) {
            let inner = set(&labels, 4);
            if let Ok((rest, held)) = Subset::hold_out(inner, share, seed) {
                let mut all: Vec<u32> = [&rest.indices[..], &held.indices[..]].concat();
                prop_assert!(rest.indices.is_sorted() && held.indices.is_sorted());
                all.sort_unstable();
                prop_assert_eq!(all, (0..labels.len() as u32).collect::<Vec<_>>());
            }
        }
    }
}

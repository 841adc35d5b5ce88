//! Which classes the images of a split have.

use std::collections::BTreeMap;

use super::splitting::{By, Splitting};
use super::tree::{Folder, Place, text};

/// One in so many images of a split may lie beside its class folders.
const FEW: usize = 10;

/// The classes of the training images, and at which depth each split has them.
pub(super) struct Classes {
    /// Empty without any.
    pub(super) names: Vec<String>,
    /// For each split, how many folders around all its images are looked through.
    wrappers: Vec<usize>,
    /// For each split, whether one of its images has a class.
    labelled: Vec<bool>,
    pub(super) unlabelled: String,
}

pub(super) enum Label {
    Class(u32),
    /// This class, which no training image has.
    Unknown(String),
    Unlabelled,
    /// Left out, since it lies beside the class folders.
    Stray,
}

impl Classes {
    pub(super) fn of(splits: &Splitting, folders: &[Folder<'_>], places: &[Place]) -> Self {
        let within = |split: usize| {
            let pairs = folders.iter().zip(places);
            pairs.filter_map(move |(folder, place)| match place {
                Place::Split(own, depth) if *own == split && folder.images > 0 => {
                    Some((folder, *depth))
                }
                _ => None,
            })
        };
        let wrappers = |split: usize, known: &[String]| {
            let mut wrappers = 0;
            loop {
                let mut names = within(split).map(|(folder, depth)| folder.name(depth + wrappers));
                let Some(Some(first)) = names.next() else { return wrappers };
                let class = known.iter().any(|name| *name == text(first));
                if class || names.any(|name| name != Some(first)) {
                    return wrappers;
                }
                wrappers += 1;
            }
        };
        let below_classes = matches!(splits.by, By::BelowClasses(..));
        let around = if below_classes { 0 } else { wrappers(0, &[]) };
        let mut images: BTreeMap<String, usize> = BTreeMap::new();
        let (mut beside, mut all) = (0, 0);
        for (folder, depth) in within(0) {
            all += folder.images;
            match folder.name(depth + around) {
                Some(name) => {
                    *images.entry(text(name)).or_default() += folder.images;
                }
                None => beside += folder.images,
            }
        }
        let enough = images.len() >= 2;
        let unlabelled = if enough && beside * FEW > all {
            format!(
                "{beside} of {all} images lie beside the folders ({}), so these are not taken for \
                 classes; sort those images into class folders, or move them elsewhere",
                some_of(images.keys())
            )
        } else if !enough {
            "there are no two class folders to tell apart; to measure accuracy, put the images of \
             each class into a folder of its own"
                .into()
        } else {
            String::new()
        };
        let names: Vec<String> = match unlabelled.is_empty() {
            true => images.into_keys().collect(),
            false => Vec::new(),
        };
        let mut all_wrappers = vec![around];
        for split in 1..=splits.tests.len() {
            all_wrappers.push(if below_classes { 0 } else { wrappers(split, &names) });
        }
        let mut classes = Self { names, wrappers: all_wrappers, labelled: Vec::new(), unlabelled };
        for split in 0..=splits.tests.len() {
            let mut class = within(split).map(|(f, depth)| classes.class(split, f, depth));
            let labelled = class.any(|class| matches!(class, Some(Ok(_))));
            classes.labelled.push(labelled);
        }
        classes
    }

    pub(super) fn label(&self, split: usize, folder: &Folder<'_>, place: Place) -> Label {
        let Place::Split(_, depth) = place else { return Label::Unlabelled };
        match self.class(split, folder, depth) {
            Some(Ok(class)) => Label::Class(class),
            Some(Err(name)) => Label::Unknown(name),
            None if self.labelled[split] => Label::Stray,
            None => Label::Unlabelled,
        }
    }

    /// The class of a folder's images, or the name of a class without training images. `None` for
    /// images beside the class folders.
    fn class(
        &self,
        split: usize,
        folder: &Folder<'_>,
        depth: usize,
    ) -> Option<Result<u32, String>> {
        let name = folder.name(depth + self.wrappers[split]).filter(|_| !self.names.is_empty())?;
        let name = text(name);
        let exact = self.names.binary_search_by(|class| (**class).cmp(&name)).ok();
        // `Cat` in one split and `cat` in another are one class, if that is unambiguous.
        let same = || {
            let alike = |class: &String| class.to_lowercase() == name.to_lowercase();
            let mut alike = self.names.iter().enumerate().filter(|(_, class)| alike(class));
            alike.next().filter(|_| alike.next().is_none()).map(|(class, _)| class)
        };
        let class = exact.or_else(same).map(|class| class as u32);
        Some(class.ok_or(name))
    }
}

/// The first few names, for a message.
fn some_of<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&String> = names.take(4).collect();
    let more = if names.len() > 3 { ", …" } else { "" };
    names.into_iter().take(3).map(|name| format!("{name}/")).collect::<Vec<_>>().join(", ") + more
}

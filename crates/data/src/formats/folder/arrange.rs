//! Which images of a folder are trained on and tested on, and which classes they have.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Files;
use super::classes::{Classes, Label};
use super::splitting::{Splitting, focus, wrapped};
use super::tree::{Folder, Place, common, text};
use super::twice::twice;
use super::walk::Walk;
use super::words::Role;
use crate::sets::layout::counted;
use crate::sets::splits::{Found, no_images};
use crate::{DataError, FileFormat, Layout, Skipped};

/// What a folder was taken for.
pub(crate) struct Arranged {
    pub(crate) train: Found<Files>,
    /// In the order of preference.
    pub(crate) tests: Vec<Found<Files>>,
    pub(crate) class_names: Vec<String>,
    pub(crate) layout: Layout,
}

/// Decides, by the names of folders alone.
///
/// # Errors
/// No image, two folders of training images, or several test folders without training images.
pub(crate) fn arrange(root: &Path, mut found: Walk) -> Result<Arranged, DataError> {
    let mut layout = Layout {
        root: root.to_owned(),
        format: Some(FileFormat::ImageFolder),
        unread: found.unread.clone(),
        ..Layout::default()
    };
    let mut folders: Vec<Folder<'_>> = found
        .index
        .folders()
        .into_iter()
        .map(|(path, images)| {
            let names = path.strip_prefix(root).unwrap_or(path).iter().collect();
            Folder { names, images }
        })
        .collect();
    if found.index.len() == 0 {
        return Err(nothing(root, &found));
    }
    let outer = wrapped(&folders);
    let focus = focus(&folders, outer);
    let depth = focus.len();
    layout.root.extend(&focus);
    for (run, pictures) in &found.runs {
        let place = run.strip_prefix(&layout.root).or_else(|_| run.strip_prefix(root));
        let place = format!("{}/", place.unwrap_or(run).display());
        let reason = "the folder of a run, whose pictures are made of images";
        layout.pass_over(&place, *pictures, reason);
    }
    let inside: Vec<Folder<'_>> =
        folders.iter().filter(|folder| folder.names.starts_with(&focus)).cloned().collect();
    let splits = Splitting::of(&inside, depth, &layout.root)?;
    let place = |folder: &Folder<'_>| match common(&folder.names, &focus) {
        same if same == depth => splits.place(folder, depth),
        _ if folder.names.len() <= outer => Place::Stray,
        same => Place::Beside(outer, folder.names.len().min(same + 1)),
    };
    let places: Vec<Place> = folders.iter().map(place).collect();
    // Before classes are counted: a folder is no class if all its images are read elsewhere.
    let used = |folder: usize| matches!(places[folder], Place::Split(..));
    let twice = twice(root, &found, used, &mut layout.links_out);
    let mut dropped = vec![false; if twice.is_empty() { 0 } else { found.index.len() }];
    for (link, _) in &twice {
        for index in found.links[*link].files.clone() {
            if let (false, Some(folder)) = (dropped[index], found.index.folder_of(index)) {
                folders[folder].images -= 1;
            }
            dropped[index] = true;
        }
    }
    let classes = Classes::of(&splits, &folders, &places);

    let mut skipped = found.skipped.clone();
    let mut labels = vec![vec![None; folders.len()]; 1 + splits.tests.len()];
    let mut unknown = vec![BTreeMap::<String, u64>::new(); labels.len()];
    let mut others: BTreeMap<PathBuf, u64> = BTreeMap::new();
    // Folders with images that are left out, and the split they lie in.
    let mut strays = vec![None; folders.len()];
    for (number, (folder, place)) in folders.iter().zip(&places).enumerate() {
        match *place {
            Place::Stray => strays[number] = Some(0),
            Place::Beside(from, to) => {
                let path = folder.names[from..to].iter().collect();
                *others.entry(path).or_default() += folder.images as u64;
            }
            Place::Split(split, _) => match classes.label(split, folder, *place) {
                Label::Stray => strays[number] = Some(split),
                Label::Class(class) => labels[split][number] = Some(Some(class)),
                Label::Unlabelled => labels[split][number] = Some(None),
                Label::Unknown(name) => {
                    *unknown[split].entry(name).or_default() += folder.images as u64;
                    labels[split][number] = Some(None);
                }
            },
        }
    }
    layout.notes = doubts(&folders, &places, depth);
    for (path, images) in others {
        let reason = splits.why_beside();
        layout.pass_over(&format!("{}/", path.display()), images, reason);
    }
    let outside = match splits.train_folder.as_deref() {
        Some(train) => format!("lies beside {train}/, which is trained on"),
        None => "lies beside the class folders".into(),
    };
    let mut beside = vec![Vec::new(); labels.len()];
    if strays.iter().any(Option::is_some) {
        for index in 0..found.index.len() {
            let split = found.index.folder_of(index).and_then(|folder| strays[folder]);
            let dropped = dropped.get(index) == Some(&true);
            if let (Some(split), false, Some(path)) = (split, dropped, found.index.path(index)) {
                let stray = found.index.folder_of(index).map(|folder| places[folder]);
                let reason = match stray {
                    Some(Place::Stray) => outside.clone(),
                    _ => "lies beside the class folders".into(),
                };
                beside[split].push(Skipped { path, reason });
            }
        }
    }

    layout.labels = if classes.names.is_empty() { String::new() } else { "class folders".into() };
    layout.unlabelled = classes.unlabelled.clone();
    // If all files go into one split, no second index is made: they may be a million.
    let whole = labels.len() == 1 && dropped.is_empty() && labels[0].iter().all(Option::is_some);
    let moved = whole.then(|| {
        let mut index = std::mem::take(&mut found.index);
        index.label_folders(&labels[0]);
        Files::new(index)
    });
    let index = &found.index;
    skipped.extend(
        twice
            .into_iter()
            .map(|(link, reason)| Skipped { path: found.links[link].link.clone(), reason }),
    );
    let files = |split: usize| {
        let mut selected = index.select(&labels[split]);
        if !dropped.is_empty() {
            let own = (0..index.len())
                .filter(|i| index.folder_of(*i).is_some_and(|f| labels[split][f].is_some()));
            selected.retain(&own.map(|i| !dropped[i]).collect::<Vec<_>>());
        }
        Files::new(selected)
    };
    let mut unknown = unknown.into_iter();
    unknown.next();
    let mut beside = beside.into_iter();
    let train = Found {
        place: splits.train_place(&classes),
        store: moved.unwrap_or_else(|| files(0)),
        skipped,
        beside: beside.next().unwrap_or_default(),
        unknown: BTreeMap::new(),
    };
    let tests = splits.tests.iter().zip(unknown.zip(beside)).zip(1..);
    let tests = tests.map(|((place, (unknown, beside)), split)| Found {
        place: place.clone(),
        store: files(split),
        skipped: Vec::new(),
        beside,
        unknown,
    });
    let tests = tests.collect();
    Ok(Arranged { train, tests, class_names: classes.names, layout })
}

fn nothing(root: &Path, found: &Walk) -> DataError {
    let mut error = no_images(root, &found.skipped);
    let DataError::NoImages { detail, .. } = &mut error else { return error };
    let line = Layout { unread: found.unread.clone(), ..Layout::default() }.remarks().join("; ");
    if !line.is_empty() {
        *detail += &format!("; {line}");
    }
    let telephone = ["heic", "heif", "avif", "jp2", "jxl", "dng", "cr2", "nef", "arw"];
    if telephone.iter().any(|extension| found.unread.contains_key(*extension)) {
        *detail += "; convert them to JPEG or PNG first";
    }
    if let Some(packed) = ["zip", "7z", "rar"].iter().find(|e| found.unread.contains_key(**e)) {
        *detail += &format!("; unpack the .{packed} first");
    }
    error
}

/// What may have been meant differently, one sentence each.
fn doubts(folders: &[Folder<'_>], places: &[Place], depth: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let trained = || {
        let pairs = folders.iter().zip(places);
        pairs.filter_map(|(folder, place)| match place {
            Place::Split(0, from) => Some((folder, *from)),
            _ => None,
        })
    };
    let test = |name: &&OsStr| matches!(Role::of(&text(name)), Some(Role::Test(_)));
    let mut called: BTreeMap<PathBuf, u64> = BTreeMap::new();
    for (folder, from) in trained() {
        if let Some(at) = folder.names[from..].iter().position(test) {
            let path = folder.names[depth..=from + at].iter().collect();
            *called.entry(path).or_default() += folder.images as u64;
        }
    }
    for (path, images) in called.into_iter().take(3) {
        let images = counted(images, "image");
        notes.push(format!(
            "{}/ is called after test images, and is trained on: {images}",
            path.display()
        ));
    }
    let tops: Vec<String> = trained()
        .filter(|(_, from)| *from == depth)
        .filter_map(|(f, _)| f.name(depth))
        .map(text)
        .collect();
    let with = |training: bool| {
        let fits = |name: &&String| {
            Role::in_words(name).is_some_and(|role| (role == Role::Training) == training)
        };
        tops.iter().find(fits)
    };
    if let (Some(train), Some(test)) = (with(true), with(false)) {
        notes.push(format!(
            "{train}/ and {test}/ are taken for classes, not for training and test images; call these train/ and test/"
        ));
    }
    notes
}

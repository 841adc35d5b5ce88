//! Which images of a folder are trained on and tested on, and which classes they have.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::Files;
use super::walk::Walk;
use super::words::{Role, roles};
use crate::layout::counted;
use crate::splits::{Found, no_images};
use crate::{DataError, FileFormat, Layout, Skipped};

/// Of all images of a split, one in so many may lie beside its class folders.
const FEW: usize = 10;

/// Folders of training and test images are looked for so many levels down.
const DEEPEST_SPLIT: usize = 4;

/// What a folder is taken for.
pub(crate) struct Arranged {
    pub(crate) train: Found<Files>,
    /// In the order of preference.
    pub(crate) tests: Vec<Found<Files>>,
    pub(crate) class_names: Vec<String>,
    pub(crate) layout: Layout,
}

/// Where the images of one folder go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Into a split, 0 for the training images, where classes are told by what follows so many
    /// names of the path.
    Split(usize, usize),
    /// Left out with the folder that has the names from the one number to the other.
    Beside(usize, usize),
    /// Beside everything that is used.
    Stray,
}

/// One folder that has images of its own.
#[derive(Clone)]
struct Folder<'a> {
    /// Names on the way from the root.
    names: Vec<&'a OsStr>,
    images: usize,
}

impl Folder<'_> {
    fn name(&self, depth: usize) -> Option<&OsStr> {
        self.names.get(depth).copied()
    }
}

/// Decides, by the names of folders alone.
///
/// # Errors
/// No image, two folders of training images, or several test folders without training images.
pub(crate) fn arrange(root: &Path, found: Walk) -> Result<Arranged, DataError> {
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
    // Before classes are counted: a folder whose images are all read elsewhere is none.
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
    // Whose images are left out, with the split that they lie in.
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
        store: files(0),
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

/// A name to be shown and compared; what is not Unicode in it is written as bytes.
fn text(name: &OsStr) -> String {
    match name.to_str() {
        Some(text) => text.to_owned(),
        None => name.as_encoded_bytes().escape_ascii().to_string(),
    }
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

/// How many folders lie around all images, each the only one with images in the one before: archives
/// often wrap everything in one. A folder that is called after training or test images is more than a wrapper.
fn wrapped(folders: &[Folder<'_>]) -> usize {
    let mut depth = 0;
    let Some(first) = folders.first() else { return 0 };
    while let Some(name) = first.name(depth) {
        if Role::of(&name.to_string_lossy()).is_some()
            || folders.iter().any(|folder| folder.name(depth) != Some(name))
        {
            break;
        }
        depth += 1;
    }
    depth
}

/// How many names two paths share from their beginning on.
fn common(names: &[&OsStr], others: &[&OsStr]) -> usize {
    names.iter().zip(others).take_while(|(name, other)| name == other).count()
}

/// The names of the folder to look into: the one `outer` names deep, or one further down if that
/// alone has both folders of training images and folders of test images. What lies beside it is not
/// used then, since nobody can tell what it is for; test images are never trained on.
fn focus<'a>(folders: &[Folder<'a>], outer: usize) -> Vec<&'a OsStr> {
    let Some(first) = folders.first() else { return Vec::new() };
    let mut focus = first.names[..outer].to_vec();
    loop {
        let depth = focus.len();
        let inside: Vec<Folder<'_>> =
            folders.iter().filter(|folder| folder.names.starts_with(&focus)).cloned().collect();
        let found = named_roles(&names_at(&inside, depth, |_| true));
        let training = with_role(&found, |role| role == Role::Training);
        let parents = split_parents(&inside, depth);
        let within = |name: &OsStr| parents.iter().any(|parent| parent.first() == Some(&name));
        let mut carriers: Vec<&'a OsStr> =
            inside.iter().filter_map(|folder| folder.names.get(depth).copied()).collect();
        carriers.retain(|name| within(name));
        carriers.dedup();
        let next = match (&carriers[..], &training[..]) {
            // A folder train that has folders train and test.
            ([only], [train]) if text(only) == *train && parents.contains(&vec![*only]) => *only,
            ([only], []) if found.is_empty() && below_classes(&inside, depth).is_none() => *only,
            _ => return focus,
        };
        focus.push(next);
    }
}

/// Folders further down than `depth`, by their names from there on, that have both a folder of
/// training images and one of test images.
fn split_parents<'a>(folders: &[Folder<'a>], depth: usize) -> Vec<Vec<&'a OsStr>> {
    let mut children: BTreeMap<Vec<&'a OsStr>, Vec<String>> = BTreeMap::new();
    for folder in folders {
        for at in depth + 1..folder.names.len().min(depth + 1 + DEEPEST_SPLIT) {
            let names = children.entry(folder.names[depth..at].to_vec()).or_default();
            let child = text(folder.names[at]);
            if !names.contains(&child) {
                names.push(child);
            }
        }
    }
    let both = |names: &Vec<String>| {
        let found = named_roles(names);
        let training = found.iter().any(|(_, role)| *role == Role::Training);
        training && found.iter().any(|(_, role)| *role != Role::Training)
    };
    children.into_iter().filter(|(_, names)| both(names)).map(|(parent, _)| parent).collect()
}

/// How many levels below the class folders `train` and `test` lie, if they lie in at least two of them.
fn below_classes(folders: &[Folder<'_>], depth: usize) -> Option<usize> {
    let is_training = |name: &OsStr| Role::of(&text(name)) == Some(Role::Training);
    let right_below =
        names_at(folders, depth, |folder| folder.name(depth + 1).is_some_and(is_training));
    if right_below.len() >= 2 {
        return Some(1);
    }
    let parents = split_parents(folders, depth);
    let mut classes: Vec<&OsStr> = parents.iter().filter_map(|p| p.first().copied()).collect();
    classes.dedup();
    if classes.len() < 2 { None } else { parents.iter().map(Vec::len).min() }
}

/// How a folder is divided into splits.
struct Splitting {
    /// What the folder of training images is called, if there is one.
    train_folder: Option<String>,
    /// Where test images are, in the order of preference.
    tests: Vec<String>,
    by: By,
}

enum By {
    /// The role of each folder at the top, by name; all others train, or lie beside `train`.
    Top(HashMap<String, usize>),
    /// The same roles so many levels further down, below class folders.
    BelowClasses(HashMap<String, usize>, usize),
}

impl Splitting {
    fn of(folders: &[Folder<'_>], depth: usize, root: &Path) -> Result<Self, DataError> {
        let tops = names_at(folders, depth, |_| true);
        let found = named_roles(&tops);
        let training: Vec<&str> = with_role(&found, |role| role == Role::Training);
        let mut tests = ranked(&found);
        if let [first, second, ..] = training[..] {
            return Err(DataError::Request(format!(
                "{} has two folders of training images, {first}/ and {second}/: rename one of them, \
                 or point at the one that is meant",
                root.display()
            )));
        }
        if let [train] = training[..] {
            let mut splits: HashMap<String, usize> = number(&tests, 1);
            splits.insert(train.to_owned(), 0);
            tests.iter_mut().for_each(|name| name.push('/'));
            return Ok(Self { train_folder: Some(train.to_owned()), tests, by: By::Top(splits) });
        }
        if !tests.is_empty() {
            let on_top = folders.iter().any(|folder| folder.names.len() == depth);
            if tests.len() == tops.len() && !on_top {
                return Err(DataError::Request(format!(
                    "{0} has images in {1}/ and in no folder train/; to train on these, point at {0}/{2}",
                    root.display(),
                    tests.join("/ and "),
                    tests[0]
                )));
            }
            let splits = number(&tests, 1);
            tests.iter_mut().for_each(|name| name.push('/'));
            return Ok(Self { train_folder: None, tests, by: By::Top(splits) });
        }
        if let Some(level) = below_classes(folders, depth) {
            let below =
                names_at(folders, depth + level, |folder| folder.names.len() > depth + level);
            let found = named_roles(&below);
            let tests = ranked(&found);
            let mut splits = number(&tests, 1);
            for name in with_role(&found, |role| role == Role::Training) {
                splits.insert(name.to_owned(), 0);
            }
            let tests = tests.into_iter().map(|name| format!("CLASS/{name}/")).collect();
            return Ok(Self { train_folder: None, tests, by: By::BelowClasses(splits, level) });
        }
        Ok(Self { train_folder: None, tests, by: By::Top(HashMap::new()) })
    }

    fn place(&self, folder: &Folder<'_>, depth: usize) -> Place {
        let name = |depth: usize| folder.name(depth).map(text);
        match &self.by {
            By::Top(splits) => match name(depth).and_then(|name| splits.get(&*name).copied()) {
                Some(split) => Place::Split(split, depth + 1),
                None if self.train_folder.is_none() => Place::Split(0, depth),
                None if folder.names.len() == depth => Place::Stray,
                None => Place::Beside(depth, depth + 1),
            },
            By::BelowClasses(splits, level) => {
                match name(depth + level).and_then(|name| splits.get(&*name).copied()) {
                    Some(split) => Place::Split(split, depth),
                    None if folder.names.len() == depth => Place::Stray,
                    None => Place::Beside(depth, folder.names.len().min(depth + level + 1)),
                }
            }
        }
    }

    fn why_beside(&self) -> &'static str {
        match self.by {
            By::Top(_) => "the folder is called neither after training nor after test images",
            By::BelowClasses(..) => "it is not in the train/ or test/ folder of a class",
        }
    }

    fn train_place(&self, classes: &Classes) -> String {
        match (&self.train_folder, &self.by) {
            (Some(name), _) => format!("{name}/"),
            (None, By::BelowClasses(..)) => "CLASS/train/".into(),
            (None, By::Top(_)) => match classes.names.len() {
                0 => "all images, at any depth".into(),
                classes => counted(classes as u64, "class folder"),
            },
        }
    }
}

/// Names of folders at some depth, each once, of those folders that `of` holds for.
fn names_at(folders: &[Folder<'_>], depth: usize, of: impl Fn(&Folder<'_>) -> bool) -> Vec<String> {
    let names = folders.iter().filter(|folder| of(folder)).filter_map(|folder| folder.name(depth));
    let mut names: Vec<String> = names.map(text).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn named_roles(names: &[String]) -> Vec<(String, Role)> {
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let found = names.iter().zip(roles(&texts));
    found.filter_map(|(name, role)| Some((name.clone(), role?))).collect()
}

fn with_role(found: &[(String, Role)], fits: impl Fn(Role) -> bool) -> Vec<&str> {
    found.iter().filter(|(_, role)| fits(*role)).map(|(name, _)| name.as_str()).collect()
}

/// Names of test folders in the order of preference.
fn ranked(found: &[(String, Role)]) -> Vec<String> {
    let mut tests: Vec<_> = found.iter().filter(|(_, role)| *role != Role::Training).collect();
    tests.sort_by_key(|(_, role)| *role);
    tests.into_iter().map(|(name, _)| name.clone()).collect()
}

fn number(names: &[String], first: usize) -> HashMap<String, usize> {
    names.iter().cloned().zip(first..).collect()
}

/// The classes of the training images, and where each split tells them by.
struct Classes {
    /// Empty without any.
    names: Vec<String>,
    /// For each split, how many folders around all its images are looked through.
    wrappers: Vec<usize>,
    /// For each split, whether one of its images has a class.
    labelled: Vec<bool>,
    unlabelled: String,
}

enum Label {
    Class(u32),
    /// Of this class, which training images lack.
    Unknown(String),
    Unlabelled,
    /// Left out, since it lies beside the class folders.
    Stray,
}

impl Classes {
    fn of(splits: &Splitting, folders: &[Folder<'_>], places: &[Place]) -> Self {
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

    fn label(&self, split: usize, folder: &Folder<'_>, place: Place) -> Label {
        let Place::Split(_, depth) = place else { return Label::Unlabelled };
        match self.class(split, folder, depth) {
            Some(Ok(class)) => Label::Class(class),
            Some(Err(name)) => Label::Unknown(name),
            None if self.labelled[split] => Label::Stray,
            None => Label::Unlabelled,
        }
    }

    /// The class of a folder's images, or the name of one that training images lack. `None` for
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
        // `Cat` in the one split and `cat` in the other are one class, if that is unambiguous.
        let same = || {
            let alike = |class: &String| class.to_lowercase() == name.to_lowercase();
            let mut alike = self.names.iter().enumerate().filter(|(_, class)| alike(class));
            alike.next().filter(|_| alike.next().is_none()).map(|(class, _)| class)
        };
        let class = exact.or_else(same).map(|class| class as u32);
        Some(class.ok_or(name))
    }
}

/// What somebody may have meant otherwise, a sentence each.
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

/// The first names of some, to be read.
fn some_of<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&String> = names.take(4).collect();
    let more = if names.len() > 3 { ", …" } else { "" };
    names.into_iter().take(3).map(|name| format!("{name}/")).collect::<Vec<_>>().join(", ") + more
}

/// The links, by their place, whose images would be read twice, with the reason: because what they
/// lead to is read where it lies, or through another link. `out` counts those that lead out of the
/// folder.
fn twice(
    root: &Path,
    found: &Walk,
    used: impl Fn(usize) -> bool,
    out: &mut u64,
) -> Vec<(usize, String)> {
    if found.links.is_empty() {
        return Vec::new();
    }
    let real_root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
    let linked_files: HashSet<usize> = found.links.iter().flat_map(|l| l.files.clone()).collect();
    // Folders whose images are read where they lie, and all folders that hold such.
    let (mut read, mut around) = (HashSet::new(), HashSet::new());
    let folders = found.index.folders();
    for index in (0..found.index.len()).filter(|index| !linked_files.contains(index)) {
        let Some(folder) = found.index.folder_of(index).filter(|folder| used(*folder)) else {
            continue;
        };
        let path = folders[folder].0;
        if read.insert(path) {
            let relative = path.strip_prefix(root).unwrap_or(path);
            around.extend(relative.ancestors().map(|up| real_root.join(up)));
        }
    }
    let real: HashSet<PathBuf> =
        read.iter().map(|path| real_root.join(path.strip_prefix(root).unwrap_or(path))).collect();
    let mut taken: HashMap<&Path, &Path> = HashMap::new();
    let mut bad = Vec::new();
    // Folders first: a link to a file may lead into one of them.
    let order = |to_folder: bool| {
        found.links.iter().enumerate().filter(move |(_, l)| l.to_folder == to_folder)
    };
    for (number, linked) in order(true).chain(order(false)) {
        let is_used = linked.files.clone().any(|i| found.index.folder_of(i).is_some_and(&used));
        if !is_used {
            continue;
        }
        let target = linked.target.as_path();
        let here = match linked.to_folder {
            true => around.contains(target),
            false => {
                let name = target.file_name().unwrap_or_default();
                super::walk::is_image(name) && target.parent().is_some_and(|p| real.contains(p))
            }
        };
        if here {
            bad.push((number, format!("a link to {}, which is read there", target.display())));
        } else if let Some(other) = target.ancestors().find_map(|up| taken.get(up)) {
            let reason = format!("a second link to the same as {}", other.display());
            bad.push((number, reason));
        } else {
            taken.insert(target, &linked.link);
            if !target.starts_with(&real_root) {
                *out += 1;
            }
        }
    }
    bad
}

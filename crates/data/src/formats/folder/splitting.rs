//! Which folder has the splits, and which folder is which split.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::path::Path;

use super::classes::Classes;
use super::tree::{Folder, Place, names_at, text};
use super::words::{Role, roles};
use crate::DataError;
use crate::sets::layout::counted;

/// How many levels down folders of training and test images are searched for.
const DEEPEST_SPLIT: usize = 4;

/// How many folders lie around all images, one inside the other. Archives often wrap everything in
/// a folder. A folder named after training or test images is not a wrapper.
pub(super) fn wrapped(folders: &[Folder<'_>]) -> usize {
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

/// The path of the folder to look into. It lies `outer` names deep, or further down if only one
/// folder there has both training and test folders. Then nothing beside it is used: nobody can tell
/// its purpose, and test images are never trained on.
pub(super) fn focus<'a>(folders: &[Folder<'a>], outer: usize) -> Vec<&'a OsStr> {
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
            // A folder train with folders train and test in it.
            ([only], [train]) if text(only) == *train && parents.contains(&vec![*only]) => *only,
            ([only], []) if found.is_empty() && below_classes(&inside, depth).is_none() => *only,
            _ => return focus,
        };
        focus.push(next);
    }
}

/// Folders below `depth` that have both a folder of training images and one of test images, by
/// their names from there on.
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

/// How many levels below the class folders `train` and `test` lie, if at least two classes have
/// them.
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
pub(super) struct Splitting {
    /// The name of the folder of training images, if there is one.
    pub(super) train_folder: Option<String>,
    /// Where test images are, in the order of preference.
    pub(super) tests: Vec<String>,
    pub(super) by: By,
}

pub(super) enum By {
    /// The role of each top folder, by name. All others train, or lie beside `train`.
    Top(HashMap<String, usize>),
    /// The same roles so many levels further down, below class folders.
    BelowClasses(HashMap<String, usize>, usize),
}

impl Splitting {
    pub(super) fn of(folders: &[Folder<'_>], depth: usize, root: &Path) -> Result<Self, DataError> {
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

    pub(super) fn place(&self, folder: &Folder<'_>, depth: usize) -> Place {
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

    pub(super) fn why_beside(&self) -> &'static str {
        match self.by {
            By::Top(_) => "the folder is called neither after training nor after test images",
            By::BelowClasses(..) => "it is not in the train/ or test/ folder of a class",
        }
    }

    pub(super) fn train_place(&self, classes: &Classes) -> String {
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

//! Compares the reading of a folder with the right one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use selfsame_data::{ImageDataset, Splits};

use super::corpus::{Corpus, Entry, Fate, id};

/// An image as a split has it.
struct Seen {
    path: PathBuf,
    class: Option<String>,
    tested: bool,
}

/// Everything that is wrong, one line each. Every image must be used or listed, none twice, each
/// with its own pixels and label.
pub fn problems(corpus: &Corpus, splits: &Splits) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: BTreeMap<u32, Vec<Seen>> = BTreeMap::new();
    collect(&*splits.train, false, &mut seen, &mut wrong);
    if let Some(test) = &splits.test {
        collect(&**test, true, &mut seen, &mut wrong);
        same(
            "classes of the test images",
            test.class_names(),
            splits.train.class_names(),
            &mut wrong,
        );
    }
    let mut listed: BTreeMap<&Path, usize> = BTreeMap::new();
    for skipped in &splits.skipped {
        *listed.entry(&skipped.path).or_default() += 1;
        if skipped.reason.trim().is_empty() || skipped.reason.contains('\n') {
            wrong.push(format!("{}: the reason is {:?}", skipped.path.display(), skipped.reason));
        }
    }
    for entry in &corpus.entries {
        let path = corpus.at(&entry.path);
        let found = entry.id.and_then(|id| seen.remove(&id)).unwrap_or_default();
        let listed = listed.remove(&*path).unwrap_or(0);
        if let Some(what) = fault(entry, &path, &found, listed) {
            wrong.push(format!("{} ({:?}): {what}", entry.path, entry.fate));
        }
    }
    wrong.extend(seen.values().flatten().map(|s| format!("{}: nobody knows it", s.path.display())));
    wrong.extend(listed.keys().map(|path| format!("{}: listed without need", path.display())));
    held_out(corpus, splits, &mut wrong);
    layout(corpus, splits, &mut wrong);
    wrong
}

fn collect(
    set: &dyn ImageDataset,
    tested: bool,
    seen: &mut BTreeMap<u32, Vec<Seen>>,
    wrong: &mut Vec<String>,
) {
    for index in 0..set.len() {
        let name = set.name(index).display().to_string();
        let image = set.image(index);
        let Some(id) = image.as_ref().ok().and_then(|image| id(image)) else {
            wrong.push(format!("{name}: not the pixels of any image ({:?})", image.err()));
            continue;
        };
        let class = set.label(index).map(|label| set.class_names()[label as usize].clone());
        let path = set.path(index).unwrap_or_default();
        seen.entry(id).or_default().push(Seen { path, class, tested });
    }
}

/// What is wrong with an image.
fn fault(entry: &Entry, path: &Path, found: &[Seen], listed: usize) -> Option<String> {
    let used = !matches!(entry.fate, Fate::Listed | Fate::Over(_) | Fate::Ignored);
    let readable = entry.id.is_some();
    let expected = match &entry.fate {
        Fate::Over(_) | Fate::Ignored => (0, 0),
        _ if used && readable => (1, 0),
        _ => (0, 1),
    };
    if (found.len(), listed) != expected {
        let (times, should) = (found.len(), expected);
        return Some(format!("used {times} times, listed {listed} times, not {should:?}"));
    }
    let seen = found.first()?;
    let (class, tested) = match &entry.fate {
        Fate::Train(class) => (class.as_deref(), Some(false)),
        Fate::Test(class) => (class.as_deref(), Some(true)),
        Fate::Stranger(_) => (None, Some(true)),
        Fate::Drawn(class) => (Some(class.as_str()), None),
        Fate::Listed | Fate::Over(_) | Fate::Ignored => return None,
    };
    if seen.class.as_deref() != class {
        return Some(format!("of class {:?}", seen.class));
    }
    if tested.is_some_and(|tested| tested != seen.tested) {
        return Some(if seen.tested { "tested on" } else { "trained on" }.into());
    }
    (seen.path != path).then(|| format!("its path is {}", seen.path.display()))
}

/// A tenth of each class, or one image of a small class. Nothing if that makes a single image in
/// all.
fn held_out(corpus: &Corpus, splits: &Splits, wrong: &mut Vec<String>) {
    let mut of_class: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in corpus.entries.iter().filter(|entry| entry.id.is_some()) {
        if let Fate::Drawn(class) = &entry.fate {
            *of_class.entry(class).or_default() += 1;
        }
    }
    if of_class.is_empty() {
        return;
    }
    let expected: BTreeMap<&str, u64> = of_class
        .into_iter()
        .map(|(class, images)| (class, if images < 10 { images.min(2) / 2 } else { images / 10 }))
        .filter(|(_, images)| *images > 0)
        .collect();
    let expected = if expected.values().sum::<u64>() < 2 { BTreeMap::new() } else { expected };
    let mut found: BTreeMap<&str, u64> = BTreeMap::new();
    if let Some(test) = &splits.test {
        for label in (0..test.len()).filter_map(|index| test.label(index)) {
            *found.entry(&test.class_names()[label as usize]).or_default() += 1;
        }
    }
    same("held out", &found, &expected, wrong);
}

/// The remarks about the folder.
fn layout(corpus: &Corpus, splits: &Splits, wrong: &mut Vec<String>) {
    let layout = &splits.layout;
    let (mut places, mut unknown) = (BTreeMap::<&str, u64>::new(), BTreeMap::<String, u64>::new());
    let (mut classes, mut tested) = (BTreeSet::<&str>::new(), false);
    for entry in &corpus.entries {
        match &entry.fate {
            Fate::Over(place) => *places.entry(place).or_default() += 1,
            Fate::Stranger(class) => *unknown.entry(class.clone()).or_default() += 1,
            Fate::Train(Some(class)) | Fate::Drawn(class) => _ = classes.insert(class),
            Fate::Test(Some(_)) => tested |= entry.id.is_some(),
            Fate::Train(None) | Fate::Test(None) | Fate::Listed | Fate::Ignored => {}
        }
    }
    let mut found = BTreeMap::<&str, u64>::new();
    for over in &layout.passed_over {
        *found.entry(&over.place).or_default() += over.images;
        if over.reason.trim().is_empty() {
            wrong.push(format!("{}: no reason is given", over.place));
        }
    }
    same("places passed over", &found, &places, wrong);
    same("classes unknown in training", &layout.unknown_classes, &unknown, wrong);
    let names: Vec<&str> = splits.train.class_names().iter().map(String::as_str).collect();
    same("classes", &names, &classes.into_iter().collect::<Vec<_>>(), wrong);
    same("root", &layout.root, &corpus.at(&corpus.root).components().collect(), wrong);
    same("links out", &layout.links_out, &corpus.links_out, wrong);
    unread(corpus, &layout.unread, wrong);

    let drawn = corpus.entries.iter().filter(|entry| matches!(entry.fate, Fate::Drawn(_)));
    let tested = tested || drawn.count() > 0 && splits.test.is_some();
    if let Some(why) = splits.untested().filter(|_| tested) {
        wrong.push(format!("there is an accuracy to measure: {why}"));
    }
    match splits.untested().map(|why| why.to_string()) {
        None if !tested => wrong.push("there is no accuracy to measure".into()),
        Some(why) if why.trim().is_empty() => wrong.push("untested without a reason".into()),
        _ => {}
    }
    for remark in layout.remarks() {
        if remark.trim().is_empty() || remark.contains('\n') {
            wrong.push(format!("not a sentence: {remark:?}"));
        }
    }
}

/// Every unread file beside used images is counted. Elsewhere it may be.
fn unread(corpus: &Corpus, found: &BTreeMap<String, u64>, wrong: &mut Vec<String>) {
    let kinds: BTreeSet<&String> =
        found.keys().chain(corpus.unread.keys()).chain(corpus.unread_elsewhere.keys()).collect();
    for kind in kinds {
        let count = |of: &BTreeMap<String, u64>| of.get(kind).copied().unwrap_or(0);
        let least = count(&corpus.unread);
        let most = least + count(&corpus.unread_elsewhere);
        if !(least..=most).contains(&count(found)) {
            let found = count(found);
            wrong.push(format!("{found} files with .{kind} not read, not {least} to {most}"));
        }
    }
}

fn same<T: PartialEq + std::fmt::Debug + ?Sized>(
    what: &str,
    found: &T,
    expected: &T,
    wrong: &mut Vec<String>,
) {
    if found != expected {
        wrong.push(format!("{what}: {found:?}\n  not {expected:?}"));
    }
}

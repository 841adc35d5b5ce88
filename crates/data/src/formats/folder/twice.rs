//! Images that several links lead to.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::walk::{Walk, is_image};

/// The places of links whose images would be read twice, with the reason: their target is read
/// where it lies, or through another link. `out` counts links that lead out of the folder.
pub(super) fn twice(
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
    // Folders with images that are read where they lie, and all folders above these.
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
                is_image(name) && target.parent().is_some_and(|p| real.contains(p))
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

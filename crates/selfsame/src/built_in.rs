//! The data set that is part of this crate: `fashion-mini`.

use std::fs::{self, File};
use std::path::Path;

use anyhow::Context;
use include_dir::{Dir, include_dir};
use selfsame_data::{Opening, Source, Splits};

use crate::error::{Result, usage};
use crate::names::folder_beside;
use crate::places::datasets;

/// The name of the set that needs no download.
pub const BUILT_IN: &str = "fashion-mini";

/// The prefix of temporary folders.
const UNPACKING: &str = ".unpacking-";

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fashion-mini");

/// Opens a data set by its name, or a folder of images, as a run does.
///
/// # Errors
/// There are no such images, or they cannot be read.
pub fn open_images(source: &Source) -> Result<Splits> {
    Ok(open(source, Opening::default())?)
}

/// Opens images. Unpacks the built-in set first, if necessary.
pub(crate) fn open(source: &Source, opening: impl Into<Opening>) -> anyhow::Result<Splits> {
    open_in(&datasets(), source, opening.into())
}

fn open_in(root: &Path, source: &Source, opening: Opening) -> anyhow::Result<Splits> {
    if let Source::Folder(path) = source
        && !path.exists()
    {
        let near = folder_beside(path);
        return Err(usage(format!("there is no folder of images {}{near}", path.display())));
    }
    let built_in = matches!(source, Source::Named(name) if name == BUILT_IN);
    // A data folder that cannot be written must not be in the way. The images stay in memory, so
    // the files may go again.
    if built_in && unpack_to(root).is_err() {
        let place = tempfile::tempdir().context("cannot unpack fashion-mini")?;
        unpack_to(place.path()).context("cannot unpack fashion-mini")?;
        return Ok(selfsame_data::open(source, place.path(), opening)?);
    }
    Ok(selfsame_data::open(source, root, opening)?)
}

/// Unpacks a built-in set into the folder of data sets, if its files are missing. Does nothing for
/// other names.
///
/// # Errors
/// The folder cannot be written to.
pub fn unpack_built_in(name: &str) -> Result<()> {
    Ok(unpack(name)?)
}

fn unpack(name: &str) -> anyhow::Result<()> {
    if name != BUILT_IN {
        return Ok(());
    }
    let root = datasets();
    unpack_to(&root).with_context(|| {
        format!(
            "cannot write {name} to {}; set SELFSAME_DATA to use another folder for data sets",
            root.display()
        )
    })
}

/// Writes the complete set or nothing, even if another process does the same.
fn unpack_to(root: &Path) -> std::io::Result<()> {
    let place = root.join(BUILT_IN);
    if place.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(root)?;
    // One process unpacks at a time. So what lies here was left by a killed process. A file system
    // without locks keeps it.
    let lock = File::open(root).and_then(|root| root.lock().map(|()| root));
    if lock.is_ok() {
        remove_leftovers(root)?;
    }
    if place.is_dir() {
        return Ok(());
    }
    let folder = tempfile::Builder::new().prefix(UNPACKING).tempdir_in(root)?;
    for file in FILES.files() {
        fs::write(folder.path().join(file.path()), file.contents())?;
    }
    // Other users can read it, like everything here.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    }
    match fs::rename(folder.path(), &place) {
        // Another process was faster.
        Err(_) if place.is_dir() => Ok(()),
        renamed => renamed,
    }
}

/// Removes the temporary folders of killed processes.
fn remove_leftovers(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNPACKING) {
            // It may be another user's. Then it stays.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_set_is_whole_and_unpacked_once() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("not/there/yet");
        unpack_to(&root).unwrap();
        let source = Source::Named(BUILT_IN.into());
        let data = selfsame_data::open(&source, &root, Opening::default()).unwrap();
        let test = data.test.as_ref().unwrap();
        assert_eq!((data.train.len(), test.len()), (8000, 2000));
        // A changed file stays as it is.
        fs::remove_file(root.join(BUILT_IN).join("LICENSE")).unwrap();
        unpack_to(&root).unwrap();
        assert!(!root.join(BUILT_IN).join("LICENSE").exists());
        assert_eq!(fs::read_dir(&root).unwrap().count(), 1, "a temporary folder was left");
    }

    #[test]
    fn a_data_folder_that_cannot_be_written_is_not_in_the_way() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("a file");
        fs::write(&file, "").unwrap();
        let source = Source::Named(BUILT_IN.into());
        let data = open_in(&file, &source, Opening::default()).unwrap();
        assert_eq!(data.train.len(), 8000);
        assert!(data.train.image(7999).is_ok());
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().to_owned();
        let left = root.join(".unpacking-1a2b3c");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("LICENSE"), "half").unwrap();
        // A living process that unpacks.
        let living = File::open(&root).unwrap();
        living.lock().unwrap();
        let here = root.clone();
        let waiting = std::thread::spawn(move || unpack_to(&here));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(left.join("LICENSE").is_file() && !waiting.is_finished());
        drop(living);
        waiting.join().unwrap().unwrap();
        let names: Vec<_> = fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [BUILT_IN]);
    }
}

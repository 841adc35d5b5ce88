//! The data set that is part of this crate: `fashion-mini`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use include_dir::{Dir, include_dir};
use selfsame_data::{Opening, Source, Splits};

use crate::error::Result;
use crate::places::datasets;

/// The name of the set that needs no download.
pub const BUILT_IN: &str = "fashion-mini";

static FILES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/fashion-mini");

/// Opens images. Unpacks the built-in set first, if necessary.
pub(crate) fn open(source: &Source, opening: impl Into<Opening>) -> anyhow::Result<Splits> {
    if let Source::Named(name) = source {
        unpack(name)?;
    }
    Ok(selfsame_data::open(source, &datasets(), opening)?)
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
    let folder = tempfile::Builder::new().prefix(".unpacking-").tempdir_in(root)?;
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
}

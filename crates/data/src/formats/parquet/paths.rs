//! Files that a Parquet file names.

use std::path::{Component, Path, PathBuf};

/// The most bytes of a path.
const MAX_PATH_BYTES: usize = 4096;

/// The file that a Parquet file in `folder` names, relative to `folder` or else to the data set's
/// `root`. A downloaded file must not make us read anything outside of `root`.
///
/// # Errors
/// Why it is not read.
pub(super) fn inside(root: &Path, folder: &Path, text: &str) -> Result<PathBuf, String> {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.contains("://") {
        return Err(format!("{shown} is a web address, and nothing is downloaded"));
    }
    if text.len() > MAX_PATH_BYTES || text.contains('\0') {
        return Err(format!("{shown} is not the path of a file"));
    }
    let outside = || Err(format!("{shown} leads out of the data set's folder and is not read"));
    let real = root.canonicalize().map_err(|_| "the data set's folder is not there".to_owned())?;
    let mut escapes = false;
    for base in [folder, root] {
        // Checked before the file system is asked: an error must not reveal what lies outside.
        let path = plain(&base.join(text));
        if !path.starts_with(root) && !path.starts_with(&real) {
            escapes = true;
        } else if let Ok(file) = path.canonicalize() {
            // A link may still lead out.
            return if file.starts_with(&real) { Ok(file) } else { outside() };
        }
    }
    if escapes { outside() } else { Err(format!("the file {shown} is not there")) }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut all = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            // There is nothing above a relative start, so the path stays outside.
            Component::ParentDir if !all.pop() => all.push(".."),
            Component::ParentDir => {}
            part => all.push(part),
        }
    }
    all
}

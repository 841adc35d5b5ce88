//! The places of data sets, runs, and the checkout, if there is one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A file that identifies a checkout of this repository.
const MARK: &str = "datasets/fashion-mini.toml";

/// The root of the checkout: that of Cargo, or one around the working folder.
pub(crate) fn checkout() -> Option<PathBuf> {
    let cargo = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    cargo.and_then(|folder| marked(&folder)).or_else(|| marked(&here?))
}

fn marked(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().find(|above| above.join(MARK).is_file()).map(Path::to_owned)
}

/// The folder of data sets: `SELFSAME_DATA`, or `datasets/` of the checkout, or the user's data
/// folder (XDG base directory specification), or `datasets/` in the working folder.
pub fn datasets() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name);
    datasets_of(variable, checkout())
}

fn datasets_of(variable: impl Fn(&str) -> Option<OsString>, checkout: Option<PathBuf>) -> PathBuf {
    if let Some(chosen) = variable("SELFSAME_DATA").filter(|chosen| !chosen.is_empty()) {
        return chosen.into();
    }
    if let Some(root) = checkout {
        return root.join("datasets");
    }
    // The specification says to ignore relative paths.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    data.map_or_else(|| "datasets".into(), |data| data.join("selfsame").join("datasets"))
}

/// The folder of runs without `--out`.
pub(crate) fn runs() -> PathBuf {
    "runs".into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_comes_first_then_the_checkout_then_the_user() {
        let of = |set: &[(&str, &str)], checkout: Option<&str>| {
            let variable = |name: &str| {
                set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
            };
            datasets_of(variable, checkout.map(PathBuf::from))
        };
        let all = [("SELFSAME_DATA", "mine"), ("XDG_DATA_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(of(&all, Some("/c")), Path::new("mine"));
        assert_eq!(of(&all[1..], Some("/c")), Path::new("/c/datasets"));
        assert_eq!(of(&all[1..], None), Path::new("/x/selfsame/datasets"));
        assert_eq!(of(&all[2..], None), Path::new("/h/.local/share/selfsame/datasets"));
        assert_eq!(of(&[("XDG_DATA_HOME", "odd")], None), Path::new("datasets"));
        assert_eq!(of(&[("SELFSAME_DATA", "")], None), Path::new("datasets"));
    }

    #[test]
    fn a_checkout_is_found_from_anywhere_inside() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("crates/cli");
        std::fs::create_dir_all(&inside).unwrap();
        assert_eq!(marked(&inside), None);
        std::fs::create_dir_all(folder.path().join("datasets")).unwrap();
        std::fs::write(folder.path().join(MARK), "").unwrap();
        assert_eq!(marked(&inside).as_deref(), Some(folder.path()));
    }
}

//! The folder of compiled kernels.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The file with the version of NVIDIA's driver.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
const DRIVER: &str = "/proc/driver/nvidia/version";

/// The folder for this program and this driver. `None` if kernels are not kept, or no place is
/// known.
#[cfg(any(feature = "cuda", feature = "wgpu"))]
pub fn folder() -> Option<PathBuf> {
    let driver = std::fs::read_to_string(DRIVER).ok();
    let driver = driver.as_deref().and_then(version);
    Some(root(|name| std::env::var_os(name))?.join(name(env!("CARGO_PKG_VERSION"), driver)))
}

/// `SELFSAME_CACHE`, or else the user's cache folder. `off` or an empty value means no folder.
fn root(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    if let Some(chosen) = variable("SELFSAME_CACHE") {
        let off = chosen.is_empty() || chosen.eq_ignore_ascii_case("off");
        return (!off).then(|| PathBuf::from(chosen));
    }
    // The XDG specification says to ignore relative paths.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join(Path::new("selfsame").join("kernels")))
}

/// CubeCL separates its versions, GPU architectures and builds of this program in the folder. The
/// fastest kernel also depends on the driver, but CubeCL does not check it.
fn name(program: &str, driver: Option<&str>) -> String {
    match driver {
        Some(driver) => format!("{program}-nvidia-{driver}"),
        None => program.to_owned(),
    }
}

/// `580.65.06`, from the driver's version text.
fn version(said: &str) -> Option<&str> {
    let line = said.lines().find(|line| line.starts_with("NVRM version:"))?;
    let number =
        |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
    line.split_whitespace().find(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        root(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
    }

    #[test]
    fn what_is_asked_for_comes_before_the_users_cache() {
        let all = [("SELFSAME_CACHE", "here"), ("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        assert_eq!(of(&all), Some("here".into()));
        assert_eq!(of(&all[1..]), Some("/x/selfsame/kernels".into()));
        assert_eq!(of(&all[2..]), Some("/h/.cache/selfsame/kernels".into()));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn off_and_nothing_keep_nothing() {
        for off in ["off", "OFF", ""] {
            assert_eq!(of(&[("SELFSAME_CACHE", off), ("HOME", "/h")]), None);
        }
    }

    #[test]
    fn relative_folders_of_the_system_are_passed_over() {
        let odd = [("XDG_CACHE_HOME", "caches"), ("HOME", "/h")];
        assert_eq!(of(&odd), Some("/h/.cache/selfsame/kernels".into()));
        assert_eq!(of(&[("HOME", "")]), None);
    }

    #[test]
    fn a_folder_is_of_one_program_and_one_driver() {
        let closed = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12\nGCC version: 12.2.0";
        let open =
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build";
        assert_eq!(version(closed), Some("535.183.01"));
        assert_eq!(version(open), Some("580.65.06"));
        assert_eq!(version("GCC version: 12.2.0"), None);
        assert_eq!(name("0.1.0", version(open)), "0.1.0-nvidia-580.65.06");
        assert_eq!(name("0.1.0", None), "0.1.0");
    }
}

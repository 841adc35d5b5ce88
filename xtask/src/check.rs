//! `cargo xtask check`: checks to run before a commit.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, ensure};
use clap::Args;

/// Run a fast part of CI: format, Clippy, and the tests of changed packages.
///
/// A package is changed if one of its files differs from BASE, committed or not. If the workspace
/// itself has changed, the tests of all libraries run. `.ci/run` runs everything.
#[derive(Args)]
pub struct CheckArgs {
    /// The commit to compare with.
    #[arg(long, value_name = "COMMIT", default_value = "HEAD")]
    base: String,
}

/// Runs the parts one after another, and stops at the first failure.
pub fn run(args: &CheckArgs) -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = root.parent().context("xtask has no parent folder")?;
    step(root, "format", &["fmt", "--all", "--check"])?;
    let clippy =
        ["clippy", "--release", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"];
    step(root, "Clippy", &clippy)?;
    let changed = changed(root, &args.base)?;
    let packages = packages(&changed);
    // Always for the whole workspace, so that dependencies are not compiled twice.
    let mut tests = vec!["test", "--release", "--workspace", "--quiet"];
    let others: Vec<&str> = PACKAGES
        .iter()
        .filter(|(_, name)| !packages.contains(name))
        .flat_map(|(_, name)| ["--exclude", name])
        .collect();
    if packages.is_empty() {
        println!("tests: no package has changed");
        return Ok(());
    }
    tests.extend(others);
    let names: Vec<&str> = packages.into_iter().collect();
    step(root, &format!("tests of {}", names.join(", ")), &tests)
}

/// The folder and the name of each package.
const PACKAGES: [(&str, &str); 13] = [
    ("benches", "selfsame-benches"),
    ("crates/augment", "selfsame-augment"),
    ("crates/cli", "selfsame-cli"),
    ("crates/data", "selfsame-data"),
    ("crates/eval", "selfsame-eval"),
    ("crates/kernels", "selfsame-kernels"),
    ("crates/losses", "selfsame-losses"),
    ("crates/models", "selfsame-models"),
    ("crates/report", "selfsame-report"),
    ("crates/selfsame", "selfsame"),
    ("crates/trainers", "selfsame-trainers"),
    ("tests", "selfsame-tests"),
    ("xtask", "xtask"),
];

/// The packages of `files`. All packages if a file of the workspace itself is among them.
fn packages(files: &[String]) -> BTreeSet<&'static str> {
    let of = |file: &str| {
        let inside = |folder: &str| file.strip_prefix(folder).is_some_and(|f| f.starts_with('/'));
        PACKAGES.into_iter().find(|(folder, _)| inside(folder)).map(|(_, name)| name)
    };
    if files.iter().any(|file| ["Cargo.toml", "Cargo.lock"].contains(&file.as_str())) {
        return PACKAGES.into_iter().map(|(_, name)| name).collect();
    }
    files.iter().filter_map(|file| of(file)).collect()
}

/// Files that differ from `base`, and new files.
fn changed(root: &Path, base: &str) -> anyhow::Result<Vec<String>> {
    let lines = |args: &[&str]| -> anyhow::Result<Vec<String>> {
        let out = Command::new("git").args(args).current_dir(root).output();
        let out = out.context("cannot run git")?;
        ensure!(out.status.success(), "git: {}", String::from_utf8_lossy(&out.stderr).trim());
        Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
    };
    let mut files = lines(&["diff", "--name-only", base])?;
    files.extend(lines(&["ls-files", "--others", "--exclude-standard"])?);
    Ok(files)
}

fn step(root: &Path, name: &str, args: &[&str]) -> anyhow::Result<()> {
    let start = Instant::now();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(args).env_remove("CARGO_MANIFEST_DIR");
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "{name}: failed after {:.0} s", start.elapsed().as_secs_f64());
    println!("{name}: passed in {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_lead_to_their_packages() {
        let of = |files: &[&str]| {
            packages(&files.iter().map(|file| (*file).to_owned()).collect::<Vec<_>>())
        };
        assert!(of(&["README.md", "testing/a.rs"]).is_empty());
        let found = of(&["crates/data/src/lib.rs", "tests/src/lib.rs", "crates/data/README.md"]);
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["selfsame-data", "selfsame-tests"]);
        assert_eq!(of(&["Cargo.lock"]).len(), PACKAGES.len());
    }

    #[test]
    fn every_package_of_the_workspace_is_known() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (folder, name) in PACKAGES {
            let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap();
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{folder}");
        }
        let crates = std::fs::read_dir(root.join("crates")).unwrap().count();
        assert_eq!(PACKAGES.len(), crates + 3);
    }
}

//! What the end-to-end tests share.
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The program with the repository's data sets.
pub fn selfsame(args: &[&str], threads: &str) -> Output {
    command(threads).args(args).output().unwrap()
}

/// The program, called in the repository.
pub fn command(threads: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_selfsame"));
    command.env("SELFSAME_DATA", datasets()).env("RAYON_NUM_THREADS", threads);
    command
}

/// Those of the repository.
pub fn datasets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets")
}

pub fn ok(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit status and the one line of the error.
pub fn error(args: &[&str]) -> (i32, String) {
    let output = selfsame(args, "2");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("backtrace") && !stderr.contains("panicked"), "{stderr}");
    (output.status.code().unwrap(), stderr)
}

pub fn field(json: &str, name: &str) -> f64 {
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    value[name].as_f64().unwrap_or_else(|| panic!("{name} in {json}"))
}

pub fn png(path: &Path, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let pixel = |x: u32, y: u32| image::Rgb([value, (x * 16) as u8, (y * 16) as u8]);
    image::RgbImage::from_fn(12, 10, pixel).save(path).unwrap();
}

pub fn folder_of_images(root: &Path, count: u8) -> PathBuf {
    let folder = root.join("photos");
    for i in 0..count {
        png(&folder.join(format!("{i:02}.png")), i * 10);
    }
    folder
}

/// A run so small that it ends in a second or two.
pub const SMALL: [&str; 12] = [
    "--limit",
    "60",
    "--set",
    "data.test_limit=40",
    "--set",
    "encoder.base_width=2",
    "--set",
    "train.batch_size=20",
    "--set",
    "train.epochs=2",
    "--set",
    "eval.knn_k=5",
];

pub fn pretrain(method: &str, out: &Path, more: &[&str], threads: &str) -> Output {
    let out = out.to_str().unwrap();
    let mut args = vec!["pretrain", method, "--out", out, "--json"];
    args.extend(SMALL);
    args.extend(more);
    selfsame(&args, threads)
}

/// A project with data sets of its own, so that packs and downloads of others do not matter.
pub struct Project {
    pub folder: tempfile::TempDir,
}

impl Project {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("datasets")).unwrap();
        Self { folder }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn selfsame(&self, args: &[&str]) -> Output {
        let datasets = self.path("datasets");
        command("2").args(args).env("SELFSAME_DATA", datasets).output().unwrap()
    }
}

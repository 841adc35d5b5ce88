//! `selfsame dataset verify`

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::bail;
use clap::Args;
use selfsame::data::{ImageCount, VerifyEvent, VerifyReport, verify};
use serde_json::json;

use selfsame::Unit;
use selfsame::workshop::words::plain;

use crate::Terminal;

/// The most names of one kind that are printed. The rest are counted.
const SHOWN: usize = 20;

/// Check a data set: checksums of its files, numbers of images, and whether every image decodes.
///
/// The checksums are in SHA256SUMS in the data set's folder. Downloads and imports write it, and
/// `sha256sum -c SHA256SUMS` reads it, too. `dataset info NAME` shows the expected numbers of
/// images. The exit status is 1 if anything is wrong.
#[derive(Args)]
#[command(after_help = "Example:
  selfsame dataset verify cifar10")]
pub struct VerifyArgs {
    /// A name that `dataset list` shows.
    name: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &VerifyArgs, root: &Path) -> anyhow::Result<()> {
    selfsame::unpack_built_in(&args.name)?;
    let tally = Mutex::new(Terminal::new().voice().tally(Unit::Items));
    // It does not matter here if a thread panicked while it counted.
    let lock = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    let report = verify(&args.name, root, &|event| match event {
        VerifyEvent::Files { done, total } => lock().show("sums", done, Some(total)),
        VerifyEvent::Images { done, total } => lock().show("images", done, Some(total)),
    });
    lock().finish();
    let report = report?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&args.name, &report))?);
    } else {
        print(&report);
    }
    if !report.is_right() {
        bail!("{} has errors", args.name);
    }
    Ok(())
}

fn to_json(name: &str, report: &VerifyReport) -> serde_json::Value {
    let paths = |paths: &[PathBuf]| -> Vec<String> {
        paths.iter().map(|path| path.display().to_string()).collect()
    };
    let count = |c: ImageCount| json!({ "found": c.found, "expected": c.expected });
    let files = report.files.as_ref().map(|files| {
        json!({
            "right": files.right, "missing": paths(&files.missing),
            "changed": paths(&files.changed), "extra": paths(&files.extra),
        })
    });
    let unreadable: Vec<_> = report
        .unreadable
        .iter()
        .map(|image| json!({ "path": image.path.display().to_string(), "reason": image.reason }))
        .collect();
    json!({
        "name": name, "right": report.is_right(), "files": files,
        "train_images": count(report.train), "test_images": count(report.test),
        "unreadable": unreadable,
    })
}

fn print(report: &VerifyReport) {
    match &report.files {
        None => println!("files   not checked: SHA256SUMS is missing"),
        Some(files) => {
            println!("files   {} unchanged", files.right);
            for (what, paths) in
                [("missing", &files.missing), ("changed", &files.changed), ("extra", &files.extra)]
            {
                list(what, paths.iter().map(|path| path.display().to_string()));
            }
        }
    }
    for (split, count) in [("train", report.train), ("test", report.test)] {
        let verdict = match count.expected {
            Some(expected) if expected != count.found => {
                format!(", but there should be {expected}")
            }
            Some(_) => ", as expected".into(),
            None => String::new(),
        };
        println!("{split:<7} {} images{verdict}", count.found);
    }
    let words = report.unreadable.iter().map(|s| format!("{}: {}", s.path.display(), s.reason));
    list("unreadable", words);
    if report.is_right() {
        println!("all images can be decoded");
    }
}

fn list(what: &str, items: impl ExactSizeIterator<Item = String>) {
    let more = items.len().saturating_sub(SHOWN);
    for item in items.take(SHOWN) {
        println!("  {what}: {}", plain(&item));
    }
    if more > 0 {
        println!("  {what}: {more} more");
    }
}

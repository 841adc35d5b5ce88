//! What a folder of a million images costs to open. Slow, so only on request:
//! `cargo test --release -p selfsame-data --test million -- --ignored --nocapture`
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "figures are what this test is for")]

use std::path::Path;
use std::time::Instant;

use selfsame_data::{Links, open_image_folder};

const FOLDERS: usize = 1000;
const FILES: usize = 1000;

/// Prints seconds and memory; the targets are 20 s and 500 MB. The folder is made of hard links to
/// a few JPEG files. With `SELFSAME_MILLION` set, the folder is made there once and stays, so that
/// it can be opened again with cold caches.
#[test]
#[ignore = "makes a million files"]
fn what_a_million_files_cost() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("SELFSAME_MILLION");
    let folder = kept.as_ref().map_or(temporary.path(), Path::new);
    if !folder.join("class-0999").is_dir() {
        std::fs::create_dir_all(folder).unwrap();
        link(folder);
    }
    for run in ["first", "second"] {
        let start = Instant::now();
        let splits = open_image_folder("million", folder, Links::Follow).unwrap();
        let taken = start.elapsed();
        let images = splits.train.len() + splits.test.unwrap().len();
        let peak = peak_mib();
        println!("{run}: {images} images in {taken:.1?}, at most {peak} MiB in memory");
        assert_eq!((images, splits.skipped.len()), (FOLDERS * FILES, 0));
    }
}

fn link(folder: &Path) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    // File systems limit the links to one file; there are enough originals for 50,000 each.
    let originals: Vec<_> = (0..20).map(|i| folder.join(format!(".original-{i}"))).collect();
    for original in &originals {
        std::fs::copy(fixtures.join("baseline.jpg"), original).unwrap();
    }
    for class in 0..FOLDERS {
        let class_folder = folder.join(format!("class-{class:04}"));
        std::fs::create_dir(&class_folder).unwrap();
        for file in 0..FILES {
            let path = class_folder.join(format!("image-{class:04}-{file:04}.jpeg"));
            std::fs::hard_link(&originals[(class * FILES + file) % originals.len()], path).unwrap();
        }
    }
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

//! Every supported format, compared with Pillow's pixels of the same file.

use std::ffi::OsStr;
use std::path::Path;

use selfsame_data::{Links, decode_file, open_image_folder};

/// `fixtures/make.py` says what the files are, where their pixels come from, and how far a lossy
/// format may be off.
#[test]
fn pixels_are_those_of_pillow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let wrong: Vec<_> = cases.lines().filter_map(|case| difference(&folder, case)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let splits = open_image_folder("fixtures", &folder, Links::Follow).unwrap();
    assert_eq!(splits.skipped, []);
}

fn difference(folder: &Path, case: &str) -> Option<String> {
    let [file, expected, tolerance] = case.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{case}")
    };
    let image = match decode_file(&folder.join(file)) {
        Ok(image) => image,
        Err(error) => return Some(error.to_string()),
    };
    let expected = std::fs::read(folder.join(expected)).unwrap();
    let (size, pixels) = expected.split_at(4);
    let side = |at: usize| u32::from(u16::from_le_bytes([size[at], size[at + 1]]));
    if image.dimensions() != (side(0), side(2)) {
        return Some(format!("{file} is {:?}", image.dimensions()));
    }
    let off = pixels.iter().zip(image.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    (off > tolerance.parse().unwrap()).then(|| format!("{file} is off by {off}"))
}

#[test]
fn the_script_and_its_files_belong_together() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let name = entry.unwrap().file_name();
        let known = [OsStr::new("cases.txt"), OsStr::new("make.py")].contains(&name.as_os_str())
            || cases.split_whitespace().any(|word| OsStr::new(word) == name);
        assert!(known, "{} is in no case", name.display());
    }
}

//! Every format that is read, against Pillow's reading of the same file.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

use selfsame_data::{Links, open_image_folder};

/// `fixtures/make.py` says what the files are, where their pixels come from, and how far a lossy
/// format may be off.
#[test]
fn pixels_are_those_of_pillow() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = std::fs::read_to_string(folder.join("cases.txt")).unwrap();
    let splits = open_image_folder("fixtures", &folder, Links::Follow).unwrap();
    assert_eq!(splits.skipped, []);
    let index_of: HashMap<_, _> =
        (0..splits.train.len()).map(|index| (splits.train.path(index).unwrap(), index)).collect();
    assert_eq!(index_of.len(), cases.lines().count());
    for line in cases.lines() {
        let [file, expected, tolerance] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let image = splits.train.image(index_of[&folder.join(file)]).unwrap();
        let expected = std::fs::read(folder.join(expected)).unwrap();
        let (size, pixels) = expected.split_at(4);
        let side = |at: usize| u32::from(u16::from_le_bytes([size[at], size[at + 1]]));
        assert_eq!(image.dimensions(), (side(0), side(2)), "{file}");
        let off = pixels.iter().zip(image.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(off <= tolerance.parse().unwrap(), "{file} is off by {off}");
    }
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

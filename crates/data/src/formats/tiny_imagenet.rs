//! Tiny ImageNet (Le & Yang, 2015): 64×64 photographs in two hundred classes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::folder::Files;
use super::folder::walk::walk;
use crate::files::text::read_list;
use crate::sets::image_set::Reading;
use crate::sets::splits::{Found, assemble};
use crate::{DataError, FileFormat, Layout, Links, Splits};

/// The list with the classes of validation images. Its presence marks the layout.
pub(crate) const ANNOTATIONS: &str = "val/val_annotations.txt";

/// Opens a folder with `train/WNID/images/…`, `val/images/…`, `val/val_annotations.txt` and, for
/// the names of the classes, `words.txt` (<http://cs231n.stanford.edu/tiny-imagenet-200.zip>).
///
/// Classes are the folders of `train` in alphabetical order. The test split is `val`: the images of
/// `test` have no labels. A validation image that is not annotated has no label.
///
/// # Errors
/// Missing folders or lists, annotations that cannot be understood, no readable image.
pub fn open_tiny_imagenet(
    name: &str,
    folder: &Path,
    reading: Reading,
) -> Result<Splits, DataError> {
    let (train_folder, val_folder) = (folder.join("train"), folder.join("val"));
    let (train, val) = (walk(&train_folder, Links::Skip)?, walk(&val_folder, Links::Skip)?);
    let wnid = |path: &Path| {
        let class = path.strip_prefix(&train_folder).ok()?.iter().next()?;
        Some(class.to_str()?.to_owned())
    };
    let mut wnids: Vec<String> =
        train.index.folders().iter().filter_map(|(path, _)| wnid(path)).collect();
    wnids.sort_unstable();
    wnids.dedup();
    let annotations_path = folder.join(ANNOTATIONS);
    let annotations = parse_annotations(&read_list(&annotations_path)?, &annotations_path)?;
    let words = folder.join("words.txt");
    let words = if words.is_file() { parse_words(&read_list(&words)?) } else { HashMap::new() };
    let class_names: Vec<String> =
        wnids.iter().map(|wnid| words.get(wnid).unwrap_or(wnid).clone()).collect();
    let class = |wnid: &String| Some(wnids.binary_search(wnid).ok()? as u32);
    let label = |path: &Path| class(annotations.get(path.file_name()?.to_str()?)?);
    let found = |place: &str, store, skipped| Found {
        place: place.to_owned(),
        store,
        skipped,
        beside: Vec::new(),
        unknown: BTreeMap::new(),
    };
    let train =
        found("train/", Files::labelled_by(train.index, |path| class(&wnid(path)?)), train.skipped);
    let val = found("val/", Files::labelled_by(val.index, label), val.skipped);
    let layout = Layout {
        root: folder.to_owned(),
        format: Some(FileFormat::TinyImagenet),
        labels: "class folders, and val/val_annotations.txt".into(),
        ..Layout::default()
    };
    assemble(name, train, vec![val], class_names, layout, reading)
}

/// Classes by file name, from lines `FILE WNID X Y WIDTH HEIGHT` with tabs between.
pub(crate) fn parse_annotations(
    text: &str,
    path: &Path,
) -> Result<HashMap<String, String>, DataError> {
    let mut classes = HashMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let mut fields = line.split('\t').map(str::trim);
        match (fields.next(), fields.next()) {
            (Some(file), Some(wnid)) if !file.is_empty() && !wnid.is_empty() => {
                classes.insert(file.to_owned(), wnid.to_owned());
            }
            _ => {
                let reason = format!("line {} is not a file and its class", number + 1);
                return Err(DataError::format(path, reason));
            }
        }
    }
    Ok(classes)
}

/// The first name of each class, from lines `WNID NAME, NAME, …` with a tab between.
pub(crate) fn parse_words(text: &str) -> HashMap<String, String> {
    let pair = |line: &str| {
        let (wnid, names) = line.split_once('\t')?;
        let name = names.split(',').next()?.trim();
        (!name.is_empty()).then(|| (wnid.trim().to_owned(), name.to_owned()))
    };
    text.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;
    use crate::ImageDataset;

    fn folder() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in [
            ("train/n02/images/n02_0.JPEG", 20),
            ("train/n01/images/n01_0.JPEG", 10),
            ("train/n01/images/n01_1.JPEG", 11),
            ("val/images/val_0.JPEG", 200),
            ("val/images/val_1.JPEG", 100),
            ("val/images/val_2.JPEG", 0),
            ("test/images/test_0.JPEG", 0),
        ] {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let image = RgbImage::from_pixel(8, 8, image::Rgb([value; 3]));
            image.save_with_format(path, image::ImageFormat::Jpeg).unwrap();
        }
        std::fs::write(
            root.path().join(ANNOTATIONS),
            "val_0.JPEG\tn02\t0\t32\t44\t62\nval_1.JPEG\tn01\t1\t2\t3\t4\nval_2.JPEG\tn99\t1\t2\t3\t4\n",
        )
        .unwrap();
        std::fs::write(
            root.path().join("words.txt"),
            "n00\tentity\nn02\tgoldfish, Carassius auratus\n",
        )
        .unwrap();
        root
    }

    #[test]
    fn classes_come_from_folders_annotations_and_words() {
        let root = folder();
        let splits = open_tiny_imagenet("x", root.path(), Reading::Often).unwrap();
        assert_eq!(splits.train.class_names(), ["n01", "goldfish"]);
        let labels =
            |set: &dyn ImageDataset| -> Vec<_> { (0..set.len()).map(|i| set.label(i)).collect() };
        assert_eq!(labels(&*splits.train), [Some(0), Some(0), Some(1)]);
        let val = splits.test.unwrap();
        assert_eq!(labels(&*val), [Some(1), Some(0), None]);
        assert!(val.image(0).unwrap().get_pixel(4, 4).0[0] > 190);
        assert!(val.path(1).unwrap().ends_with("val/images/val_1.JPEG"));
    }

    #[test]
    fn damaged_or_missing_lists_are_errors() {
        let root = folder();
        std::fs::write(root.path().join(ANNOTATIONS), "val_0.JPEG\tn02\nval_1.JPEG\n").unwrap();
        let error = open_tiny_imagenet("x", root.path(), Reading::Often).err().unwrap().to_string();
        assert!(error.contains("line 2"), "{error}");
        std::fs::remove_file(root.path().join(ANNOTATIONS)).unwrap();
        assert!(open_tiny_imagenet("x", root.path(), Reading::Often).is_err());
    }
}

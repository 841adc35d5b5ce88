//! A folder of images, with a sub-folder for each class or without labels.

mod arrange;
mod classes;
mod index;
mod splitting;
mod tree;
mod twice;
pub(crate) mod walk;
pub(crate) mod words;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use image::RgbImage;

use self::arrange::{Arranged, arrange};
use self::index::Index;
use self::walk::{Walk, read_dir, walk};
use self::words::Role;
#[cfg(doc)]
use crate::Layout;
use crate::decode::decode_file;
use crate::sets::image_set::{ImageStore, Opening, Reading};
use crate::sets::splits::assemble;
use crate::{DataError, Splits};

/// Opens a folder of images.
///
/// # What is trained on and tested on
/// Names of folders decide, in any case:
///
/// - `train` or `training` is trained on. `test`, `testing`, `val`, `valid`, `validation`, `dev` or
///   `eval` is tested on: the first of these with labelled images. Names that differ only in the
///   word count as well, such as `seg_train` and `seg_test`, or `train2017` and `val2017`. Other
///   folders beside these are passed over.
/// - Test folders beside class folders are tested on, never trained on.
/// - `CLASS/train/…` and `CLASS/test/…` in at least two folders: the same for each class.
/// - Anything else is trained on. Without a labelled test folder, every tenth image of each class
///   is held out to test on. A class of two to nine images gives its last one.
///
/// A folder around all images is opened, not taken for a class.
///
/// # Labels
/// The sub-folders of the training images are classes, at any depth of their images, as in
/// torchvision's `ImageFolder`. There must be at least two. Images beside the class folders are
/// left out if they are at most a tenth of all. If they are more, all images are used without
/// labels. [`Layout::unknown_classes`] counts test images of classes without training images.
///
/// # Files
/// Files with the extensions `jpg`, `jpeg`, `jpe`, `jfif`, `png`, `webp`, `bmp`, `gif`, `tif`,
/// `tiff`, `ppm`, `pgm`, `pbm` and `pnm` are images, in any case. Others are counted in
/// [`Layout::unread`]. Images are ordered by path. Hidden files and folders are ignored, and so are
/// `__MACOSX` and `SHA256SUMS`. Folders of runs of this program are passed over. Symbolic links are
/// followed, also out of the folder, unless `links` says otherwise. An image behind several links
/// is read once.
///
/// A folder of at most 100,000 files and less than 1 GiB is decoded on opening. Unreadable files
/// are left out and reported in [`Splits::skipped`]. Files of a larger folder are decoded when they
/// are needed, and [`Splits::without_unreadable`] finds the unreadable ones beforehand. Up to 4 GiB
/// of decoded pixels are kept.
///
/// # Pixels
/// JPEG (baseline and progressive; grey, YCbCr, RGB, CMYK and YCCK), PNG, WebP, BMP, GIF, PNM (PBM,
/// PGM and PPM, raw and plain) and TIFF (bilevel, grey, palette, RGB, CMYK and YCbCr in integers of
/// up to 16 bits, grey in integers of 32 bits, grey and RGB in floats of 32 bits) are told apart by
/// their content, not by the extension. The pixels are those of Pillow's `convert("RGB")`, and so
/// of torchvision's `ImageFolder`. Two things differ: an image is turned upright by its EXIF
/// orientation, and 16 bits are rounded. In detail:
///
/// - Transparency is dropped: a transparent pixel has its stored colour. TIFF may store colours
///   multiplied by their transparency, and they are divided again.
/// - Grey is repeated in all three channels. Colour profiles are not applied.
/// - 16 bits become 8 as `v / 257`, rounded. Pillow drops the low byte of colours and clips grey.
/// - Grey in signed 16-bit integers, 32-bit integers or floats is limited to 0 to 255, with its
///   fraction cut off. Pillow does not open RGB in floats. Here it is taken to be from 0 to 1.
/// - A PNM with another highest value than 255 is scaled as `v / highest * 255`, rounded.
/// - The first frame of an animation counts. The rest of its canvas is black.
/// - JPEG is the same to the last bit. Only CMYK with reduced colour resolution is a few levels
///   off. YCbCr in TIFF and BMP of 16 bits are off by one.
///
/// Truncated files and files of more than 512 MiB are refused. So are images of more than
/// 178,956,970 pixels (Pillow's limit too), of more than 32,768 in one direction, or of more than 1
/// GiB when decoded. A PNG with all its pixels is read without its end, and with any checksums from
/// the pixels on.
///
/// # Errors
/// No folder, or no readable image in it. Two folders of training images. Several test folders and
/// nothing to train on.
pub fn open_image_folder(
    name: &str,
    folder: &Path,
    opening: impl Into<Opening>,
) -> Result<Splits, DataError> {
    let Opening { links, reading } = opening.into();
    open_walked(name, folder, walk(folder, links)?, reading)
}

/// The same for what was found in a folder.
pub(crate) fn open_walked(
    name: &str,
    folder: &Path,
    found: Walk,
    reading: Reading,
) -> Result<Splits, DataError> {
    let Arranged { train, tests, class_names, layout } = arrange(folder, found)?;
    assemble(name, train, tests, class_names, layout, reading)
}

/// The only sub-folder, if there is nothing else: archives often wrap everything in one folder.
pub(crate) fn sole_subfolder(folder: &Path) -> Result<PathBuf, DataError> {
    Ok(match &read_dir(folder)?[..] {
        [only] if only.kind.is_dir() && !is_training(&only.name) => folder.join(&only.name),
        _ => folder.to_owned(),
    })
}

fn is_training(name: &OsStr) -> bool {
    Role::of(&name.to_string_lossy()) == Some(Role::Training)
}

/// Image files by index.
pub(crate) struct Files {
    index: Index,
    /// One label for each file, if files of one folder have different labels.
    labels: Option<Vec<Option<u32>>>,
}

impl Files {
    /// Files with the labels of their folders.
    pub(crate) fn new(index: Index) -> Self {
        Self { index, labels: None }
    }

    /// Files whose labels follow from their paths.
    pub(crate) fn labelled_by(index: Index, label: impl Fn(&Path) -> Option<u32>) -> Self {
        let labels = (0..index.len()).map(|file| label(&index.path(file)?)).collect();
        Self { index, labels: Some(labels) }
    }
}

impl ImageStore for Files {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        decode_file(&self.name(index))
    }

    fn label(&self, index: usize) -> Option<u32> {
        match &self.labels {
            Some(labels) => labels.get(index).copied().flatten(),
            None => self.index.label(index),
        }
    }

    fn relabel(&mut self, class: &dyn Fn(u32) -> Option<u32>) {
        for label in self.labels.iter_mut().flatten() {
            *label = label.and_then(class);
        }
        self.index.relabel(|label| label.and_then(class));
    }

    fn name(&self, index: usize) -> PathBuf {
        self.index.path(index).unwrap_or_default()
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.index.path(index)
    }

    fn weighs_at_most(&self, bytes: u64) -> bool {
        let mut room = bytes;
        // Each file size costs a system call, so no more are asked for than needed.
        (0..self.len()).filter_map(|index| self.path(index)).all(|path| {
            let bytes = std::fs::metadata(path).map_or(0, |m| m.len());
            let fits = bytes <= room;
            room = room.saturating_sub(bytes);
            fits
        })
    }

    fn retain(&mut self, keep: &[bool]) {
        self.index.retain(keep);
        if let Some(labels) = &mut self.labels {
            let mut keep = keep.iter();
            labels.retain(|_| keep.next() == Some(&true));
        }
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        (0..self.len()).filter_map(|index| self.path(index)).for_each(|path| visit(&path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Links;

    fn save(path: &Path, value: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        RgbImage::from_pixel(3, 2, image::Rgb([value, 0, 0])).save(path).unwrap();
    }

    #[test]
    fn train_and_test_folders_share_their_class_names() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in [
            ("train/cat/1.png", 1),
            ("train/dog/2.png", 2),
            ("train/ant/0.png", 0),
            ("test/dog/3.png", 3),
            ("test/yak/4.png", 4),
        ] {
            save(&root.path().join(file), value);
        }
        let splits = open_image_folder("x", root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.class_names(), ["ant", "cat", "dog"]);
        assert_eq!(splits.train.label(2), Some(2));
        let test = splits.test.unwrap();
        assert_eq!((test.label(0), test.label(1)), (Some(2), None));
        assert_eq!(test.image(1).unwrap().get_pixel(0, 0).0[0], 4);
    }

    #[test]
    fn imagenet_s_folders_with_its_upper_case_extension() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in
            [("train/n02/n02_1.JPEG", 9), ("train/n01/n01_1.JPEG", 5), ("val/n02/v_1.JPEG", 200)]
        {
            save(&root.path().join(file), value);
        }
        let splits = open_image_folder("x", root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.class_names(), ["n01", "n02"]);
        let val = splits.test.unwrap();
        assert_eq!((splits.train.len(), val.len(), val.label(0)), (2, 1, Some(1)));
    }

    #[test]
    fn class_folders_without_a_test_split_hold_out_every_tenth() {
        let root = tempfile::tempdir().unwrap();
        for i in 0..20 {
            save(&root.path().join(format!("a/{i:02}.png")), i);
            save(&root.path().join(format!("b/{i:02}.png")), i);
        }
        let splits = open_image_folder("x", root.path(), Links::Follow).unwrap();
        let test = splits.test.unwrap();
        assert_eq!((splits.train.len(), test.len()), (36, 4));
        assert_eq!(test.image(0).unwrap().get_pixel(0, 0).0[0], 9);
    }

    #[test]
    fn loose_images_are_unlabelled_and_bad_ones_skipped() {
        let root = tempfile::tempdir().unwrap();
        save(&root.path().join("one.png"), 1);
        save(&root.path().join("deep/er/two.png"), 2);
        std::fs::rename(root.path().join("one.png"), root.path().join("png-named.jpg")).unwrap();
        std::fs::write(root.path().join("broken.jpg"), b"\xff\xd8\xff\xe0 not really").unwrap();
        std::fs::write(root.path().join("empty.png"), b"").unwrap();
        std::fs::write(root.path().join("notes.txt"), b"hello").unwrap();
        let splits = open_image_folder("x", root.path(), Links::Follow).unwrap();
        assert_eq!(splits.train.len(), 2);
        assert!(splits.test.is_none() && splits.train.label(0).is_none());
        let names: Vec<_> =
            splits.skipped.iter().map(|s| s.path.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["broken.jpg", "empty.png"]);
        assert!(splits.skipped.iter().all(|s| !s.reason.is_empty()));
    }

    #[test]
    fn a_heavy_folder_is_not_decoded_on_opening() {
        let root = tempfile::tempdir().unwrap();
        save(&root.path().join("good.png"), 1);
        // Without content: it takes no space.
        let heavy = std::fs::File::create(root.path().join("heavy.png")).unwrap();
        heavy.set_len((1 << 30) + 1).unwrap();
        let splits = open_image_folder("x", root.path(), Links::Follow).unwrap();
        assert_eq!((splits.train.len(), splits.skipped.len()), (2, 0));
        let error = splits.train.image(1).unwrap_err().to_string();
        assert!(error.contains("heavy.png") && error.contains("beyond the limit"), "{error}");
    }

    #[test]
    fn a_folder_without_a_readable_image_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let error = open_image_folder("x", root.path(), Links::Follow).err().unwrap().to_string();
        assert!(error.contains("no readable image"), "{error}");
        std::fs::write(root.path().join("broken.png"), b"no").unwrap();
        let error = open_image_folder("x", root.path(), Links::Follow).err().unwrap().to_string();
        assert!(error.contains("broken.png"), "{error}");
        assert!(open_image_folder("x", &root.path().join("none"), Links::Follow).is_err());
    }
}

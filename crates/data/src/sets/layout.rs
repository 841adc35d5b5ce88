//! What the files of a data set are taken for, to be shown before a run trains on them.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// How a data set's files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileFormat {
    /// Drawn by the program.
    Drawn,
    /// MNIST's format.
    Idx,
    /// CIFAR's binary version.
    CifarBinary,
    /// Images in folders.
    ImageFolder,
    /// STL-10's binary version.
    Stl10,
    /// SVHN's cropped digits.
    Svhn,
    /// Tiny ImageNet's folders and lists.
    TinyImagenet,
    /// Shards in tar format.
    WebDataset,
    /// Parquet files with encoded images.
    Parquet,
}

/// What the files of a data set are taken for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// The folder with the images: the one that was named, or one inside of it.
    pub root: PathBuf,
    /// How its files are laid out.
    pub format: Option<FileFormat>,
    /// Where the training images are, in words.
    pub train: String,
    /// Where the test images are, in words.
    pub test: Option<String>,
    /// Whether the test images were held out of the training images.
    pub held_out: bool,
    /// Where labels come from, in words; empty without any.
    pub labels: String,
    /// Why no image has a label, and what to do about it, as a sentence.
    pub unlabelled: String,
    /// Why there are no test images although there were some, as a sentence.
    pub no_test: String,
    /// Classes of test images that no training image has, with the number of their images.
    pub unknown_classes: BTreeMap<String, u64>,
    /// What may have been meant differently, one sentence each.
    pub notes: Vec<String>,
    /// Places with images that are not used.
    pub passed_over: Vec<PassedOver>,
    /// How many files there are of each extension that is not read; `""` without an extension.
    pub unread: BTreeMap<String, u64>,
    /// Symbolic links that lead out of the folder and were followed.
    pub links_out: u64,
}

/// A place with images that are not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Where they are.
    pub place: String,
    /// How many there are.
    pub images: u64,
    /// Why they are not used.
    pub reason: String,
}

impl Layout {
    pub(crate) fn pass_over(&mut self, place: &str, images: u64, reason: impl Into<String>) {
        self.passed_over.push(PassedOver { place: place.into(), images, reason: reason.into() });
    }

    /// What people should know before training starts, one sentence each: what is passed over, what
    /// is not read, and which test images do not count.
    pub fn remarks(&self) -> Vec<String> {
        let mut all = self.notes.clone();
        all.extend(self.passed_over.iter().map(ToString::to_string));
        all.extend(self.unread_line());
        all.extend(self.unknown_line());
        if self.links_out > 0 {
            let links = counted(self.links_out, "symbolic link");
            all.push(format!("{links} out of the folder: followed"));
        }
        all
    }

    fn unread_line(&self) -> Option<String> {
        /// How many extensions are named.
        const NAMED: usize = 8;
        let files: u64 = self.unread.values().sum();
        let mut kinds: Vec<(&String, &u64)> = self.unread.iter().collect();
        kinds.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let more = kinds.len().saturating_sub(NAMED);
        let named = kinds.into_iter().take(NAMED).map(|(extension, files)| match &**extension {
            "" => format!("none {files}"),
            extension => format!(".{extension} {files}"),
        });
        let named = named.collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(", {more} other extensions") } else { String::new() };
        let what = if files == 1 { "an extension that is" } else { "extensions that are" };
        (files > 0)
            .then(|| format!("{} with {what} not read: {named}{more}", counted(files, "file")))
    }

    fn unknown_line(&self) -> Option<String> {
        const NAMED: usize = 5;
        let images: u64 = self.unknown_classes.values().sum();
        let names: Vec<&str> =
            self.unknown_classes.keys().take(NAMED).map(String::as_str).collect();
        let more = if self.unknown_classes.len() > NAMED { ", …" } else { "" };
        (images > 0).then(|| {
            let of = match self.unknown_classes.len() {
                1 => "a class".to_owned(),
                n => format!("{n} classes"),
            };
            let verb = if images == 1 { "is" } else { "are" };
            let does = if images == 1 { "it does" } else { "they do" };
            format!(
                "{} {verb} of {of} that no training image has ({}{more}): {does} not count",
                counted(images, "test image"),
                names.join(", ")
            )
        })
    }
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} not used: {}", self.place, counted(self.images, "image"), self.reason)
    }
}

/// `1 image`, `2 images`.
pub(crate) fn counted(n: u64, what: &str) -> String {
    let plural = if n == 1 { "" } else { "s" };
    format!("{n} {what}{plural}")
}

/// Why no accuracy can be measured. As text: the cause, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Untested {
    /// No training image has a label. The text says why.
    NoLabels(String),
    /// All labelled training images are of this class.
    OneClass(String),
    /// There are no test images, and no class has enough images to hold any out.
    TooFew {
        /// Training images.
        images: usize,
        /// In the largest class.
        most: u64,
    },
    /// No test image has a label that training images have. The images are in this place.
    TestUnlabelled(Option<String>),
    /// There is no usable test image. The text says why.
    NoTest(String),
}

impl fmt::Display for Untested {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLabels(why) if why.is_empty() => {
                f.write_str("the training images have no labels")
            }
            Self::NoLabels(why) => f.write_str(why),
            Self::NoTest(why) => f.write_str(why),
            Self::OneClass(name) => write!(
                f,
                "all labelled training images are of one class, {name:?}; \
                 a second class folder or label is needed to tell classes apart"
            ),
            Self::TooFew { images, most } => write!(
                f,
                "there are no test images, and none can be held out: the largest class has {} of {}; \
                 add images, or a folder test/ with the same class folders",
                counted(*most, "image"),
                images
            ),
            Self::TestUnlabelled(place) => write!(
                f,
                "no test image{} has a label that training images have; sort them into the same \
                 class folders, or hold training images out with --set data.validation=0.25",
                place.as_ref().map_or(String::new(), |place| format!(" in {place}"))
            ),
        }
    }
}

//! Folders of images with a known right reading. The pixels of each image encode its number.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::{ImageFormat, Rgb, RgbImage};
use selfsame_data::{DataError, Links, Source, Splits, open};

/// What the right reading does with an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Trained on, with this class.
    Train(Option<String>),
    /// Tested on, with this class.
    Test(Option<String>),
    /// Tested on without a label: no training image is of this class.
    Stranger(String),
    /// Trained on or held out to test on, with this class.
    Drawn(String),
    /// Left out, and named with a reason.
    Listed,
    /// Passed over with all others of a place. The place is named with their number.
    Over(String),
    /// Not taken for an image.
    Ignored,
}

pub fn train(class: &str) -> Fate {
    Fate::Train(Some(class.to_owned()))
}

pub fn test(class: &str) -> Fate {
    Fate::Test(Some(class.to_owned()))
}

pub fn drawn(class: &str) -> Fate {
    Fate::Drawn(class.to_owned())
}

pub fn over(place: &str) -> Fate {
    Fate::Over(place.to_owned())
}

/// How an image file is broken.
#[derive(Debug, Clone, Copy)]
pub enum Damage {
    Cut,
    Junk,
    Empty,
}

/// An image as it appears in the folder, through a link or not.
pub struct Entry {
    /// From the folder that is opened.
    pub path: String,
    /// The number in its pixels. `None` if they cannot be read.
    pub id: Option<u32>,
    pub fate: Fate,
}

/// A folder of images, with its right reading.
pub struct Corpus {
    folder: tempfile::TempDir,
    /// The target of links that lead out of the folder.
    elsewhere: tempfile::TempDir,
    pub entries: Vec<Entry>,
    /// Where the reading finds the images: below the opened folder.
    pub root: String,
    /// Files with unread extensions beside images that are used.
    pub unread: BTreeMap<String, u64>,
    /// The same in places that are passed over. They may be counted or not.
    pub unread_elsewhere: BTreeMap<String, u64>,
    /// Links out of the folder.
    pub links_out: u64,
    pub links: Links,
    ids: u32,
}

pub const EXTENSIONS: [&str; 14] = [
    "jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tif", "tiff", "ppm", "pgm", "pbm",
    "pnm",
];

/// Small, so that thousands are made in a second.
const SIZE: (u32, u32) = (4, 3);

pub fn pixels(id: u32) -> RgbImage {
    RgbImage::from_pixel(SIZE.0, SIZE.1, Rgb([id as u8, (id >> 8) as u8, 0xa5]))
}

/// Its bytes are a PNG, whatever the extension: content counts.
pub fn png(id: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    pixels(id).write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// The number of an image, if every pixel agrees with it.
pub fn id(image: &RgbImage) -> Option<u32> {
    let [low, high, _] = image.pixels().next()?.0;
    let id = u32::from(low) | u32::from(high) << 8;
    (*image == pixels(id)).then_some(id)
}

impl Corpus {
    pub fn new() -> Self {
        Self {
            folder: in_memory(),
            elsewhere: in_memory(),
            entries: Vec::new(),
            root: String::new(),
            unread: BTreeMap::new(),
            unread_elsewhere: BTreeMap::new(),
            links_out: 0,
            links: Links::Follow,
            ids: 0,
        }
    }

    /// The opened folder. People might choose such a name.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("my photos")
    }

    pub fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    pub fn elsewhere(&self, path: &str) -> PathBuf {
        self.elsewhere.path().join(path)
    }

    /// The next image, different from all others.
    pub fn next(&mut self) -> (u32, Vec<u8>) {
        self.ids += 1;
        (self.ids, png(self.ids))
    }

    pub fn image(&mut self, path: &str, fate: Fate) -> &mut Self {
        let (id, bytes) = self.next();
        write(&self.at(path), &bytes);
        self.entries.push(Entry { path: path.to_owned(), id: Some(id), fate });
        self
    }

    /// `count` images in a folder.
    pub fn images(&mut self, folder: &str, count: usize, fate: Fate) -> &mut Self {
        for number in 0..count {
            let extension = EXTENSIONS[number % EXTENSIONS.len()];
            self.image(&join(folder, &format!("{number:03}.{extension}")), fate.clone());
        }
        self
    }

    pub fn damaged(&mut self, path: &str, damage: Damage, fate: Fate) -> &mut Self {
        let (_, bytes) = self.next();
        let bytes = match damage {
            Damage::Cut => &bytes[..bytes.len() / 2],
            Damage::Junk => &b"this has never been an image"[..],
            Damage::Empty => &[],
        };
        write(&self.at(path), bytes);
        self.entries.push(Entry { path: path.to_owned(), id: None, fate });
        self
    }

    /// A file that is not read, where images are used.
    pub fn other(&mut self, path: &str) -> &mut Self {
        write(&self.at(path), b"of no interest");
        *self.unread.entry(extension(path)).or_default() += 1;
        self
    }

    /// The same where nothing is used.
    pub fn other_elsewhere(&mut self, path: &str) -> &mut Self {
        write(&self.at(path), b"of no interest");
        *self.unread_elsewhere.entry(extension(path)).or_default() += 1;
        self
    }

    /// A file that is not counted.
    pub fn bytes(&mut self, path: &str, bytes: &[u8]) -> &mut Self {
        write(&self.at(path), bytes);
        self
    }

    /// A link at `path` to an image that lies out of the folder.
    #[cfg(unix)]
    pub fn link_out(&mut self, path: &str, fate: Fate) -> &mut Self {
        let (id, bytes) = self.next();
        let target = self.elsewhere(&format!("{id}.png"));
        write(&target, &bytes);
        symlink(&target, &self.at(path));
        self.links_out += 1;
        self.entries.push(Entry { path: path.to_owned(), id: Some(id), fate });
        self
    }

    /// A link at `path` to a folder with `count` images that lies out of the folder.
    #[cfg(unix)]
    pub fn folder_link_out(&mut self, path: &str, count: usize, fate: Fate) -> &mut Self {
        let target = self.elsewhere(&format!("folder {}", self.ids));
        for number in 0..count {
            let (id, bytes) = self.next();
            write(&target.join(format!("{number}.png")), &bytes);
            let path = join(path, &format!("{number}.png"));
            self.entries.push(Entry { path, id: Some(id), fate: fate.clone() });
        }
        symlink(&target, &self.at(path));
        self.links_out += 1;
        self
    }

    /// A link that is left out and named.
    #[cfg(unix)]
    pub fn link_listed(&mut self, path: &str, target: &Path) -> &mut Self {
        symlink(target, &self.at(path));
        self.entries.push(Entry { path: path.to_owned(), id: None, fate: Fate::Listed });
        self
    }

    /// The reading of the folder by this crate.
    pub fn try_open(&self) -> Result<Splits, DataError> {
        open(&Source::Folder(self.path()), Path::new("datasets"), self.links)
    }

    /// The one line of an error.
    pub fn refusal(&self) -> String {
        let Err(error) = self.try_open() else {
            panic!("opened, and should be refused:\n{}", self.tree())
        };
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    }

    /// Opens the folder and compares everything with the right reading.
    pub fn check(&self) -> Splits {
        let splits = match self.try_open() {
            Ok(splits) => splits,
            Err(error) => panic!("{error}\n{}", self.tree()),
        };
        let problems = super::check::problems(self, &splits);
        assert!(problems.is_empty(), "{}\n{}", problems.join("\n"), self.tree());
        splits
    }

    /// A list of all that lies in the folder, for people.
    pub fn tree(&self) -> String {
        let mut text = format!("{}\n", self.path().display());
        draw(&self.path(), 1, &mut text);
        text
    }
}

/// Thousands of little files are made in two seconds in memory, and in a minute on a busy disk.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

fn draw(folder: &Path, depth: usize, text: &mut String) {
    /// How many files of a folder are named.
    const NAMED: usize = 12;
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut files = 0;
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let indent = "  ".repeat(depth);
        if let Ok(target) = std::fs::read_link(path) {
            writeln!(text, "{indent}{name} -> {}", target.display()).unwrap();
        } else if path.is_dir() {
            writeln!(text, "{indent}{name}/").unwrap();
            draw(path, depth + 1, text);
        } else {
            files += 1;
            match files {
                0..=NAMED => writeln!(text, "{indent}{name}").unwrap(),
                n if n == NAMED + 1 => writeln!(text, "{indent}…").unwrap(),
                _ => {}
            }
        }
    }
    if files > NAMED {
        writeln!(text, "{}{files} files", "  ".repeat(depth)).unwrap();
    }
}

pub fn write(path: &Path, bytes: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

#[cfg(unix)]
pub fn symlink(target: &Path, link: &Path) {
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(target, link).unwrap();
}

/// `b` in the folder `a`, if `a` is not empty.
pub fn join(a: &str, b: &str) -> String {
    if a.is_empty() { b.to_owned() } else { format!("{a}/{b}") }
}

fn extension(path: &str) -> String {
    let extension = Path::new(path).extension().unwrap_or_default();
    extension.to_str().unwrap().to_lowercase()
}

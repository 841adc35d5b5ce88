//! A data set's images, decoded and resized once and packed into one file.
//!
//! The file, little-endian: a header of 64 bytes (magic, number of images, where the index begins,
//! key); the pixels, RGB, row by row, image after image; the index with an [`Entry`] for each; a
//! CRC-32 of header and index. An image that could not be decoded has the reason where its pixels
//! would be.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use rayon::prelude::*;
use selfsame_augment::{CropWindow, Image, Interpolation, RgbSource, resize};
use sha2::{Digest, Sha256};

use crate::files::positioned::PositionedFile;
use crate::sets::content::ContentKey;
use crate::sets::dataset::out_of_range;
use crate::{DataError, ImageDataset};

const MAGIC: &[u8; 16] = b"selfsame-pack-1\n";
pub(crate) const HEADER: usize = 64;
/// Images decoded at a time, for each thread.
const AHEAD: usize = 4;

/// What the images in a pack look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackSettings {
    /// Larger images are reduced until their shorter side has so many pixels (bicubic,
    /// antialiased). `None` keeps their size.
    pub shorter_side: Option<u32>,
}

/// A data set with images from a pack. All else comes from the set itself.
///
/// Images are read by position, not mapped into memory. Both use the system's file cache, which all
/// runs share. But if somebody shortens the file, a read gives an error, while a mapping would end
/// the process.
pub struct PackedImages {
    inner: Arc<dyn ImageDataset>,
    settings: PackSettings,
    file: PositionedFile,
    entries: Vec<Entry>,
}

/// Where an image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    offset: u64,
    /// Width in pixels. 0 if the entry is the reason of an unreadable image.
    width: u32,
    height: u32,
    /// In bytes.
    length: u32,
    crc: u32,
}

impl Entry {
    const BYTES: usize = 24;

    /// The end of the entry in the file.
    pub(crate) fn end(&self) -> Option<u64> {
        self.offset.checked_add(u64::from(self.length))
    }

    fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        let numbers = [self.width, self.height, self.length, self.crc];
        for (to, number) in bytes[8..].as_chunks_mut().0.iter_mut().zip(numbers) {
            *to = number.to_le_bytes();
        }
        bytes
    }

    fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let (offset, numbers) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
        let mut numbers = numbers.as_chunks().0.iter().map(|n| u32::from_le_bytes(*n));
        let mut next = || numbers.next().unwrap_or(0);
        Self {
            offset: u64::from_le_bytes(*offset),
            width: next(),
            height: next(),
            length: next(),
            crc: next(),
        }
    }
}

impl PackedImages {
    /// Opens the pack of a data set in `folder`, or makes it. While it is made, `progress` gets the
    /// number of images that are done and of all images.
    ///
    /// The pack's name is a hash of the set's [`content_key`](ImageDataset::content_key) and of the
    /// settings, so changed files or settings make another pack. It appears whole or not at all. If
    /// several processes want the same pack, one makes it and the others wait. Nothing else refers
    /// to it, so it may be deleted at any time.
    ///
    /// # Errors
    /// A set without a content key, or a folder that cannot be written to.
    pub fn open(
        inner: Arc<dyn ImageDataset>,
        settings: PackSettings,
        folder: &Path,
        progress: &mut dyn FnMut(usize, usize),
    ) -> Result<Self, DataError> {
        let content = inner.content_key().ok_or_else(|| {
            DataError::Request("images that are in memory or drawn need no pack".into())
        })?;
        let key = key(content, settings);
        let name: String = key[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let path = folder.join(format!("{name}.pack"));
        std::fs::create_dir_all(folder).map_err(DataError::io("make", folder))?;
        if let Ok(found) = Self::read(inner.clone(), settings, &path, &key) {
            return Ok(found);
        }
        let lock_path = folder.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(DataError::io("write", &lock_path))?;
        lock.lock().map_err(DataError::io("lock", &lock_path))?;
        // Another process may have made it meanwhile.
        if let Ok(found) = Self::read(inner.clone(), settings, &path, &key) {
            return Ok(found);
        }
        write(&*inner, settings, &path, &key, progress)?;
        Self::read(inner, settings, &path, &key)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    fn read(
        inner: Arc<dyn ImageDataset>,
        settings: PackSettings,
        path: &Path,
        key: &[u8; 32],
    ) -> Result<Self, DataError> {
        let file = PositionedFile::open(path)?;
        let entries = index(&file, key, inner.len())?;
        Ok(Self { inner, settings, file, entries })
    }

    /// The pack's entry of an image.
    fn stored(&self, entry: Entry) -> Result<Stored, DataError> {
        let bytes = self.file.read(entry.offset, u64::from(entry.length))?;
        if crc32fast::hash(&bytes) != entry.crc {
            return Err(DataError::format(self.path(), "damaged pixels"));
        }
        if entry.width == 0 {
            return Ok(Stored::Reason(String::from_utf8_lossy(&bytes).into_owned()));
        }
        RgbImage::from_raw(entry.width, entry.height, bytes)
            .map(Stored::Image)
            .ok_or_else(|| DataError::format(self.path(), "an image of another size"))
    }
}

enum Stored {
    Image(RgbImage),
    Reason(String),
}

impl ImageDataset for PackedImages {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
        let entry = self.entries.get(index).ok_or_else(|| out_of_range(index, self.len()))?;
        match self.stored(*entry) {
            Ok(Stored::Image(image)) => Ok(Arc::new(image)),
            Ok(Stored::Reason(reason)) => Err(DataError::format(&self.inner.name(index), reason)),
            // The pack is damaged or shortened. The set itself still has the image.
            Err(_) => Ok(Arc::new(prepared(&*self.inner, index, self.settings)?)),
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.inner.label(index)
    }

    fn class_names(&self) -> &[String] {
        self.inner.class_names()
    }

    fn path(&self, index: usize) -> Option<PathBuf> {
        self.inner.path(index)
    }

    fn name(&self, index: usize) -> PathBuf {
        self.inner.name(index)
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.inner.visit_files(visit);
    }

    /// The reason from when the pack was made.
    fn unreadable(&self) -> Option<Vec<(usize, String)>> {
        let bad = self.entries.iter().enumerate().filter(|(_, entry)| entry.width == 0);
        let reason = |(index, entry): (usize, &Entry)| match self.stored(*entry) {
            Ok(Stored::Reason(reason)) => Some((index, reason)),
            Ok(Stored::Image(_)) => None,
            // A damaged pack cannot answer, so the set itself is asked.
            Err(_) => Some((index, self.inner.decode(index).err()?.reason())),
        };
        Some(bad.filter_map(reason).collect())
    }
}

fn key(content: ContentKey, settings: PackSettings) -> [u8; 32] {
    let mut hash = Sha256::new_with_prefix(MAGIC);
    hash.update(content.0);
    hash.update(settings.shorter_side.unwrap_or(0).to_le_bytes());
    hash.finalize().into()
}

/// An image in the form of a pack.
fn prepared(
    inner: &dyn ImageDataset,
    index: usize,
    settings: PackSettings,
) -> Result<RgbImage, DataError> {
    let image = inner.decode(index)?;
    let (width, height) = image.dimensions();
    let shorter = width.min(height);
    let side = match settings.shorter_side {
        Some(side) if side < shorter => side.max(1),
        _ => return Ok(image),
    };
    let scaled = |length: u32| {
        let exact = u64::from(length) * u64::from(side);
        ((exact + u64::from(shorter) / 2) / u64::from(shorter)) as u32
    };
    let (new_width, new_height) = (scaled(width), scaled(height));
    let mut reduced = Image::default();
    resize(
        RgbSource::try_from(&image)?,
        CropWindow { x: 0, y: 0, width, height },
        new_width as usize,
        new_height as usize,
        Interpolation::Bicubic,
        &mut reduced,
    );
    let mut out = RgbImage::new(new_width, new_height);
    let [r, g, b] = reduced.planes();
    for (((pixel, r), g), b) in out.pixels_mut().zip(r).zip(g).zip(b) {
        pixel.0 = [r, g, b].map(|value| (value * 255.0 + 0.5) as u8);
    }
    Ok(out)
}

fn write(
    inner: &dyn ImageDataset,
    settings: PackSettings,
    path: &Path,
    key: &[u8; 32],
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(), DataError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let failed = || DataError::io("write", path);
    let staged = tempfile::Builder::new()
        .prefix(".pack-")
        .tempfile_in(folder)
        .map_err(DataError::io("write to", folder))?;
    let mut out = BufWriter::with_capacity(1 << 20, staged.as_file());
    out.write_all(&[0; HEADER]).map_err(failed())?;
    let mut index = Vec::with_capacity(inner.len() * Entry::BYTES);
    let mut offset = HEADER as u64;
    let together = AHEAD * rayon::current_num_threads();
    for start in (0..inner.len()).step_by(together) {
        let images: Vec<_> = (start..inner.len().min(start + together))
            .into_par_iter()
            .map(|i| prepared(inner, i, settings))
            .collect();
        for image in images {
            let (width, height, bytes) = match image {
                Ok(image) => (image.width(), image.height(), image.into_raw()),
                Err(DataError::Format { reason, .. }) => (0, 0, reason.into_bytes()),
                Err(error) => (0, 0, error.to_string().into_bytes()),
            };
            let length = u32::try_from(bytes.len())
                .map_err(|_| DataError::format(path, "an image of more than 4 GiB"))?;
            let crc = crc32fast::hash(&bytes);
            index.extend_from_slice(&Entry { offset, width, height, length, crc }.to_bytes());
            out.write_all(&bytes).map_err(failed())?;
            offset += u64::from(length);
        }
        progress(inner.len().min(start + together), inner.len());
    }
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&(inner.len() as u64).to_le_bytes());
    header.extend_from_slice(&offset.to_le_bytes());
    header.extend_from_slice(key);
    let mut crc = crc32fast::Hasher::new();
    crc.update(&header);
    crc.update(&index);
    out.write_all(&index).map_err(failed())?;
    out.write_all(&crc.finalize().to_le_bytes()).map_err(failed())?;
    out.seek(SeekFrom::Start(0)).map_err(failed())?;
    out.write_all(&header).map_err(failed())?;
    out.flush().map_err(failed())?;
    drop(out);
    // Otherwise a power failure could leave the name without the content.
    staged.as_file().sync_all().map_err(failed())?;
    staged.persist(path).map_err(|e| failed()(e.error))?;
    Ok(())
}

/// The index of a pack of `count` images.
fn index(file: &PositionedFile, key: &[u8; 32], count: usize) -> Result<Vec<Entry>, DataError> {
    let wrong = |reason: &str| DataError::format(file.path(), reason);
    let header = file.read(0, HEADER as u64)?;
    let header = header.first_chunk().ok_or_else(|| wrong("no header"))?;
    let start = index_start(header, file.len(), key, count).map_err(wrong)?;
    let tail = file.read(start, file.len() - start)?;
    entries(header, &tail, start).map_err(wrong)
}

/// Where the index of a pack of `length` bytes begins, if the header belongs to this pack and the
/// pack is whole. The rest of the file must have the length of an index of `count` images, whatever
/// the header says.
pub(crate) fn index_start(
    header: &[u8; HEADER],
    length: u64,
    key: &[u8],
    count: usize,
) -> Result<u64, &'static str> {
    let (magic, rest) = header.split_at(MAGIC.len());
    let (numbers, found) = rest.split_at(16);
    if magic != MAGIC || found != key {
        return Err("another pack");
    }
    let mut numbers = numbers.as_chunks().0.iter().map(|number| u64::from_le_bytes(*number));
    let (images, start) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let bytes = (count as u64).checked_mul(Entry::BYTES as u64);
    let expected = bytes.and_then(|bytes| start.checked_add(bytes)?.checked_add(4));
    let whole = images == count as u64 && start >= HEADER as u64 && expected == Some(length);
    if whole { Ok(start) } else { Err("a pack that is not whole") }
}

/// The entries of the index that begins at `start`. Each is checked: it lies between header and
/// index, and its length fits its image.
pub(crate) fn entries(
    header: &[u8; HEADER],
    tail: &[u8],
    start: u64,
) -> Result<Vec<Entry>, &'static str> {
    let (index, crc) = tail.split_last_chunk().ok_or("a pack that is not whole")?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(index);
    if hasher.finalize() != u32::from_le_bytes(*crc) {
        return Err("a damaged index");
    }
    let entries: Vec<Entry> = index.as_chunks().0.iter().map(Entry::from_bytes).collect();
    let fits = |entry: &Entry| {
        let pixels = u64::from(entry.width) * u64::from(entry.height);
        let sized = entry.width == 0 || pixels.checked_mul(3) == Some(u64::from(entry.length));
        let inside = entry.end().is_some_and(|end| end <= start);
        entry.offset >= HEADER as u64 && inside && sized
    };
    if entries.iter().all(fits) { Ok(entries) } else { Err("an entry beyond its end") }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Images of growing sizes, with every third one unreadable. Counts how many are decoded.
    struct Photos {
        key: u8,
        decoded: AtomicUsize,
    }

    impl Photos {
        fn new(key: u8) -> Arc<Self> {
            Arc::new(Self { key, decoded: AtomicUsize::new(0) })
        }
    }

    impl ImageDataset for Photos {
        fn len(&self) -> usize {
            11
        }

        fn image(&self, index: usize) -> Result<Arc<RgbImage>, DataError> {
            self.decoded.fetch_add(1, Ordering::Relaxed);
            if index % 3 == 2 {
                return Err(DataError::format(Path::new("bad.jpg"), format!("broken {index}")));
            }
            let (width, height) = (8 + 3 * index as u32, 6 + index as u32);
            Ok(Arc::new(RgbImage::from_fn(width, height, |x, y| {
                image::Rgb([(7 * x) as u8, (9 * y) as u8, index as u8])
            })))
        }

        fn label(&self, index: usize) -> Option<u32> {
            Some(index as u32 % 2)
        }

        fn class_names(&self) -> &[String] {
            &[]
        }

        fn content_key(&self) -> Option<ContentKey> {
            Some(ContentKey([self.key; 32]))
        }
    }

    const WHOLE: PackSettings = PackSettings { shorter_side: None };
    const SMALL: PackSettings = PackSettings { shorter_side: Some(9) };

    fn open(inner: &Arc<Photos>, settings: PackSettings, folder: &Path) -> PackedImages {
        PackedImages::open(inner.clone(), settings, folder, &mut |_, _| ()).unwrap()
    }

    /// As pixels, or as the reason why there are none.
    fn contents(set: &dyn ImageDataset) -> Vec<Result<Arc<RgbImage>, String>> {
        (0..set.len()).map(|i| set.image(i).map_err(|e| e.to_string())).collect()
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<String> =
            names.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.ends_with(".lock"));
        names.sort();
        names
    }

    #[test]
    fn a_pack_has_the_images_and_spares_their_decoding() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::new(1);
        let expected = contents(&*photos);
        photos.decoded.store(0, Ordering::Relaxed);
        let mut seen = Vec::new();
        let pack = PackedImages::open(photos.clone(), WHOLE, folder.path(), &mut |n, of| {
            seen.push((n, of))
        })
        .unwrap();
        assert_eq!(seen.last(), Some(&(11, 11)));
        let found = contents(&pack);
        for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(_)) => assert!(found.contains(&format!("broken {i}")), "{found}"),
                _ => panic!("image {i}: {found:?}"),
            }
        }
        assert_eq!((pack.label(3), pack.len()), (Some(1), 11));
        // Another process, later.
        assert_eq!(contents(&open(&photos, WHOLE, folder.path())), found);
        assert_eq!(photos.decoded.load(Ordering::Relaxed), 11);
    }

    #[test]
    fn larger_images_are_reduced_to_the_shorter_side() {
        let folder = tempfile::tempdir().unwrap();
        let pack = open(&Photos::new(1), SMALL, folder.path());
        let sizes = |i: usize| pack.image(i).unwrap().dimensions();
        assert_eq!((sizes(0), sizes(1), sizes(3)), ((8, 6), (11, 7), (17, 9)));
        // 38 × 16 becomes 9 high and 38 · 9 / 16 = 21.4 wide.
        assert_eq!(sizes(10), (21, 9));
        assert_eq!(pack.image(10).unwrap().get_pixel(3, 3).0[2], 10);
    }

    #[test]
    fn other_files_or_settings_make_another_pack() {
        let folder = tempfile::tempdir().unwrap();
        let names: Vec<PathBuf> = [(1, WHOLE), (1, SMALL), (2, WHOLE), (1, WHOLE)]
            .map(|(key, settings)| {
                open(&Photos::new(key), settings, folder.path()).path().to_owned()
            })
            .into();
        assert_eq!(names[0], names[3]);
        assert_eq!(files(folder.path()).len(), 3);
    }

    /// Every byte of a pack is checked: with any byte wrong, or cut anywhere, the images are still
    /// right.
    #[test]
    fn a_damaged_pack_never_gives_wrong_images() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::new(1);
        let pack = open(&photos, SMALL, folder.path());
        let (path, expected) = (pack.path().to_owned(), contents(&pack));
        let whole = std::fs::read(&path).unwrap();
        let end = whole.len();
        let places = (0..HEADER).chain((HEADER..end).step_by(97)).chain(end - 30..end);
        for place in places {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x41;
            std::fs::write(&path, &damaged).unwrap();
            let found = contents(&open(&photos, SMALL, folder.path()));
            assert!(same(&found, &expected), "byte {place}");
        }
        for end in [0, 10, 63, 64, 100, end / 2, end - 1] {
            std::fs::write(&path, &whole[..end]).unwrap();
            let found = contents(&open(&photos, SMALL, folder.path()));
            assert!(same(&found, &expected), "cut to {end}");
        }
        // Shortened while it is open.
        let pack = open(&photos, SMALL, folder.path());
        File::options().write(true).open(&path).unwrap().set_len(200).unwrap();
        assert!(same(&contents(&pack), &expected));
    }

    /// The reason of an unreadable image may name another file.
    fn same(
        found: &[Result<Arc<RgbImage>, String>],
        expected: &[Result<Arc<RgbImage>, String>],
    ) -> bool {
        found.iter().zip(expected).all(|(a, b)| a.as_ref().ok() == b.as_ref().ok())
    }

    #[test]
    fn of_two_that_want_a_pack_one_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::new(1);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| open(&photos, WHOLE, folder.path()));
            }
        });
        assert_eq!(photos.decoded.load(Ordering::Relaxed), 11);
        assert_eq!(files(folder.path()).len(), 1);
    }

    #[test]
    fn a_maker_that_dies_leaves_no_pack() {
        let folder = tempfile::tempdir().unwrap();
        let photos = Photos::new(1);
        let died = catch_unwind(AssertUnwindSafe(|| {
            PackedImages::open(photos.clone(), WHOLE, folder.path(), &mut |_, _| panic!("died"))
        }));
        assert!(died.is_err() && files(folder.path()).is_empty());
        assert_eq!(open(&photos, WHOLE, folder.path()).len(), 11);
    }
}

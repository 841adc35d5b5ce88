//! The images of the Parquet files of a split.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use parquet::data_type::{ByteArray, ByteArrayType};

use super::columns::{names, top};
use super::file::{Cell, Chunk, MAX_ROWS, ParquetFile};
use super::labels::{self, Refused};
use super::paths;
use super::reasons::guarded;
use crate::decode::{decode_bytes, decode_file};
use crate::formats::raw_labels::RawLabels;
use crate::sets::dataset::out_of_range;
use crate::sets::image_set::ImageStore;
use crate::{DataError, Skipped};

/// Encoded images kept in memory. The largest set that is decoded on opening fits, so it reads no
/// row group twice.
pub(super) const CACHE_BYTES: u64 = 1 << 30;
/// The assumed size of an image in a file of its own. Asking for millions of sizes would take too
/// long.
const FILE_BYTES: u64 = 100_000;
/// A column with fewer bytes for a row holds nulls, not images.
const NO_IMAGE_BYTES: u64 = 16;

/// The images of a split.
pub(super) struct ParquetImages {
    root: PathBuf,
    groups: Vec<Group>,
    rows: usize,
    /// The remaining rows, if some were taken out.
    kept: Option<Vec<u32>>,
    pub(super) class_names: Vec<String>,
    pub(super) seen: Seen,
    pub(super) cache: Mutex<Cache>,
    cache_bytes: u64,
}

/// The columns that the files have.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Those of labels.
    pub(super) labels: BTreeSet<String>,
    /// All of the first file, in words.
    pub(super) columns: String,
}

/// One row group.
struct Group {
    path: Arc<Path>,
    /// In its file.
    place: usize,
    /// Its first row among those of all row groups,
    first: usize,
    /// and among those of its file.
    first_in_file: usize,
    rows: usize,
    /// Of its images, encoded.
    bytes: u64,
    /// The columns of its images: encoded, or their paths.
    images: Option<Chunk>,
    paths: Option<Chunk>,
    /// One for each row, or none at all.
    labels: Vec<Option<u32>>,
    /// Held while its images are read, so that only one thread reads them.
    loading: Mutex<()>,
}

/// The image of a row.
enum Row {
    Bytes(ByteArray),
    Path(Box<str>),
    Nothing,
    Damaged,
}

/// The images of a row group.
pub(super) struct Rows {
    rows: Vec<Row>,
    /// Why some are damaged.
    why: Option<String>,
}

/// The row groups that were read last.
#[derive(Default)]
pub(super) struct Cache {
    pub(super) groups: HashMap<usize, Arc<Rows>>,
    /// Oldest first, with their bytes.
    pub(super) order: VecDeque<(usize, u64)>,
    pub(super) bytes: u64,
    /// How often a row group was read.
    #[cfg(test)]
    pub(super) reads: usize,
}

impl Cache {
    fn insert(&mut self, group: usize, rows: Arc<Rows>, limit: u64) {
        let weight = |row: &Row| match row {
            Row::Bytes(bytes) => bytes.len() as u64,
            Row::Path(path) => path.len() as u64,
            Row::Nothing | Row::Damaged => 0,
        };
        let bytes = rows.rows.iter().map(weight).sum();
        self.groups.insert(group, rows);
        self.order.push_back((group, bytes));
        self.bytes += bytes;
        #[cfg(test)]
        {
            self.reads += 1;
        }
        while self.bytes > limit && self.order.len() > 1 {
            let Some((oldest, bytes)) = self.order.pop_front() else { break };
            self.groups.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

impl Group {
    /// The columns of a row group, and its labels.
    fn open(
        path: &Arc<Path>,
        file: &ParquetFile,
        place: usize,
        raw: &mut RawLabels,
        refused: &mut Refused,
    ) -> Result<Self, String> {
        let chunk = |column: Option<usize>| column.map(|c| file.chunk(place, c)).transpose();
        let images = chunk(file.images.bytes)?;
        // If there are bytes as well, the path is not needed.
        let paths = match &images {
            Some(_) => chunk(file.images.path).ok().flatten(),
            None => chunk(file.images.path)?,
        };
        let rows = images.as_ref().or(paths.as_ref()).map_or(0, |chunk| chunk.rows);
        let labels = match file.labels.map(|column| file.chunk(place, column)) {
            Some(Ok(chunk)) => labels::read(path, &chunk, raw, refused),
            Some(Err(reason)) => {
                refused.add(rows as u64, || reason);
                Vec::new()
            }
            None => Vec::new(),
        };
        let files = rows as u64 * FILE_BYTES;
        let bytes = match &images {
            Some(images) if paths.is_some() && images.bytes() / NO_IMAGE_BYTES < rows as u64 => {
                files
            }
            Some(images) => images.bytes(),
            None => files,
        };
        let (path, loading) = (path.clone(), Mutex::new(()));
        let (first, first_in_file) = (0, 0);
        Ok(Self { path, place, first, first_in_file, rows, bytes, images, paths, labels, loading })
    }

    /// Reads its images.
    fn read(&self) -> Rows {
        let (mut rows, mut why) = match &self.images {
            Some(chunk) => {
                let (cells, why) = chunk.values::<ByteArrayType, _>(&self.path, ByteArray::clone);
                let row = |cell| match cell {
                    Cell::Value(bytes) => Row::Bytes(bytes),
                    Cell::Damaged => Row::Damaged,
                    Cell::Null | Cell::Several => Row::Nothing,
                };
                (cells.into_iter().map(row).collect(), why)
            }
            None => {
                let nothing = || Row::Nothing;
                (std::iter::repeat_with(nothing).take(self.rows).collect::<Vec<_>>(), None)
            }
        };
        let missing = |row: &Row| match row {
            Row::Bytes(bytes) => bytes.is_empty(),
            Row::Nothing => true,
            Row::Path(_) | Row::Damaged => false,
        };
        if let Some(chunk) = self.paths.as_ref().filter(|_| rows.iter().any(missing)) {
            let text = |v: &ByteArray| str::from_utf8(v.data()).ok().map(Box::<str>::from);
            let (cells, damage) = chunk.values::<ByteArrayType, _>(&self.path, text);
            why = why.or(damage);
            for (row, cell) in rows.iter_mut().zip(cells).filter(|(row, _)| missing(row)) {
                match cell {
                    Cell::Value(Some(path)) if !path.is_empty() => *row = Row::Path(path),
                    Cell::Value(None) | Cell::Damaged => *row = Row::Damaged,
                    _ => {}
                }
            }
        }
        Rows { rows, why }
    }
}

impl ParquetImages {
    pub(super) fn open(
        paths: &[PathBuf],
        root: &Path,
        cache_bytes: u64,
        raw: &mut RawLabels,
        skipped: &mut Vec<Skipped>,
    ) -> Self {
        let mut all = Self {
            root: root.to_owned(),
            groups: Vec::new(),
            rows: 0,
            kept: None,
            class_names: Vec::new(),
            seen: Seen::default(),
            cache: Mutex::default(),
            cache_bytes,
        };
        for path in paths {
            let mut skip = |reason| skipped.push(Skipped { path: path.clone(), reason });
            match guarded(|| ParquetFile::open(path)) {
                Ok(file) => all.add(path, &file, raw, &mut skip),
                Err(reason) => skip(reason),
            }
        }
        all
    }

    fn add(
        &mut self,
        path: &Path,
        file: &ParquetFile,
        raw: &mut RawLabels,
        skip: &mut dyn FnMut(String),
    ) {
        let path: Arc<Path> = Arc::from(path);
        let (mut in_file, mut refused) = (0, Refused::default());
        for place in 0..file.row_groups() {
            let group = guarded(|| Group::open(&path, file, place, raw, &mut refused));
            match group {
                Ok(group) if (self.rows + group.rows) as u64 > MAX_ROWS => {
                    skip(format!("row group {place}: more than {MAX_ROWS} images"));
                }
                Ok(group) if group.rows == 0 => {}
                Ok(mut group) => {
                    (group.first, group.first_in_file) = (self.rows, in_file);
                    self.rows += group.rows;
                    in_file += group.rows;
                    self.groups.push(group);
                }
                Err(reason) => {
                    in_file += file.rows_of(place);
                    skip(format!("row group {place}: {reason}"));
                }
            }
        }
        if let Some(reason) = refused.reason() {
            skip(reason);
        }
        if self.class_names.is_empty() {
            self.class_names = labels::class_names(file);
        }
        if self.seen.columns.is_empty() {
            self.seen.columns = names(file.schema());
        }
        if let Some(column) = file.labels.and_then(|column| file.schema().columns().get(column)) {
            self.seen.labels.insert(top(column).to_owned());
        }
    }

    /// An image's row among those of all row groups.
    fn row(&self, index: usize) -> usize {
        match &self.kept {
            Some(kept) => kept.get(index).map_or(usize::MAX, |row| *row as usize),
            None => index,
        }
    }

    /// The row group of an image, its number, and the image's row.
    fn locate(&self, index: usize) -> Option<(usize, &Group, usize)> {
        let index = self.row(index);
        let number = self.groups.partition_point(|g| g.first <= index).checked_sub(1)?;
        let group = self.groups.get(number)?;
        let row = index - group.first;
        (row < group.rows).then_some((number, group, row))
    }

    fn rows_of(&self, number: usize, group: &Group) -> Arc<Rows> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = cache().groups.get(&number) {
            return rows.clone();
        }
        let _loading = group.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = cache().groups.get(&number) {
            return rows.clone();
        }
        let rows = Arc::new(group.read());
        cache().insert(number, rows.clone(), self.cache_bytes);
        rows
    }

    /// The image in the file that a row names.
    fn decode_named(&self, group: &Group, text: &str) -> Result<RgbImage, String> {
        let folder = group.path.parent().unwrap_or(&self.root);
        let file = paths::inside(&self.root, folder, text)
            .map_err(|reason| format!("it has no bytes, only a path: {reason}"))?;
        decode_file(&file).map_err(|error| format!("{}: {}", file.display(), error.reason()))
    }
}

impl ImageStore for ParquetImages {
    fn len(&self) -> usize {
        self.kept.as_ref().map_or(self.rows, Vec::len)
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        let (number, group, row) =
            self.locate(index).ok_or_else(|| out_of_range(index, self.len()))?;
        let rows = self.rows_of(number, group);
        let error = |reason: String| DataError::format(&self.name(index), reason);
        match rows.rows.get(row) {
            Some(Row::Bytes(bytes)) => decode_bytes(&self.name(index), bytes.data()),
            Some(Row::Path(path)) => self.decode_named(group, path).map_err(error),
            Some(Row::Nothing) => Err(error("the row has no image".into())),
            Some(Row::Damaged) | None => {
                let why = rows.why.as_deref().unwrap_or("it is damaged");
                Err(error(format!("row group {}: {why}", group.place)))
            }
        }
    }

    fn label(&self, index: usize) -> Option<u32> {
        let (_, group, row) = self.locate(index)?;
        group.labels.get(row).copied().flatten()
    }

    fn relabel(&mut self, class: &dyn Fn(u32) -> Option<u32>) {
        for label in self.groups.iter_mut().flat_map(|group| &mut group.labels) {
            *label = label.and_then(class);
        }
    }

    fn name(&self, index: usize) -> PathBuf {
        let Some((_, group, row)) = self.locate(index) else { return PathBuf::new() };
        group.path.join(format!("row {}", group.first_in_file + row))
    }

    fn weighs_at_most(&self, bytes: u64) -> bool {
        let all = self.groups.iter().fold(0u64, |sum, group| sum.saturating_add(group.bytes));
        all <= bytes
    }

    fn retain(&mut self, keep: &[bool]) {
        if keep.contains(&false) {
            let kept = (0..self.len()).filter(|index| keep[*index]);
            self.kept = Some(kept.map(|index| self.row(index) as u32).collect());
        }
        // All images are decoded now, so their bytes are no longer needed.
        let cache = self.cache.get_mut().unwrap_or_else(PoisonError::into_inner);
        cache.groups.clear();
        cache.order.clear();
        cache.bytes = 0;
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.groups.iter().for_each(|group| visit(&group.path));
    }
}

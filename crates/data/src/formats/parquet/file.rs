//! One Parquet file: its row groups, and the values of a column.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReaderImpl, get_column_reader, get_typed_column_reader};
use parquet::data_type::DataType;
use parquet::file::metadata::{ColumnChunkMetaData, FileMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

use super::columns::{self, Images};
use super::pages::Pages;
use super::reasons::{self, guarded};

/// The most unpacked bytes of one column in a row group.
const MAX_CHUNK_BYTES: u64 = 4 << 30;
/// The most rows in a split.
pub(super) const MAX_ROWS: u64 = 200_000_000;
/// Rows read at a time, so that a claimed number of rows allocates nothing.
const BATCH: usize = 1024;
/// After so many damaged pages the rest of a column counts as damaged.
const MAX_DAMAGED: usize = 16;
/// The most list elements of a row group, for each row.
const MAX_LISTED: u64 = 8;

/// An open file and the columns that we need.
pub(super) struct ParquetFile {
    reader: SerializedFileReader<File>,
    bytes: u64,
    pub(super) images: Images,
    pub(super) labels: Option<usize>,
}

/// The most rows that a byte of a file may claim.
const ROWS_OF_A_BYTE: u64 = 1000;

/// One column of a row group, checked against the limits.
pub(super) struct Chunk {
    meta: ColumnChunkMetaData,
    pub(super) rows: usize,
}

impl ParquetFile {
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        // Checked before opening: opening a pipe would wait for its writer.
        if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err("not a regular file".into());
        }
        let mut file = File::open(path).map_err(|e| reasons::of_io(&e))?;
        let metadata = file.metadata().map_err(|e| reasons::of_io(&e))?;
        let again = file.try_clone().map_err(|e| reasons::of_io(&e))?;
        let reader = SerializedFileReader::new(again).map_err(|_| reasons::of_file(&mut file))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let (images, labels) = (columns::images(schema)?, columns::labels(schema));
        Ok(Self { reader, bytes: metadata.len(), images, labels })
    }

    pub(super) fn metadata(&self) -> &FileMetaData {
        self.reader.metadata().file_metadata()
    }

    pub(super) fn schema(&self) -> &SchemaDescriptor {
        self.metadata().schema_descr()
    }

    pub(super) fn row_groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The number of rows that a row group claims.
    pub(super) fn rows_of(&self, place: usize) -> usize {
        usize::try_from(self.reader.metadata().row_group(place).num_rows()).unwrap_or(0)
    }

    /// A column of a row group, after its metadata was checked against the file's size.
    pub(super) fn chunk(&self, place: usize, column: usize) -> Result<Chunk, String> {
        let group: &RowGroupMetaData = self.reader.metadata().row_group(place);
        let chunk = group.columns().get(column).ok_or("a column is missing")?;
        if chunk.file_path().is_some() {
            return Err("its columns are in another file".into());
        }
        let number = |value: i64| u64::try_from(value).map_err(|_| "its description is damaged");
        let start = number(chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset()))?;
        let bytes = number(chunk.compressed_size())?;
        if start.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Err("the file is cut off".into());
        }
        let unpacked = number(chunk.uncompressed_size())?;
        if unpacked > MAX_CHUNK_BYTES {
            return Err(format!("{unpacked} bytes are beyond the limit of {MAX_CHUNK_BYTES}"));
        }
        let (rows, values) = (number(group.num_rows())?, number(chunk.num_values())?);
        let listed = chunk.column_descr().max_rep_level() > 0;
        if listed && values > MAX_LISTED.saturating_mul(rows) {
            return Err("its rows have too many values each".into());
        }
        // With a dictionary a row may take less than a bit.
        if rows > self.bytes.saturating_mul(ROWS_OF_A_BYTE)
            || rows > MAX_ROWS
            || (values != rows && !listed)
        {
            return Err(format!("{rows} rows with {values} values are not possible"));
        }
        let meta = chunk.clone().into_builder().clear_statistics().clear_page_encoding_stats();
        let meta = meta.build().map_err(|_| "its description is damaged")?;
        let rows = usize::try_from(rows).map_err(|_| "it has too many rows")?;
        Ok(Chunk { meta, rows })
    }
}

/// The value of a column in a row.
#[derive(Debug, Clone)]
pub(super) enum Cell<V> {
    Value(V),
    Null,
    /// In a page that cannot be read.
    Damaged,
    /// A list of more than one.
    Several,
}

impl Chunk {
    /// Unpacked bytes, as the metadata claims.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.meta.uncompressed_size()).unwrap_or(u64::MAX)
    }

    /// The value of each row. Unreadable pages are left out, with the reason for the first.
    pub(super) fn values<T: DataType, V>(
        &self,
        path: &Path,
        value: impl Fn(&T::T) -> V,
    ) -> (Vec<Cell<V>>, Option<String>) {
        let mut all = Vec::new();
        let (mut damaged, mut why) = (0, None);
        let mut batch = BATCH;
        let page_end = Arc::new(AtomicUsize::new(0));
        let mut reader = guarded(|| self.reader::<T>(path, &page_end, 0));
        while all.len() < self.rows {
            let most = batch.min(self.rows - all.len());
            let read = match &mut reader {
                Ok(reader) => guarded(|| self.read(reader, most, &value)),
                Err(reason) => Err(reason.clone()),
            };
            let reason = match read {
                Ok(read) => {
                    all.extend(read);
                    continue;
                }
                Err(reason) => reason,
            };
            if batch > 1 && reader.is_ok() {
                // Reads the rows before the damage one by one.
                batch = 1;
            } else {
                why.get_or_insert(reason);
                damaged += 1;
                let next = page_end.load(Ordering::Relaxed).min(self.rows);
                let flat = self.meta.column_descr().max_rep_level() == 0;
                if reader.is_err() || next <= all.len() || damaged > MAX_DAMAGED || !flat {
                    break;
                }
                all.resize_with(next, || Cell::Damaged);
                batch = BATCH;
            }
            reader = guarded(|| self.reader::<T>(path, &page_end, all.len()));
        }
        all.resize_with(self.rows, || Cell::Damaged);
        (all, why)
    }

    fn reader<T: DataType>(
        &self,
        path: &Path,
        page_end: &Arc<AtomicUsize>,
        skip: usize,
    ) -> Result<ColumnReaderImpl<T>, String> {
        // Opened anew for each use: the crate's readers share the position of a file.
        let file = File::open(path).map_err(|e| reasons::of_io(&e))?;
        page_end.store(0, Ordering::Relaxed);
        let pages = Pages::new(file, &self.meta, self.rows, page_end.clone())?;
        let reader = get_column_reader(self.meta.column_descr_ptr(), Box::new(pages));
        let mut reader = get_typed_column_reader::<T>(reader);
        match reader.skip_records(skip) {
            Ok(skipped) if skipped == skip => Ok(reader),
            Ok(_) => Err("a page is cut off".into()),
            Err(error) => Err(reasons::of_pages(&error)),
        }
    }

    /// The values of the next `most` rows.
    fn read<T: DataType, V>(
        &self,
        reader: &mut ColumnReaderImpl<T>,
        most: usize,
        value: impl Fn(&T::T) -> V,
    ) -> Result<Vec<Cell<V>>, String> {
        let column = self.meta.column_descr();
        let (defined, listed) = (column.max_def_level(), column.max_rep_level() > 0);
        let (mut levels, mut repeats, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let (records, ..) = reader
            .read_records(
                most,
                (defined > 0).then_some(&mut levels),
                listed.then_some(&mut repeats),
                &mut values,
            )
            .map_err(|e| reasons::of_pages(&e))?;
        if records == 0 {
            return Err("it has fewer rows than it says".into());
        }
        let mut values = values.iter().map(value);
        if defined == 0 {
            return Ok(values.map(Cell::Value).collect());
        }
        let mut all: Vec<Cell<V>> = Vec::with_capacity(records);
        for (at, level) in levels.iter().enumerate() {
            let cell = match *level == defined {
                true => values.next().map_or(Cell::Null, Cell::Value),
                false => Cell::Null,
            };
            // A repeated value belongs to the row before.
            match all.last_mut().filter(|_| repeats.get(at).is_some_and(|level| *level > 0)) {
                Some(Cell::Value(_) | Cell::Several) if matches!(cell, Cell::Null) => {}
                Some(last @ Cell::Null) => *last = cell,
                Some(last) => *last = Cell::Several,
                None => all.push(cell),
            }
        }
        match all.len() == records {
            true => Ok(all),
            false => Err("a page is damaged".into()),
        }
    }

    pub(super) fn physical_type(&self) -> Type {
        self.meta.column_type()
    }

    pub(super) fn column(&self) -> &ColumnDescriptor {
        self.meta.column_descr()
    }
}

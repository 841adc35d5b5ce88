//! Parquet files with encoded images, as the Hugging Face hub keeps them.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use image::RgbImage;
use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::SchemaDescriptor;

use crate::dataset::out_of_range;
use crate::decode::decode_bytes;
use crate::image_set::ImageStore;
use crate::labels::RawLabels;
use crate::shards::{open_shards, shards};
use crate::{DataError, FileFormat, Layout, Skipped, Splits};

/// Columns of images, the first of these that is there.
const IMAGES: [&str; 2] = ["image", "img"];
/// Columns of labels, likewise.
const LABELS: [&str; 3] = ["label", "labels", "fine_label"];
/// Encoded images kept in memory.
const CACHE_BYTES: u64 = 4 << 30;
/// Encoded images of one row group.
const MAX_GROUP_BYTES: u64 = 4 << 30;
/// In a split.
const MAX_ROWS: u64 = 200_000_000;
/// Read at a time, so that a claimed number of rows allocates nothing.
const BATCH: usize = 1024;
/// Where the hub writes down what the columns mean.
const METADATA_KEY: &str = "huggingface";

/// Opens a folder with `.parquet` files, in itself or in sub-folders; a word of a file's path says
/// whether it is trained on (`train`, or none) or tested on (`test`, `val`, `validation`).
///
/// Images are in a column `image` or `img`, either binary or a struct whose `bytes` are; classes in
/// an integer column `label`, `labels` or `fine_label`, where a negative one means that there is
/// none. The names of the classes come from the `huggingface` metadata. Pages are plain or
/// compressed with Snappy, LZ4 or gzip; Zstandard and Brotli are not read.
///
/// Labels are read on opening, a row group of encoded images when one of its images is needed. The
/// last 4 GiB of them are kept. Of a larger data set in shuffled order, most images take the reading
/// of a whole row group: slow, unless its row groups are small.
///
/// A file or row group that is damaged is left out and reported in [`Splits::skipped`]. Without a
/// test split, every tenth labelled image of each class is held out.
///
/// # Errors
/// No image to train on, or a folder that cannot be read.
pub fn open_parquet(name: &str, folder: &Path) -> Result<Splits, DataError> {
    let layout = Layout {
        root: folder.to_owned(),
        format: Some(FileFormat::Parquet),
        labels: "a column of the Parquet files".into(),
        unlabelled: format!("no column is called {}", LABELS.join(" or ")),
        ..Layout::default()
    };
    let names = |store: &ParquetImages| store.class_names.clone();
    open_shards(name, &shards(folder, &[".parquet"])?, names, layout, |paths, labels, skipped| {
        Ok(ParquetImages::open(paths, CACHE_BYTES, labels, skipped))
    })
}

/// The images of a split.
struct ParquetImages {
    groups: Vec<Group>,
    rows: usize,
    /// The rows that are left, where some were taken out.
    kept: Option<Vec<u32>>,
    class_names: Vec<String>,
    cache: Mutex<Cache>,
    cache_bytes: u64,
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
    /// One for each row, or none at all.
    labels: Vec<Option<u32>>,
    /// Held while its images are read, so that no two threads do.
    loading: Mutex<()>,
}

/// Encoded images by row; `None` for a null.
type Rows = Vec<Option<ByteArray>>;

/// The row groups that were read last.
#[derive(Default)]
struct Cache {
    groups: HashMap<usize, Arc<Rows>>,
    /// Oldest first, with their bytes.
    order: VecDeque<(usize, u64)>,
    bytes: u64,
}

impl Cache {
    fn insert(&mut self, group: usize, rows: Arc<Rows>, limit: u64) {
        let bytes = rows.iter().flatten().map(|image| image.len() as u64).sum();
        self.groups.insert(group, rows);
        self.order.push_back((group, bytes));
        self.bytes += bytes;
        while self.bytes > limit && self.order.len() > 1 {
            let Some((oldest, bytes)) = self.order.pop_front() else { break };
            self.groups.remove(&oldest);
            self.bytes -= bytes;
        }
    }
}

impl ParquetImages {
    fn open(
        paths: &[PathBuf],
        cache_bytes: u64,
        raw: &mut RawLabels,
        skipped: &mut Vec<Skipped>,
    ) -> Self {
        let (mut groups, mut names, mut rows) = (Vec::new(), Vec::new(), 0);
        for path in paths {
            let mut skip = |reason| skipped.push(Skipped { path: path.clone(), reason });
            let opened = guarded(|| ParquetFile::open(path));
            let file = match opened {
                Ok(file) => file,
                Err(reason) => {
                    skip(reason);
                    continue;
                }
            };
            let shared: Arc<Path> = Arc::from(path.as_path());
            let mut in_file = 0;
            for place in 0..file.reader.num_row_groups() {
                let group = guarded(|| file.labels(place, raw)).and_then(|(count, labels)| {
                    match rows as u64 + count as u64 <= MAX_ROWS {
                        true => Ok((count, labels)),
                        false => Err(format!("more than {MAX_ROWS} images")),
                    }
                });
                match group {
                    Ok((0, _)) => {}
                    Ok((count, labels)) => {
                        let (path, loading) = (shared.clone(), Mutex::new(()));
                        groups.push(Group {
                            path,
                            place,
                            first: rows,
                            first_in_file: in_file,
                            rows: count,
                            bytes: file.image_bytes(place),
                            labels,
                            loading,
                        });
                        rows += count;
                        in_file += count;
                    }
                    Err(reason) => skip(format!("row group {place}: {reason}")),
                }
            }
            if names.is_empty() {
                names = file.class_names();
            }
        }
        let (class_names, cache) = (names, Mutex::default());
        Self { groups, rows, kept: None, class_names, cache, cache_bytes }
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

    fn rows_of(&self, number: usize, group: &Group) -> Result<Arc<Rows>, DataError> {
        let cache = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let _loading = group.loading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rows) = cache().groups.get(&number) {
            return Ok(rows.clone());
        }
        let rows = guarded(|| ParquetFile::open(&group.path)?.images(group.place))
            .map_err(|reason| DataError::format(&group.path, reason))?;
        let rows = Arc::new(rows);
        cache().insert(number, rows.clone(), self.cache_bytes);
        Ok(rows)
    }
}

impl ImageStore for ParquetImages {
    fn len(&self) -> usize {
        self.kept.as_ref().map_or(self.rows, Vec::len)
    }

    fn decode(&self, index: usize) -> Result<RgbImage, DataError> {
        let (number, group, row) =
            self.locate(index).ok_or_else(|| out_of_range(index, self.len()))?;
        match self.rows_of(number, group)?.get(row) {
            Some(Some(bytes)) => decode_bytes(&self.name(index), bytes.data()),
            _ => Err(DataError::format(&self.name(index), "the row has no image")),
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
        self.groups.iter().map(|group| group.bytes).sum::<u64>() <= bytes
    }

    fn retain(&mut self, keep: &[bool]) {
        if keep.contains(&false) {
            let kept = (0..self.len()).filter(|index| keep[*index]);
            self.kept = Some(kept.map(|index| self.row(index) as u32).collect());
        }
    }

    fn visit_files(&self, visit: &mut dyn FnMut(&Path)) {
        self.groups.iter().for_each(|group| visit(&group.path));
    }
}

/// A panic in the Parquet crate is an error as well: some damaged files it meets with one.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("damaged".into()))
}

/// An open file and the columns that we need.
struct ParquetFile {
    reader: SerializedFileReader<File>,
    bytes: u64,
    images: usize,
    labels: Option<usize>,
}

impl ParquetFile {
    /// Opened anew for each use: the crate's readers of one file share its position.
    fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let bytes = file.metadata().map_err(|e| e.to_string())?.len();
        let reader = SerializedFileReader::new(file).map_err(|e| e.to_string())?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let images = IMAGES.iter().find_map(|name| {
            column(schema, &[name, "bytes"], &[Type::BYTE_ARRAY])
                .or_else(|| column(schema, &[name], &[Type::BYTE_ARRAY]))
        });
        let images = images.ok_or_else(|| {
            format!("no binary column is called {}", IMAGES.map(|n| format!("{n:?}")).join(" or "))
        })?;
        let labels =
            LABELS.iter().find_map(|name| column(schema, &[name], &[Type::INT32, Type::INT64]));
        Ok(Self { reader, bytes, images, labels })
    }

    /// Of the images of a row group, as the metadata say.
    fn image_bytes(&self, place: usize) -> u64 {
        let group = self.reader.metadata().row_group(place);
        let bytes = group.columns().get(self.images).map_or(0, |chunk| chunk.uncompressed_size());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How many rows a row group has, and their labels.
    fn labels(
        &self,
        place: usize,
        raw: &mut RawLabels,
    ) -> Result<(usize, Vec<Option<u32>>), String> {
        let rows = self.check(place, self.images)?;
        let Some(column) = self.labels else { return Ok((rows, Vec::new())) };
        self.check(place, column)?;
        let labels = match self.column(place, column)? {
            ColumnReader::Int32ColumnReader(reader) => {
                read(reader, rows, self.defined(column), |v| i64::from(*v))?
            }
            ColumnReader::Int64ColumnReader(reader) => {
                read(reader, rows, self.defined(column), |v| *v)?
            }
            _ => return Err("labels are not integers".into()),
        };
        let label = |label: Option<i64>| match label {
            Some(label) => raw.number(&label.to_string()),
            None => Ok(None),
        };
        Ok((rows, labels.into_iter().map(label).collect::<Result<_, String>>()?))
    }

    /// The encoded images of a row group.
    fn images(&self, place: usize) -> Result<Rows, String> {
        let rows = self.check(place, self.images)?;
        match self.column(place, self.images)? {
            ColumnReader::ByteArrayColumnReader(reader) => {
                read(reader, rows, self.defined(self.images), ByteArray::clone)
            }
            _ => Err("images are not binary".into()),
        }
    }

    fn column(&self, place: usize, column: usize) -> Result<ColumnReader, String> {
        let group = self.reader.get_row_group(place).map_err(|e| e.to_string())?;
        group.get_column_reader(column).map_err(|e| e.to_string())
    }

    /// The definition level of a value that is not null.
    fn defined(&self, column: usize) -> i16 {
        self.reader.metadata().file_metadata().schema_descr().column(column).max_def_level()
    }

    /// The number of rows, after what the metadata claims of a column has been held against the
    /// file's size.
    fn check(&self, place: usize, column: usize) -> Result<usize, String> {
        let metadata: &ParquetMetaData = self.reader.metadata();
        let group: &RowGroupMetaData = metadata.row_group(place);
        let chunk = group.columns().get(column).ok_or("a column is missing")?;
        let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
        let start = u64::try_from(start).map_err(|_| "a column at a negative place")?;
        let bytes = u64::try_from(chunk.compressed_size()).map_err(|_| "a negative size")?;
        if start.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            let total = self.bytes;
            return Err(format!("truncated: {bytes} bytes at {start} of {total}"));
        }
        let unpacked = u64::try_from(chunk.uncompressed_size()).map_err(|_| "a negative size")?;
        if unpacked > MAX_GROUP_BYTES {
            return Err(format!("{unpacked} bytes are beyond the limit of {MAX_GROUP_BYTES}"));
        }
        let rows = u64::try_from(group.num_rows()).map_err(|_| "a negative number of rows")?;
        // Every image has at least one byte.
        if rows > self.bytes || chunk.num_values() != group.num_rows() {
            return Err(format!("{rows} rows of {} values", chunk.num_values()));
        }
        usize::try_from(rows).map_err(|e| e.to_string())
    }

    /// As the hub's metadata has them; none if they are not there or make no sense.
    fn class_names(&self) -> Vec<String> {
        let names = || -> Option<Vec<String>> {
            let metadata = self.reader.metadata().file_metadata();
            let entry =
                metadata.key_value_metadata()?.iter().find(|entry| entry.key == METADATA_KEY)?;
            let json: serde_json::Value = serde_json::from_str(entry.value.as_ref()?).ok()?;
            let column = metadata.schema_descr().column(self.labels?);
            let names = json.get("info")?.get("features")?.get(column.name())?.get("names")?;
            names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
        };
        names().unwrap_or_default()
    }
}

/// The leaf column with a path and one of some types, at most one value a row.
fn column(schema: &SchemaDescriptor, path: &[&str], types: &[Type]) -> Option<usize> {
    schema.columns().iter().position(|column| {
        column.path().parts() == path
            && types.contains(&column.physical_type())
            && column.max_rep_level() == 0
    })
}

/// All `rows` values of a column whose definition level is `defined` where they are not null.
fn read<T: DataType, V>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    defined: i16,
    value: impl Fn(&T::T) -> V,
) -> Result<Vec<Option<V>>, String> {
    let mut all = Vec::new();
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    while all.len() < rows {
        levels.clear();
        values.clear();
        let most = BATCH.min(rows - all.len());
        let (records, ..) = reader
            .read_records(most, (defined > 0).then_some(&mut levels), None, &mut values)
            .map_err(|e| e.to_string())?;
        if records == 0 {
            return Err(format!("truncated at row {} of {rows}", all.len()));
        }
        let mut values = values.iter().map(&value);
        match defined {
            0 => all.extend(values.map(Some)),
            _ => {
                all.extend(levels.iter().map(|l| if *l == defined { values.next() } else { None }))
            }
        }
    }
    match all.len() == rows {
        true => Ok(all),
        false => Err(format!("{} values in {rows} rows", all.len())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use parquet::basic::Compression;
    use parquet::data_type::{ByteArrayType, Int64Type};
    use parquet::file::metadata::KeyValue;
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;
    use crate::ImageDataset;

    /// As the hub writes them.
    const HUB: &str = "message schema {
        optional group image { optional binary bytes; optional binary path (STRING); }
        optional int64 label;
    }";
    const PLAIN: &str = "message schema { required binary img; required int64 fine_label; }";
    const NAMES: &str = r#"{"info": {"features": {
        "image": {"_type": "Image"},
        "label": {"names": ["ant", "bee", "cow"], "_type": "ClassLabel"}}}}"#;

    fn png(value: u8) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        RgbImage::from_pixel(4, 3, image::Rgb([value, 0, 0]))
            .write_to(&mut bytes, image::ImageFormat::Png)
            .unwrap();
        bytes.into_inner()
    }

    type Row = (Option<Vec<u8>>, Option<i64>);

    /// A file with one row group for each slice.
    fn file(schema_text: &str, compression: Compression, groups: &[&[Row]]) -> Vec<u8> {
        let schema = Arc::new(parse_message_type(schema_text).unwrap());
        let metadata = KeyValue::new(METADATA_KEY.to_owned(), NAMES.to_owned());
        let properties = WriterProperties::builder()
            .set_compression(compression)
            .set_key_value_metadata(Some(vec![metadata]))
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
        for rows in groups {
            let images: Vec<ByteArray> =
                rows.iter().filter_map(|r| r.0.clone()).map(ByteArray::from).collect();
            let labels: Vec<i64> = rows.iter().filter_map(|r| r.1).collect();
            let level = |there: bool, most: i16| if there { most } else { 0 };
            let image_levels: Vec<i16> = rows.iter().map(|r| level(r.0.is_some(), 2)).collect();
            let path_levels = vec![1; rows.len()];
            let label_levels: Vec<i16> = rows.iter().map(|r| level(r.1.is_some(), 1)).collect();
            let mut group = writer.next_row_group().unwrap();
            let mut write_images = |levels: Option<&[i16]>| {
                let mut column = group.next_column().unwrap().unwrap();
                column.typed::<ByteArrayType>().write_batch(&images, levels, None).unwrap();
                column.close().unwrap();
            };
            let nullable = schema_text == HUB;
            write_images(nullable.then_some(&image_levels[..]));
            if nullable {
                let mut column = group.next_column().unwrap().unwrap();
                let paths = column.typed::<ByteArrayType>();
                paths.write_batch(&[], Some(&path_levels), None).unwrap();
                column.close().unwrap();
            }
            let mut column = group.next_column().unwrap().unwrap();
            let levels = nullable.then_some(&label_levels[..]);
            column.typed::<Int64Type>().write_batch(&labels, levels, None).unwrap();
            column.close().unwrap();
            group.close().unwrap();
        }
        writer.close().unwrap();
        bytes
    }

    fn row(value: u8, label: i64) -> Row {
        (Some(png(value)), Some(label))
    }

    fn folder(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("data")).unwrap();
        for (name, bytes) in files {
            std::fs::write(root.path().join(name), bytes).unwrap();
        }
        root
    }

    fn found(set: &dyn ImageDataset) -> Vec<(u8, Option<u32>)> {
        (0..set.len()).map(|i| (set.image(i).unwrap().get_pixel(3, 2).0[0], set.label(i))).collect()
    }

    #[test]
    fn structs_and_plain_columns_with_each_codec() {
        for (schema, codec) in [
            (HUB, Compression::SNAPPY),
            (HUB, Compression::UNCOMPRESSED),
            (PLAIN, Compression::LZ4_RAW),
            (PLAIN, Compression::GZIP(Default::default())),
        ] {
            let train = file(schema, codec, &[&[row(1, 2), row(2, 0)], &[row(3, 1)]]);
            let test = file(schema, codec, &[&[row(4, 1)]]);
            let root = folder(&[
                ("data/train-00000-of-00001.parquet", train),
                ("data/test-00000-of-00001.parquet", test),
            ]);
            let splits = open_parquet("x", root.path()).unwrap();
            assert_eq!(found(&*splits.train), [(1, Some(2)), (2, Some(0)), (3, Some(1))]);
            assert_eq!(found(&*splits.test.unwrap()), [(4, Some(1))]);
            let names = if schema == HUB { ["ant", "bee", "cow"] } else { ["0", "1", "2"] };
            assert_eq!(splits.train.class_names(), names);
            assert!(splits.skipped.is_empty() && splits.train.image(3).is_err());
        }
    }

    #[test]
    fn nulls_and_negative_labels_are_no_labels_and_a_row_without_an_image_is_left_out() {
        let rows = [(Some(png(1)), None), (None, Some(1)), row(2, -1), row(3, 1)];
        let train = file(HUB, Compression::SNAPPY, &[&rows]);
        let unlabelled = file(HUB, Compression::SNAPPY, &[&[row(5, -1)]]);
        let root = folder(&[
            ("train.parquet", train.clone()),
            ("test.parquet", unlabelled),
            ("validation.parquet", train),
        ]);
        let splits = open_parquet("x", root.path()).unwrap();
        assert_eq!(found(&*splits.train), [(1, None), (2, None), (3, Some(1))]);
        assert!(splits.skipped[0].path.ends_with("train.parquet/row 1"));
        // A test split without labels makes way for the validation split.
        assert_eq!(splits.test.unwrap().len(), 3);
    }

    #[test]
    fn row_groups_beyond_the_cache_are_read_again() {
        let rows: Vec<Row> = (0..12).map(|i| row(i, 0)).collect();
        let groups: Vec<&[Row]> = rows.chunks(3).collect();
        let root = folder(&[("a.parquet", file(HUB, Compression::SNAPPY, &groups))]);
        let path = root.path().join("a.parquet");
        let limit = 7 * png(0).len() as u64;
        let set = ParquetImages::open(&[path], limit, &mut RawLabels::default(), &mut Vec::new());
        for _ in 0..2 {
            let values: Vec<u8> =
                (0..set.len()).map(|i| set.decode(i).unwrap().get_pixel(0, 0).0[0]).collect();
            assert_eq!(values, (0..12).collect::<Vec<u8>>());
            let cache = set.cache.lock().unwrap();
            assert!(cache.bytes <= limit && cache.groups.len() == cache.order.len());
        }
    }

    #[test]
    fn damaged_files_are_left_out_and_reported_and_never_panic() {
        let good = file(HUB, Compression::SNAPPY, &[&[row(1, 2)], &[row(3, 1), row(3, 5)]]);
        let root = folder(&[
            ("a.parquet", good.clone()),
            ("b.parquet", good[..good.len() - 9].to_vec()),
            ("c.parquet", b"PAR1".to_vec()),
            (
                "d.parquet",
                file(
                    "message s { required int64 label; required binary x; }",
                    Compression::SNAPPY,
                    &[],
                ),
            ),
        ]);
        let splits = open_parquet("x", root.path()).unwrap();
        assert_eq!(splits.train.len(), 3);
        let skipped: Vec<_> =
            splits.skipped.iter().map(|s| s.path.file_stem().unwrap().to_owned()).collect();
        assert_eq!(skipped, ["b", "c", "d"]);
        assert!(splits.skipped[2].reason.contains(r#""image" or "img""#));

        let path = root.path().join("a.parquet");
        for place in (0..good.len()).step_by(13) {
            let mut flipped = good.clone();
            flipped[place] ^= 1 << (place % 8);
            std::fs::write(&path, flipped).unwrap();
            let paths = std::slice::from_ref(&path);
            let set =
                ParquetImages::open(paths, 1 << 20, &mut RawLabels::default(), &mut Vec::new());
            (0..set.len().min(10)).for_each(|i| drop(set.decode(i)));
        }
    }
}

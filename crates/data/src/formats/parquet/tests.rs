//! Parquet files as people have them, through [`open_parquet`] where possible.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use image::RgbImage;
use parquet::basic::Compression;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use rayon::prelude::*;

use super::labels::METADATA_KEY;
use super::*;
use crate::formats::raw_labels::RawLabels;
use crate::sets::image_set::ImageStore;
use crate::{ImageDataset, Links};

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
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties)).unwrap();
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
        let splits = open_parquet("x", root.path(), Links::Follow).unwrap();
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
    let splits = open_parquet("x", root.path(), Links::Follow).unwrap();
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
    let set = ParquetImages::open(
        &[path],
        root.path(),
        limit,
        &mut RawLabels::default(),
        &mut Vec::new(),
    );
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
        ("d.parquet", file("message s { required int64 label; }", Compression::SNAPPY, &[])),
    ]);
    let splits = open_parquet("x", root.path(), Links::Follow).unwrap();
    assert_eq!(splits.train.len(), 3);
    let skipped: Vec<_> =
        splits.skipped.iter().map(|s| s.path.file_stem().unwrap().to_owned()).collect();
    assert_eq!(skipped, ["b", "c", "d"]);
    let reasons: Vec<_> = splits.skipped.iter().map(|s| &*s.reason).collect();
    let damaged = [
        "the file is cut off: its end is missing",
        "the file is too short for a Parquet file",
        "no column holds the bytes of images or is called image, img or path; the columns are label",
    ];
    assert_eq!(reasons, damaged);

    let path = root.path().join("a.parquet");
    for place in (0..good.len()).step_by(13) {
        let mut flipped = good.clone();
        flipped[place] ^= 1 << (place % 8);
        std::fs::write(&path, flipped).unwrap();
        let paths = std::slice::from_ref(&path);
        let set = ParquetImages::open(
            paths,
            root.path(),
            1 << 20,
            &mut RawLabels::default(),
            &mut Vec::new(),
        );
        (0..set.len().min(10)).for_each(|i| drop(set.decode(i)));
    }
}

/// The values of a column in a row group.
enum Column {
    Bytes(Vec<Option<Vec<u8>>>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
}
use Column::{Bool, Bytes, F64, I32, I64};

/// A file with any columns; a null is one level below a value.
fn table(schema_text: &str, compression: Compression, groups: &[Vec<Column>]) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema_text).unwrap());
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_data_page_row_count_limit(2)
        .set_write_batch_size(2)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .build();
    let mut bytes = Vec::new();
    let mut writer =
        SerializedFileWriter::new(&mut bytes, schema.clone(), Arc::new(properties)).unwrap();
    let most = parquet::schema::types::SchemaDescriptor::new(schema);
    for columns in groups {
        let mut group = writer.next_row_group().unwrap();
        for (place, column) in columns.iter().enumerate() {
            let most = most.column(place).max_def_level();
            let mut out = group.next_column().unwrap().unwrap();
            let all = |rows: usize| vec![most; rows];
            match column {
                Bytes(rows) => {
                    let levels: Vec<i16> =
                        rows.iter().map(|row| most - i16::from(row.is_none())).collect();
                    let values: Vec<ByteArray> =
                        rows.iter().flatten().cloned().map(ByteArray::from).collect();
                    out.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)
                }
                I32(v) => out.typed::<Int32Type>().write_batch(v, Some(&all(v.len())), None),
                I64(v) => out.typed::<Int64Type>().write_batch(v, Some(&all(v.len())), None),
                F64(v) => out.typed::<DoubleType>().write_batch(v, Some(&all(v.len())), None),
                Bool(v) => out.typed::<BoolType>().write_batch(v, Some(&all(v.len())), None),
            }
            .unwrap();
            out.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
    bytes
}

fn pngs(values: impl IntoIterator<Item = u8>) -> Column {
    Bytes(values.into_iter().map(|value| Some(png(value))).collect())
}

fn texts(values: &[&str]) -> Column {
    Bytes(values.iter().map(|text| Some(text.as_bytes().to_vec())).collect())
}

/// A schema of two columns; the second one is left out when it is empty.
fn schema(image: &str, label: &str) -> String {
    format!("message schema {{ {image} {label} }}")
}

/// Rows of two images for each class, so that one of each is held out: what is trained on.
fn open_one(bytes: Vec<u8>) -> Splits {
    open_parquet("x", folder(&[("train.parquet", bytes)]).path(), Links::Follow).unwrap()
}

fn plain(schema_text: &str, columns: Vec<Column>) -> Vec<u8> {
    table(schema_text, Compression::SNAPPY, &[columns])
}

/// Labels of all images, as the names of their classes, in the order of the red of the images.
fn named_labels(splits: &Splits) -> Vec<String> {
    let mut all = Vec::new();
    for set in [Some(&splits.train), splits.test.as_ref()].into_iter().flatten() {
        let name = |label: u32| splits.train.class_names()[label as usize].clone();
        let found = found(&**set).into_iter();
        all.extend(found.map(|(red, label)| (red, label.map_or("-".into(), name))));
    }
    all.sort();
    all.into_iter().map(|(_, name)| name).collect()
}

#[test]
fn every_codec_of_pyarrow_in_both_versions_of_pages() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet");
    for codec in ["zstd", "brotli", "gzip", "lz4", "snappy"] {
        for version in [1, 2] {
            let bytes = std::fs::read(folder.join(format!("{codec}-{version}.parquet"))).unwrap();
            let splits = open_one(bytes);
            let expected: Vec<_> = (0..6).map(|i| (10 * (i as u8 + 1), Some(i))).collect();
            assert_eq!(found(&*splits.train), expected, "{codec} {version}");
            assert!(splits.skipped.is_empty());
        }
    }
}

#[test]
fn a_small_page_does_not_unpack_to_more_than_its_row_group_says() {
    let zeros = Bytes(vec![Some(vec![0; 1 << 20])]);
    let schema_text = schema("optional binary image;", "");
    let mut bytes = table(&schema_text, Compression::GZIP(Default::default()), &[vec![zeros]]);
    // A positive number in Thrift's compact protocol: zigzag, seven bits a byte.
    let size = |n: u32| {
        let (mut n, mut out) = (n * 2, Vec::new());
        while n >= 128 {
            out.push(n as u8 | 128);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    // Behind the pages, the metadata say the size of the column.
    let length = &bytes[bytes.len() - 8..bytes.len() - 4];
    let meta = bytes.len() - 8 - u32::from_le_bytes(length.try_into().unwrap()) as usize;
    let found = ((1 << 20) + 5..(1 << 20) + 200u32).find_map(|n| {
        let old = size(n);
        let at = bytes[meta..].windows(old.len()).position(|w| w == old)?;
        Some((meta + at, old.len()))
    });
    let (at, length) = found.unwrap();
    // As many bytes, so that nothing moves: more of them with nothing in them.
    let mut smaller = size(20_000);
    while smaller.len() < length {
        *smaller.last_mut().unwrap() |= 128;
        smaller.push(0);
    }
    bytes[at..at + length].copy_from_slice(&smaller);
    let root = folder(&[("train.parquet", bytes)]);
    let error = open_parquet("x", root.path(), Links::Follow).err().unwrap().to_string();
    assert!(error.contains("larger than its row group says"), "{error}");
}

#[test]
fn junk_and_null_rows_are_listed_and_the_labels_of_others_stay_right() {
    let mut images: Vec<_> = (0..201).map(|i| Some(png(i as u8))).collect();
    images[50] = Some(b"junk".to_vec());
    images[120] = None;
    let labels = (0..201).map(|i| i % 5).collect();
    let schema_text = schema("optional binary image;", "required int64 label;");
    let splits = open_one(plain(&schema_text, vec![Bytes(images), I64(labels)]));
    let skipped: Vec<_> = splits.skipped.iter().map(|s| s.path.clone()).collect();
    assert_eq!(skipped.len(), 2);
    assert!(skipped[0].ends_with("train.parquet/row 50"));
    assert!(skipped[1].ends_with("train.parquet/row 120"));
    assert_eq!(splits.skipped[1].reason, "the row has no image");
    let test = splits.test.unwrap();
    assert_eq!(splits.train.len() + test.len(), 199);
    for (red, label) in found(&*splits.train).into_iter().chain(found(&*test)) {
        assert_eq!(label, Some(u32::from(red) % 5));
    }
}

#[test]
fn images_are_in_the_column_of_a_known_name_or_in_the_only_one_there_is() {
    for name in ["IMAGE", "Img", "images", "picture", "jpg", "png", "webp", "bytes", "whatever"] {
        for column in [
            format!("required binary {name};"),
            format!("optional group {name} {{ optional binary bytes; }}"),
        ] {
            let bytes = plain(&schema(&column, ""), vec![pngs([1, 2])]);
            assert_eq!(open_one(bytes).train.len(), 2, "{column}");
        }
    }
    // By the order of names, not of columns.
    let two = "required binary data; required binary image;";
    let splits = open_one(plain(&schema(two, ""), vec![pngs([1]), pngs([2])]));
    assert_eq!(found(&*splits.train), [(2, None)]);
    let two = "required binary left; required binary right;";
    let root = folder(&[("a.parquet", plain(&schema(two, ""), vec![pngs([1]), pngs([2])]))]);
    let error = open_parquet("x", root.path(), Links::Follow).err().unwrap().to_string();
    assert!(error.contains("left, right; rename the one with the images to image"), "{error}");
    let none = "required int64 id; required double x;";
    let root =
        folder(&[("a.parquet", plain(&schema(none, ""), vec![I64(vec![1]), F64(vec![1.0])]))]);
    let error = open_parquet("x", root.path(), Links::Follow).err().unwrap().to_string();
    assert!(error.contains("the columns are id, x"), "{error}");
}

#[test]
fn paths_are_followed_inside_of_the_folder_and_nowhere_else() {
    let outer = tempfile::tempdir().unwrap();
    let root = outer.path().join("set");
    std::fs::create_dir_all(root.join("data")).unwrap();
    std::fs::create_dir_all(root.join("pictures")).unwrap();
    std::fs::write(root.join("data/a.png"), png(1)).unwrap();
    std::fs::write(root.join("pictures/b.png"), png(2)).unwrap();
    std::fs::write(outer.path().join("secret.png"), png(9)).unwrap();
    let whole = root.join("pictures/b.png").display().to_string();
    let secret = outer.path().join("secret.png").display().to_string();
    let paths = [
        "a.png",
        "pictures/b.png",
        "../pictures/b.png",
        &whole,
        &secret,
        "../../secret.png",
        "none.png",
        "https://example.org/a.png",
    ];
    #[cfg(unix)]
    std::os::unix::fs::symlink(outer.path().join("secret.png"), root.join("none.png")).unwrap();
    let columns = [
        "required binary path (STRING);",
        "required binary file_name (UTF8);",
        "optional group image { optional binary path (STRING); }",
    ];
    let nulls = "optional group image { optional binary bytes; optional binary path (STRING); }";
    for column in columns.into_iter().chain([nulls]) {
        let mut rows = vec![texts(&paths)];
        if column == nulls {
            rows.insert(0, Bytes(vec![None; paths.len()]));
        }
        let bytes = plain(&schema(column, ""), rows);
        std::fs::write(root.join("data/train.parquet"), bytes).unwrap();
        let splits = open_parquet("x", &root, Links::Follow).unwrap();
        let reds: Vec<u8> = found(&*splits.train).into_iter().map(|(red, _)| red).collect();
        assert_eq!(reds, [1, 2, 2, 2], "{column}");
        let reasons: Vec<_> = splits.skipped.iter().map(|s| &*s.reason).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        let start = "it has no bytes, only a path: ";
        assert!(reasons.iter().all(|reason| reason.starts_with(start)));
        assert!(reasons[..2].iter().all(|r| r.contains("leads out of the data set's folder")));
        assert!(reasons[3].ends_with("is a web address, and nothing is downloaded"));
    }
}

#[test]
fn labels_of_every_type() {
    let image = "required binary image;";
    let three = |label: &str, column: Column| {
        named_labels(&open_one(plain(&schema(image, label), vec![pngs([1, 2, 3]), column])))
    };
    for name in ["label", "Labels", "CLASS", "target", "cls", "category", "fine_label"] {
        let column = format!("required int64 {name};");
        assert_eq!(three(&column, I64(vec![2, 0, -1])), ["2", "0", "-"], "{name}");
    }
    assert_eq!(three("required int32 label (UINT_32);", I32(vec![7, 1, 0])), ["7", "1", "0"]);
    assert_eq!(three("required int32 label (INT_8);", I32(vec![7, 1, -1])), ["7", "1", "-"]);
    let words = texts(&["dog", " cat", "dog"]);
    assert_eq!(three("required binary label (STRING);", words), ["dog", "cat", "dog"]);
    assert_eq!(three("required double label;", F64(vec![1.0, f64::NAN, 0.0])), ["1", "-", "0"]);
    let bools = Bool(vec![true, false, true]);
    assert_eq!(three("required boolean label;", bools), ["true", "false", "true"]);
    // `label` comes first, wherever it stands.
    let two = "required int64 target; required int64 label;";
    let columns = vec![pngs([1, 2]), I64(vec![3, 4]), I64(vec![0, 1])];
    assert_eq!(named_labels(&open_one(plain(&schema(image, two), columns))), ["0", "1"]);
}

#[test]
fn a_label_that_makes_no_sense_costs_only_itself() {
    let schema_text = schema("required binary image;", "required binary label;");
    let long = "x".repeat(300);
    let column = texts(&["a", &long, "b", "a\u{0}", "a"]);
    let splits = open_one(plain(&schema_text, vec![pngs([1, 2, 3, 4, 5]), column]));
    assert_eq!(named_labels(&splits), ["a", "-", "b", "-", "a"]);
    assert_eq!(splits.skipped.len(), 1);
    let reason = &splits.skipped[0].reason;
    assert!(reason.starts_with("2 images are used without their labels: "), "{reason}");
}

#[test]
fn what_is_found_is_said() {
    let image = "required binary image;";
    let labelled = plain(&schema(image, "required int64 CLS;"), vec![pngs([1]), I64(vec![0])]);
    assert_eq!(open_one(labelled).layout.labels, "the column CLS of the Parquet files");
    let other = plain(&schema(image, "required int64 age;"), vec![pngs([1]), I64(vec![0])]);
    let layout = open_one(other).layout;
    assert!(layout.labels.is_empty());
    let said = "no column is called label, labels, class, ";
    assert!(layout.unlabelled.starts_with(said), "{}", layout.unlabelled);
    assert!(layout.unlabelled.contains("the columns are image, age;"), "{}", layout.unlabelled);
    let none = plain(&schema(image, "required int64 label;"), vec![pngs([1]), I64(vec![-1])]);
    assert_eq!(open_one(none).layout.unlabelled, "no row has a label in the column label");
}

#[test]
fn a_damaged_page_costs_its_rows_and_no_others() {
    for codec in [Compression::SNAPPY, Compression::GZIP(Default::default())] {
        let schema_text = schema("required binary image;", "required int64 label;");
        let (images, labels) = (pngs(1..=10), I64((0..10).collect()));
        let other = vec![pngs([11, 12]), I64(vec![1, 2])];
        let mut bytes = table(&schema_text, codec, &[vec![images, labels], other]);
        // Behind the header of the second page, of the third and fourth image; a header holds the
        // pattern twice.
        let pages: Vec<usize> = bytes
            .windows(4)
            .enumerate()
            .filter(|(_, w)| w[0] == 0x15 && w[1] == 0x00 && w[2] == 0x15)
            .map(|(at, _)| at)
            .collect();
        let (start, end) = (pages[2] + 30, pages[4]);
        bytes[start..end].fill(0xff);
        let splits = open_one(bytes);
        let all: Vec<_> = found(&*splits.train).into_iter().map(|(red, _)| red).collect();
        let all: Vec<_> = all
            .into_iter()
            .chain(splits.test.iter().flat_map(|test| found(&**test)).map(|(red, _)| red))
            .collect();
        assert_eq!(all.len(), 10, "{codec:?} {all:?} {:?}", splits.skipped);
        assert!(!all.contains(&3) && !all.contains(&4), "{all:?} {:?}", splits.skipped);
        assert!(splits.skipped[0].path.ends_with("train.parquet/row 2"));
        let reason = &splits.skipped[0].reason;
        assert!(reason.starts_with("row group 0: a page is "), "{reason}");
    }
}

#[test]
fn files_of_different_columns_make_one_set() {
    let one = schema("required binary image;", "required int64 label;");
    let two = schema("required binary target (STRING);", "required binary JPG;");
    let three = schema("required binary img;", "");
    let root = folder(&[
        ("a.parquet", plain(&one, vec![pngs([1]), I64(vec![4])])),
        ("b.parquet", plain(&two, vec![texts(&["4"]), pngs([2])])),
        ("c.parquet", plain(&three, vec![pngs([3])])),
        ("d.parquet", Vec::new()),
        ("e.parquet", b"something else that is long enough".to_vec()),
    ]);
    let splits = open_parquet("x", root.path(), Links::Follow).unwrap();
    assert_eq!(named_labels(&splits), ["4", "4", "-"]);
    assert_eq!(splits.layout.labels, "the columns label and target of the Parquet files");
    let reasons: Vec<_> = splits.skipped.iter().map(|s| &*s.reason).collect();
    assert_eq!(reasons, ["the file is empty", "it is not a Parquet file"]);
}

#[test]
fn each_row_group_is_read_once_by_all_threads_together() {
    let groups: Vec<Vec<Column>> =
        (0..20).map(|g| vec![pngs((0..10).map(|i| g * 10 + i))]).collect();
    let schema_text = schema("required binary image;", "");
    let root = folder(&[("a.parquet", table(&schema_text, Compression::SNAPPY, &groups))]);
    let paths = [root.path().join("a.parquet")];
    assert_eq!(count_images(&paths), 200);
    let set = ParquetImages::open(
        &paths,
        root.path(),
        CACHE_BYTES,
        &mut RawLabels::default(),
        &mut Vec::new(),
    );
    (0..set.len()).into_par_iter().for_each(|index| drop(set.decode(index).unwrap()));
    assert_eq!(set.cache.lock().unwrap().reads, 20);
}

#[test]
fn images_are_counted_where_there_are_bytes() {
    let paths = schema("required binary path (STRING);", "");
    let root = folder(&[
        ("a.parquet", plain(&schema("required binary img;", ""), vec![pngs([1, 2, 3])])),
        ("b.parquet", plain(&paths, vec![texts(&["a.png"])])),
        ("c.parquet", b"PAR1".to_vec()),
    ]);
    let files = ["a", "b", "c", "d"].map(|name| root.path().join(format!("{name}.parquet")));
    assert_eq!(count_images(&files), 3);
}

//! Shards and Parquet files, alone and beside pictures.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use selfsame_data::{FileFormat, ImageDataset, Splits};

use super::corpus::{Corpus, Fate, id, png, write};

/// A shard of labelled samples: those with the numbers of `ids`, each of the class `id % 2`.
pub fn tar(ids: std::ops::Range<u32>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: String, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, data).unwrap();
    };
    for id in ids {
        add(format!("{id:06}.png"), &png(id));
        add(format!("{id:06}.cls"), (id % 2).to_string().as_bytes());
    }
    builder.into_inner().unwrap()
}

/// A file as the Hugging Face hub keeps images; `None` is a null.
pub fn parquet(images: &[Option<Vec<u8>>]) -> Vec<u8> {
    let schema = "message schema {
        optional group image { optional binary bytes; optional binary path (STRING); }
        required int64 label;
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let values: Vec<ByteArray> = images.iter().flatten().cloned().map(ByteArray::from).collect();
    let levels: Vec<i16> = images.iter().map(|i| if i.is_some() { 2 } else { 0 }).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
    let no_paths: Vec<i16> = images.iter().map(|i| i16::from(i.is_some())).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&[], Some(&no_paths), None).unwrap();
    column.close().unwrap();
    let labels: Vec<i64> = (0..images.len() as i64).map(|row| row % 2).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    bytes
}

fn rows(ids: std::ops::Range<u32>) -> Vec<Option<Vec<u8>>> {
    ids.map(|id| Some(png(id))).collect()
}

/// The images of both splits by their pixels; none twice, and each with the label of its number.
fn used(splits: &Splits) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut add = |set: &dyn ImageDataset| {
        for index in 0..set.len() {
            let image = set.image(index).unwrap();
            let id = id(&image).unwrap();
            assert!(found.insert(id), "{id} twice");
            if let Some(label) = set.label(index) {
                assert_eq!(label, id % 2, "{id}");
            }
        }
    };
    add(&*splits.train);
    splits.test.iter().for_each(|test| add(&**test));
    found
}

fn passed_over(splits: &Splits) -> u64 {
    splits.layout.passed_over.iter().map(|over| over.images).sum()
}

#[test]
fn a_copy_of_a_data_set_of_the_hub_with_its_pictures() {
    let mut corpus = Corpus::new();
    let files: [(&str, &[u8]); 7] = [
        ("data/train-00000-of-00002.parquet", &parquet(&rows(0..20))),
        ("data/train-00001-of-00002.parquet", &parquet(&rows(20..40))),
        ("data/test-00000-of-00001.parquet", &parquet(&rows(40..50))),
        ("README.md", b"# A data set"),
        (".gitattributes", b""),
        (".cache/huggingface/1.png", b""),
        ("assets/logo.png", &png(900)),
    ];
    for (path, bytes) in files {
        corpus.bytes(path, bytes);
    }
    corpus.bytes("assets/example.jpg", &png(901));
    let splits = corpus.try_open().unwrap();
    assert_eq!(used(&splits), (0..50).collect());
    assert_eq!((splits.train.len(), splits.test.as_ref().unwrap().len()), (40, 10));
    assert_eq!(splits.layout.format, Some(FileFormat::Parquet));
    assert_eq!(passed_over(&splits), 2, "{:?}", splits.layout.passed_over);
    assert!(splits.skipped.is_empty() && splits.untested().is_none());
}

#[test]
fn shards_beside_a_preview() {
    let corpus = Corpus::new();
    for (path, ids) in
        [("train-000.tar", 0..30), ("train-001.tar", 30..60), ("val-000.tar", 60..70)]
    {
        write(&corpus.at(path), &tar(ids));
    }
    write(&corpus.at("preview.png"), &png(900));
    let splits = corpus.try_open().unwrap();
    assert_eq!(used(&splits), (0..70).collect());
    assert_eq!((splits.train.len(), splits.layout.format), (60, Some(FileFormat::WebDataset)));
    assert_eq!(passed_over(&splits), 1, "{:?}", splits.layout.passed_over);
}

#[test]
fn compressed_shards_are_read() {
    let plain = tar(0..30);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    let zstd = ruzstd::encoding::compress_to_vec(&plain[..], level);
    for (name, bytes) in [
        ("000.tar", &plain),
        ("000.TAR", &plain),
        ("000.tar.gz", &gzip),
        ("000.tgz", &gzip),
        ("000.tar.zst", &zstd),
    ] {
        let corpus = Corpus::new();
        write(&corpus.at("shards").join(name), bytes);
        let splits = corpus.try_open().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(used(&splits), (0..30).collect(), "{name}");
        assert_eq!(splits.layout.format, Some(FileFormat::WebDataset), "{name}");
        assert!(splits.skipped.is_empty(), "{name}: {:?}", splits.skipped);
    }
}

/// Whichever has more images. The pictures, if they are as many.
#[test]
fn more_images_count_when_pictures_lie_beside_shards() {
    for (kind, bytes) in [("000.tar", tar(0..10)), ("0.parquet", parquet(&rows(0..10)))] {
        for pictures in [9, 10, 11] {
            let corpus = Corpus::new();
            write(&corpus.at("packed").join(kind), &bytes);
            for i in 0..pictures {
                write(&corpus.at(&format!("photos/{i}.png")), &png(100 + i));
            }
            let splits = corpus.try_open().unwrap();
            let (expected, over) = match pictures < 10 {
                true => ((0..10).collect(), pictures),
                false => ((100..100 + pictures).collect(), 10),
            };
            assert_eq!(used(&splits), expected, "{kind} {pictures}");
            assert_eq!(passed_over(&splits), u64::from(over), "{kind} {pictures}");
        }
    }
}

#[test]
fn an_archive_beside_the_pictures_that_were_unpacked_from_it() {
    let mut corpus = Corpus::new();
    corpus.images("", 12, Fate::Train(None));
    write(&corpus.at("photos.tar"), &tar(900..912));
    let splits = corpus.try_open().unwrap();
    assert_eq!(used(&splits), (1..13).collect());
    assert_eq!(passed_over(&splits), 12, "{:?}", splits.layout.passed_over);
}

#[test]
fn a_bad_sample_is_named_by_its_shard_and_key() {
    let corpus = Corpus::new();
    let mut bytes = tar(0..30);
    let junk = png(7);
    let place = bytes.windows(junk.len()).position(|window| window == junk).unwrap();
    bytes[place..place + junk.len()].fill(b'x');
    write(&corpus.at("train.tar"), &bytes);
    let splits = corpus.try_open().unwrap();
    assert_eq!(used(&splits), (0..30).filter(|id| *id != 7).collect());
    assert_eq!(splits.skipped.len(), 1, "{:?}", splits.skipped);
    let path = &splits.skipped[0].path;
    assert_eq!(*path, corpus.at("train.tar").join("000007.png"));
}

#[test]
fn junk_and_nulls_in_a_parquet_file_are_named_by_their_rows() {
    let corpus = Corpus::new();
    let mut images = rows(0..30);
    images[7] = None;
    images[8] = Some(b"no image".to_vec());
    images[9] = Some(Vec::new());
    write(&corpus.at("train.parquet"), &parquet(&images));
    let splits = corpus.try_open().unwrap();
    assert_eq!(used(&splits), (0..7).chain(10..30).collect());
    let names: Vec<_> = splits.skipped.iter().map(|skipped| skipped.path.clone()).collect();
    let row = |row| corpus.at("train.parquet").join(format!("row {row}"));
    assert_eq!(names, [row(7), row(8), row(9)]);
    assert!(splits.skipped.iter().all(|skipped| !skipped.reason.is_empty()));
}

#[test]
fn nothing_but_damaged_shards_is_refused_in_one_line() {
    let corpus = Corpus::new();
    write(&corpus.at("train/000.tar"), b"");
    let line = corpus.refusal();
    assert!(line.contains("000.tar") || line.contains("train"), "{line}");
}

//! Files are compared with those of TensorBoard's own writer. They are also read back by an
//! independent reader. It shares only the checksum, which has test values of its own.

use std::fs;

use proptest::prelude::*;

use super::record::masked_crc;
use super::*;

const PNG: &[u8] = include_bytes!("../../tests/tensorboard/image.png");
const WALL_TIME: f64 = 1_700_000_000.25;

/// One field of a message: a number's bits, or a block.
#[derive(Clone, Debug, PartialEq)]
enum Field<'a> {
    Number(u64),
    Block(&'a [u8]),
}

/// The fields of a message, in order.
fn fields(mut message: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut message)),
            1 => Field::Number(u64::from_le_bytes(take(&mut message, 8).try_into().unwrap())),
            2 => {
                let length = varint(&mut message) as usize;
                Field::Block(take(&mut message, length))
            }
            5 => {
                Field::Number(u32::from_le_bytes(take(&mut message, 4).try_into().unwrap()).into())
            }
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, field));
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at(count);
    *bytes = rest;
    taken
}

/// The number of a field, 0 if the message lacks it.
fn number(message: &[u8], field: u64) -> u64 {
    match fields(message).into_iter().find(|(found, _)| *found == field) {
        Some((_, Field::Number(value))) => value,
        None => 0,
        other => panic!("{other:?}"),
    }
}

fn block(message: &[u8], field: u64) -> Option<&[u8]> {
    fields(message).into_iter().find_map(|(found, value)| match value {
        Field::Block(block) if found == field => Some(block),
        _ => None,
    })
}

fn floats(packed: &[u8]) -> Vec<f64> {
    packed.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The records of a file, their checksums checked.
fn records(mut file: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !file.is_empty() {
        let length = take(&mut file, 8);
        assert_eq!(take(&mut file, 4), masked_crc(length).to_le_bytes());
        let data = take(&mut file, u64::from_le_bytes(length.try_into().unwrap()) as usize);
        assert_eq!(take(&mut file, 4), masked_crc(data).to_le_bytes());
        found.push(data);
    }
    found
}

/// The scalars of a file: tag, step, wall time, bits of the value.
fn scalars(file: &[u8]) -> Vec<(String, u64, f64, u32)> {
    let events = records(file).into_iter();
    events
        .filter_map(|event| {
            let value = block(block(event, 5)?, 1)?;
            let tag = String::from_utf8(block(value, 1)?.to_vec()).unwrap();
            let wall_time = f64::from_bits(number(event, 1));
            Some((tag, number(event, 2), wall_time, number(value, 2) as u32))
        })
        .collect()
}

#[test]
fn the_file_is_that_of_tensorboards_own_writer() {
    let dir = tempfile::tempdir().unwrap();
    let at = |step, after| At { step, wall_time: WALL_TIME + after };
    let values: Vec<f32> = (0..1000).map(|i| ((i * 37 % 1001) - 400) as f32 / 64.0).collect();
    let mut events = EventWriter::append(dir.path(), at(0, 0.0)).unwrap();
    events.scalar("train/loss", at(0, 0.0), 0.75).unwrap();
    events.scalar("train/loss", at(1, 1.0), 0.0).unwrap();
    events.scalar("train/loss", at(299, 2.0), f32::INFINITY).unwrap();
    events.histogram("embedding", at(299, 2.0), &values).unwrap();
    events.image_png("views", at(299, 2.0), PNG).unwrap();
    events.text("config/text_summary", at(1 << 40, 2.0), "*ö*\n").unwrap();
    events.flush().unwrap();

    let ours = fs::read(events.path()).unwrap();
    let reference = include_bytes!("../../tests/tensorboard/reference.tfevents");
    assert_eq!(records(&ours), records(reference));
    assert_eq!(ours, reference);
    let name = events.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(name, format!("{PREFIX}1700000000.selfsame.{}", std::process::id()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn scalars_are_read_back(
        written in prop::collection::vec(
            (".{0,20}", 0..=i64::MAX as u64, any::<f64>(), any::<u32>()),
            0..20,
        ),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(dir.path()).unwrap();
        for &(ref tag, step, wall_time, bits) in &written {
            events.scalar(tag, At { step, wall_time }, f32::from_bits(bits)).unwrap();
        }
        let read = scalars(&fs::read(events.path()).unwrap());
        prop_assert_eq!(read, written);
    }

    #[test]
    fn histograms_count_every_finite_value(
        values in prop::collection::vec(any::<f32>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut events = EventWriter::create(dir.path()).unwrap();
        events.histogram("weights", 7, &values).unwrap();
        let file = fs::read(events.path()).unwrap();
        let value = block(block(records(&file)[2], 5).unwrap(), 1).unwrap();
        let counted = block(value, 5).unwrap();
        let finite = values.iter().filter(|value| value.is_finite()).count();
        prop_assert_eq!(f64::from_bits(number(counted, 3)), finite as f64);
        let edges = floats(block(counted, 6).unwrap_or(&[]));
        let counts = floats(block(counted, 7).unwrap_or(&[]));
        prop_assert_eq!(edges.len(), counts.len());
        prop_assert!(edges.is_sorted());
        prop_assert_eq!(counts.iter().sum::<f64>(), finite as f64);
    }
}

/// Names decide the order in which TensorBoard reads, and the clock may have been set back.
#[test]
fn a_resumed_run_goes_on_in_a_later_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(format!("{PREFIX}1800000000.elsewhere.1.0")), b"").unwrap();
    fs::write(dir.path().join(format!("{PREFIX}99999999999999999999.x")), b"").unwrap();
    let at = At { step: 100, wall_time: WALL_TIME };
    let first = EventWriter::append(dir.path(), at).unwrap();
    let second = EventWriter::append(dir.path(), at).unwrap();
    let name = |writer: &EventWriter| writer.path().file_name().unwrap().to_owned();
    assert_eq!(second_of(name(&first).to_str().unwrap()), Some(1_800_000_001));
    assert_eq!(second_of(name(&second).to_str().unwrap()), Some(1_800_000_002));

    let file = fs::read(second.path()).unwrap();
    let start = records(&file)[1];
    assert_eq!(number(start, 2), 100);
    assert_eq!(number(block(start, 7).unwrap(), 1), 1);
}

#[test]
fn names_that_run_out_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = At { step: 0, wall_time: f64::INFINITY };
    let last = EventWriter::append(dir.path(), at).unwrap();
    assert!(last.path().to_str().unwrap().contains(".9999999999."));
    let error = EventWriter::append(dir.path(), at).unwrap_err();
    assert!(matches!(&error, EventError::Io { path, .. } if path == dir.path()), "{error}");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = dir.path().join("file");
    fs::write(&in_the_way, b"").unwrap();
    let inside = in_the_way.join("events");
    let error = EventWriter::create(&inside).unwrap_err();
    assert!(error.to_string().starts_with(&format!("cannot make {}: ", inside.display())));
}

/// As on a full disk: the write failed and left a part of a record.
#[test]
fn after_a_failed_write_the_file_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = EventWriter::create(dir.path()).unwrap();
    let read_only = File::open(events.path()).unwrap();
    let mut writable = std::mem::replace(&mut events.file, read_only);
    let error = events.scalar("loss", 0, 1.0).unwrap_err();
    assert!(
        matches!(&error, EventError::Io { action: "write", path, .. } if path == events.path())
    );

    writable.write_all(&[1, 2, 3]).unwrap();
    events.file = writable;
    events.scalar("loss", 1, 2.0).unwrap();
    events.scalar("loss", 2, 3.0).unwrap();
    let read = scalars(&fs::read(events.path()).unwrap());
    assert_eq!(read.iter().map(|scalar| scalar.1).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn other_images_are_refused_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = EventWriter::create(dir.path()).unwrap();
    let error = events.image_png("views", 0, b"\xff\xd8\xff\xe0").unwrap_err();
    assert_eq!(error.to_string(), "the image \"views\" is not a PNG file");
    assert_eq!(records(&fs::read(events.path()).unwrap()).len(), 2);
}

#[test]
fn a_code_block_ends_where_its_text_does() {
    assert_eq!(code_block("toml", "a = 1\n"), "```toml\na = 1\n```\n");
    assert_eq!(code_block("", "````"), "`````\n````\n`````\n");
}

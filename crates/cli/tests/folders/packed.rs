//! Shards and Parquet files with an image or two that cannot be read.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

/// Of three classes.
pub const CLASSES: usize = 3;

/// A picture that no other one with another number is like.
pub fn picture(number: usize) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let pixel = |x: u32, y: u32| image::Rgb([number as u8 * 4, x as u8 * 20, y as u8 * 25]);
    image::RgbImage::from_fn(12, 10, pixel).write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// A shard of `images`, each with the key of its number in four digits.
pub fn shard(path: &Path, images: &[Vec<u8>]) {
    let mut builder = tar::Builder::new(Vec::new());
    let mut add = |name: String, data: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, data).unwrap();
    };
    for (number, image) in images.iter().enumerate() {
        add(format!("{number:04}.png"), image);
        add(format!("{number:04}.cls"), (number % CLASSES).to_string().as_bytes());
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, builder.into_inner().unwrap()).unwrap();
}

/// A Parquet file with a row for each image; `None` is a null.
pub fn parquet(path: &Path, images: &[Option<Vec<u8>>]) {
    let schema = "message schema { optional binary image; required int64 label; }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::default());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let values: Vec<ByteArray> = images.iter().flatten().cloned().map(ByteArray::from).collect();
    let levels: Vec<i16> = images.iter().map(|image| i16::from(image.is_some())).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
    column.close().unwrap();
    let labels: Vec<i64> = (0..images.len()).map(|row| (row % CLASSES) as i64).collect();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&labels, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

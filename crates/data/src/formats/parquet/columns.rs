//! Which columns hold images and labels.

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::schema::types::{ColumnDescriptor, SchemaDescriptor};

/// Columns of encoded images, in the order of preference.
const IMAGES: [&str; 14] = [
    "image",
    "img",
    "images",
    "picture",
    "photo",
    "jpg",
    "jpeg",
    "png",
    "webp",
    "image_bytes",
    "img_bytes",
    "bytes",
    "data",
    "content",
];
/// Columns of the paths of images, likewise.
const PATHS: [&str; 13] = [
    "image",
    "img",
    "images",
    "picture",
    "photo",
    "image_path",
    "path",
    "file_path",
    "filepath",
    "file_name",
    "filename",
    "file",
    "image_file",
];
/// Columns of labels, likewise.
pub(super) const LABELS: [&str; 9] = [
    "label",
    "labels",
    "class",
    "cls",
    "target",
    "category",
    "fine_label",
    "class_id",
    "class_name",
];
/// The most columns that a message names.
const MOST_NAMED: usize = 20;

/// The leaf columns of a file's images, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Images {
    /// Encoded.
    pub(super) bytes: Option<usize>,
    /// Where their files are.
    pub(super) path: Option<usize>,
}

pub(super) fn is_text(column: &ColumnDescriptor) -> bool {
    matches!(column.logical_type_ref(), Some(LogicalType::String))
        || column.converted_type() == ConvertedType::UTF8
}

/// A leaf with at most one value a row.
fn leaf(schema: &SchemaDescriptor, index: usize) -> Option<(&ColumnDescriptor, &[String])> {
    let column = schema.columns().get(index)?;
    let binary = column.physical_type() == Type::BYTE_ARRAY && column.max_rep_level() == 0;
    binary.then(|| (&**column, column.path().parts()))
}

/// The columns of images.
///
/// # Errors
/// Why there are none, with the columns that the file has.
pub(super) fn images(schema: &SchemaDescriptor) -> Result<Images, String> {
    let leaves = || {
        (0..schema.num_columns()).filter_map(|i| leaf(schema, i).map(|(c, parts)| (i, c, parts)))
    };
    let within = |top: &str, name: &str| {
        let mut all = leaves().filter(|(_, _, parts)| parts.len() == 2 && parts[0] == top);
        all.find(|(_, _, parts)| parts[1].eq_ignore_ascii_case(name)).map(|(i, ..)| i)
    };
    // By name, with the column of paths that belongs to it.
    let bytes: Vec<(&str, Images)> = leaves()
        .filter_map(|(index, column, parts)| match parts {
            [name] if !is_text(column) => {
                Some((&**name, Images { bytes: Some(index), path: None }))
            }
            [name, part] if part.eq_ignore_ascii_case("bytes") => {
                Some((&**name, Images { bytes: Some(index), path: within(name, "path") }))
            }
            _ => None,
        })
        .collect();
    if let Some(images) = known(&bytes, &IMAGES) {
        return Ok(images);
    }
    if let [(_, images)] = bytes[..] {
        return Ok(images);
    }
    let paths: Vec<(&str, Images)> = leaves()
        .filter_map(|(index, column, parts)| match parts {
            [name] if is_text(column) => Some((&**name, index)),
            [name, part] if part.eq_ignore_ascii_case("path") => Some((&**name, index)),
            _ => None,
        })
        .map(|(name, index)| (name, Images { bytes: None, path: Some(index) }))
        .collect();
    if let Some(images) = known(&paths, &PATHS) {
        return Ok(images);
    }
    let there = names(schema);
    Err(match bytes.is_empty() {
        true => format!(
            "no column holds the bytes of images or is called image, img or path; the columns are \
             {there}"
        ),
        false => {
            let several: Vec<&str> = bytes.iter().map(|(name, _)| *name).collect();
            format!(
                "several columns hold bytes, and none is called image or img: {}; rename the one \
                 with the images to image",
                list(&several)
            )
        }
    })
}

/// The first of the columns by the order of `names`.
fn known<T: Copy>(columns: &[(&str, T)], names: &[&str]) -> Option<T> {
    let by_name = |name: &&str| columns.iter().find(|(n, _)| n.trim().eq_ignore_ascii_case(name));
    names.iter().find_map(by_name).map(|(_, column)| *column)
}

/// The column of labels. Lists count as well, since some sets have lists of one label.
pub(super) fn labels(schema: &SchemaDescriptor) -> Option<usize> {
    let fit = |column: &ColumnDescriptor| {
        let parts = column.path().parts().len();
        let list = column.max_rep_level() == 1 && (2..=3).contains(&parts);
        (list || column.max_rep_level() == 0 && parts == 1)
            && !matches!(column.physical_type(), Type::INT96 | Type::FIXED_LEN_BYTE_ARRAY)
    };
    let leaves: Vec<(&str, usize)> = schema
        .columns()
        .iter()
        .enumerate()
        .filter(|(_, column)| fit(column))
        .map(|(index, column)| (top(column), index))
        .collect();
    known(&leaves, &LABELS)
}

/// The name of the column that a leaf belongs to.
pub(super) fn top(column: &ColumnDescriptor) -> &str {
    column.path().parts().first().map_or("", String::as_str)
}

/// The names of all columns, for a reason.
pub(super) fn names(schema: &SchemaDescriptor) -> String {
    list(&schema.root_schema().get_fields().iter().map(|field| field.name()).collect::<Vec<_>>())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    let short = |name: &&str| name.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
    let mut text = names.iter().take(MOST_NAMED).map(short).collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMED {
        text += &format!(" and {} more", names.len() - MOST_NAMED);
    }
    text
}

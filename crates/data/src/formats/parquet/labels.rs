//! The labels of a row group, from a column of any type.

use std::path::Path;

use parquet::basic::{ConvertedType, LogicalType, Type};
use parquet::data_type::{BoolType, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::file::metadata::FileMetaData;
use parquet::schema::types::ColumnDescriptor;

use super::columns::top;
use super::file::{Cell, Chunk, ParquetFile};
use crate::formats::raw_labels::{MAX_CLASSES, RawLabels};

/// The key of the hub's metadata about columns.
pub(super) const METADATA_KEY: &str = "huggingface";
/// Whole numbers up to this are exact in a float.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// Labels that make no sense. Their images are used without them.
#[derive(Default)]
pub(super) struct Refused {
    count: u64,
    first: Option<String>,
}

impl Refused {
    pub(super) fn add(&mut self, count: u64, reason: impl FnOnce() -> String) {
        if count > 0 {
            self.count += count;
            self.first.get_or_insert_with(reason);
        }
    }

    /// In words, if there are any.
    pub(super) fn reason(self) -> Option<String> {
        let first = self.first?;
        Some(match self.count {
            1 => format!("1 image is used without its label: {first}"),
            n => format!("{n} images are used without their labels: {first}"),
        })
    }
}

/// The text of a label, or why it is not one. `None` stands for no label.
type Text = Result<Option<String>, String>;

/// The labels of a row group, one for each row.
pub(super) fn read(
    path: &Path,
    chunk: &Chunk,
    raw: &mut RawLabels,
    refused: &mut Refused,
) -> Vec<Option<u32>> {
    let unsigned = is_unsigned(chunk.column());
    let (cells, damage): (Vec<Cell<Text>>, Option<String>) = match chunk.physical_type() {
        Type::BOOLEAN => chunk.values::<BoolType, _>(path, |v| whole(v)),
        Type::INT32 if unsigned => chunk.values::<Int32Type, _>(path, |v| whole(v.cast_unsigned())),
        Type::INT32 => chunk.values::<Int32Type, _>(path, |v| whole(v)),
        Type::INT64 if unsigned => chunk.values::<Int64Type, _>(path, |v| whole(v.cast_unsigned())),
        Type::INT64 => chunk.values::<Int64Type, _>(path, |v| whole(v)),
        Type::FLOAT => chunk.values::<FloatType, _>(path, |v| float(f64::from(*v))),
        Type::DOUBLE => chunk.values::<DoubleType, _>(path, |v| float(*v)),
        _ => chunk.values::<ByteArrayType, _>(path, |v| match str::from_utf8(v.data()) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("a label is not text".into()),
        }),
    };
    let mut damaged = 0;
    let mut label = |cell: Cell<Text>| match cell {
        Cell::Value(text) => {
            let number = text.and_then(|text| text.map_or(Ok(None), |text| raw.number(&text)));
            number.unwrap_or_else(|reason| {
                refused.add(1, || reason);
                None
            })
        }
        Cell::Several => {
            refused.add(1, || "it is a list of several labels".into());
            None
        }
        Cell::Damaged => {
            damaged += 1;
            None
        }
        Cell::Null => None,
    };
    let labels = cells.into_iter().map(&mut label).collect();
    refused.add(damaged, || damage.unwrap_or_else(|| "they are damaged".into()));
    labels
}

fn whole(value: impl ToString) -> Text {
    Ok(Some(value.to_string()))
}

fn float(value: f64) -> Text {
    match value {
        _ if value.is_nan() => Ok(None),
        _ if value.fract() == 0.0 && value.abs() <= MAX_WHOLE => whole(value as i64),
        _ if value.is_finite() => whole(value),
        _ => Err("infinity is no label".into()),
    }
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
    matches!(column.converted_type(), UINT_8 | UINT_16 | UINT_32 | UINT_64)
        || matches!(column.logical_type_ref(), Some(LogicalType::Integer(i)) if !i.is_signed)
}

/// The class names of the hub's metadata. None if they are missing or make no sense.
pub(super) fn class_names(file: &ParquetFile) -> Vec<String> {
    let names = || -> Option<Vec<String>> {
        let metadata: &FileMetaData = file.metadata();
        let entry =
            metadata.key_value_metadata()?.iter().find(|entry| entry.key == METADATA_KEY)?;
        let json: serde_json::Value = serde_json::from_str(entry.value.as_ref()?).ok()?;
        let column = metadata.schema_descr().columns().get(file.labels?)?;
        let feature = json.get("info")?.get("features")?.get(top(column))?;
        // In a list it is one level down.
        let names = feature.get("names").or_else(|| feature.get("feature")?.get("names"))?;
        names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    names().filter(|names| names.len() <= MAX_CLASSES as usize).unwrap_or_default()
}

//! Why a Parquet file cannot be read, in plain words.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::errors::ParquetError;

/// Turns a panic into an error: the Parquet crate panics on some damaged files.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err("it is damaged".into()))
}

pub(super) fn of_io(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "the file is not there".into(),
        ErrorKind::PermissionDenied => "there is no permission to read the file".into(),
        ErrorKind::UnexpectedEof => "the file is cut off".into(),
        ErrorKind::IsADirectory => "it is a folder".into(),
        _ => format!("the file cannot be read: {error}"),
    }
}

/// Of the pages of a column.
pub(super) fn of_pages(error: &ParquetError) -> String {
    match error {
        ParquetError::External(e) => match e.downcast_ref::<std::io::Error>() {
            Some(error) => of_io(error),
            None => "a page is damaged".into(),
        },
        ParquetError::EOF(_) => "a page is cut off".into(),
        ParquetError::NYI(_) => "a page is written in a way that is not read".into(),
        // Our own words.
        ParquetError::General(words)
            if words.starts_with("a page ") || words.starts_with("its ") =>
        {
            words.clone()
        }
        _ => "a page is damaged".into(),
    }
}

/// Why a file is not a Parquet file, as far as its two ends tell.
pub(super) fn of_file(file: &mut File) -> String {
    let ends = || -> std::io::Result<(u64, [u8; 4], [u8; 8])> {
        let (mut head, mut tail) = ([0; 4], [0; 8]);
        let bytes = file.seek(SeekFrom::End(0))?;
        if bytes >= 12 {
            file.rewind()?;
            file.read_exact(&mut head)?;
            file.seek(SeekFrom::End(-8))?;
            file.read_exact(&mut tail)?;
        }
        Ok((bytes, head, tail))
    };
    let (bytes, head, tail) = match { ends }() {
        Ok(ends) => ends,
        Err(error) => return of_io(&error),
    };
    let words = match (&head, &tail[4..]) {
        _ if bytes == 0 => "the file is empty",
        _ if bytes < 12 => "the file is too short for a Parquet file",
        (b"PARE", _) | (_, b"PARE") => "the file is encrypted",
        (b"PAR1", b"PAR1") => "the description at the end of the file is damaged",
        (b"PAR1", _) => "the file is cut off: its end is missing",
        _ => "it is not a Parquet file",
    };
    words.into()
}

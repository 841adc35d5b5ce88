//! A file from a folder on this machine.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use super::{DownloadEvent, DownloadOptions, Wanted};
use crate::error::FetchError;

/// Copies the file of that name. The copy is checked and unpacked, so nobody can change it in
/// between.
pub(super) fn copy(
    file: &Wanted<'_>,
    folder: &Path,
    options: &DownloadOptions,
    progress: &mut dyn FnMut(DownloadEvent<'_>),
) -> Result<(), FetchError> {
    let source = folder.join(file.name);
    let mut from = File::open(&source).map_err(FetchError::file(&source))?;
    let found = from.metadata().map_err(FetchError::file(&source))?.len();
    if let Some(expected) = file.manifest.bytes.filter(|expected| *expected != found) {
        return Err(FetchError::Size { expected, found });
    }
    let limit = file.limit(options);
    // Not `.part`: a later download may continue such a file.
    let copy = file.path.with_file_name(format!("{}.copy", file.name));
    let mut to = File::create(&copy).map_err(FetchError::file(&copy))?;
    let mut buffer = vec![0; 1 << 18];
    let mut done = 0;
    loop {
        let read = from.read(&mut buffer).map_err(FetchError::file(&source))?;
        if read == 0 {
            break;
        }
        done += read as u64;
        if done > limit {
            let _ = std::fs::remove_file(&copy);
            return Err(FetchError::TooLarge { limit });
        }
        to.write_all(&buffer[..read]).map_err(FetchError::file(&copy))?;
        progress(DownloadEvent::Bytes { file: file.name, done, total: Some(found) });
    }
    drop(to);
    file.check(&copy).inspect_err(|_| {
        let _ = std::fs::remove_file(&copy);
    })?;
    std::fs::rename(&copy, &file.path).map_err(FetchError::file(&file.path))
}

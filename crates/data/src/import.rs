//! A copy of somebody's images under the data sets' folder.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tar::{Archive, EntryType};

use crate::DataError;

/// Files and folders in one import.
const MAX_ENTRIES: u64 = 20_000_000;
/// Bytes that one import may unpack to.
const MAX_BYTES: u64 = 1 << 40;

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportReport {
    /// Where the files are now.
    pub folder: PathBuf,
    /// Files copied.
    pub files: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Links and special files that were left out.
    pub left_out: u64,
}

/// Copies a folder, or unpacks a `.tar`, `.tar.gz`, `.tgz` or `.tar.zst` archive, to `root/name`.
///
/// Everything goes to a temporary folder first, which is renamed when it is whole. Links are
/// neither followed nor made, and an entry that points out of the folder ends the import.
///
/// # Errors
/// A name that is not `[a-z0-9-]+` or is taken, an unreadable source, a hostile archive.
pub fn import(source: &Path, root: &Path, name: &str) -> Result<ImportReport, DataError> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.starts_with('-') || !name.chars().all(plain) {
        let reason = "lower-case letters, digits and dashes make a name";
        return Err(DataError::Request(format!("{name:?} cannot name a data set: {reason}")));
    }
    let folder = root.join(name);
    if folder.exists() {
        let folder = folder.display();
        return Err(DataError::Request(format!(
            "{folder} exists already; remove it or choose another name"
        )));
    }
    let kind = std::fs::metadata(source).map_err(DataError::io("read", source))?;
    let staging = tempfile::Builder::new()
        .prefix(".import-")
        .tempdir_in(root)
        .map_err(DataError::io("write to", root))?;
    let mut target =
        Target { folder: staging.path().to_owned(), files: 0, bytes: 0, left_out: 0, entries: 0 };
    if kind.is_dir() {
        copy_folder(source, Path::new(""), &mut target)?;
    } else {
        unpack(source, &mut target)?;
    }
    if target.files == 0 {
        return Err(DataError::NoImages { path: source.to_owned(), detail: String::new() });
    }
    std::fs::rename(staging.path(), &folder).map_err(DataError::io("move files to", &folder))?;
    // The name it would be removed by no longer exists.
    let _ = staging.keep();
    Ok(ImportReport { folder, files: target.files, bytes: target.bytes, left_out: target.left_out })
}

struct Target {
    folder: PathBuf,
    files: u64,
    bytes: u64,
    left_out: u64,
    entries: u64,
}

impl Target {
    fn count_entry(&mut self, source: &Path) -> Result<(), DataError> {
        self.entries += 1;
        if self.entries > MAX_ENTRIES {
            return Err(DataError::format(source, format!("more than {MAX_ENTRIES} entries")));
        }
        Ok(())
    }

    fn write(
        &mut self,
        relative: &Path,
        from: &mut dyn Read,
        source: &Path,
    ) -> Result<(), DataError> {
        let path = self.folder.join(relative);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(DataError::io("make", parent))?;
        }
        let file = File::create_new(&path).map_err(DataError::io("write", &path))?;
        let mut file = BufWriter::new(file);
        // One byte beyond what is left tells an honest end from a cut one.
        let left = MAX_BYTES - self.bytes;
        let copied = std::io::copy(&mut from.take(left + 1), &mut file)
            .and_then(|n| file.flush().map(|()| n))
            .map_err(|e| DataError::format(source, format!("{}: {e}", relative.display())))?;
        if copied > left {
            return Err(DataError::format(source, format!("more than {MAX_BYTES} bytes")));
        }
        self.bytes += copied;
        self.files += 1;
        Ok(())
    }
}

fn copy_folder(source: &Path, relative: &Path, target: &mut Target) -> Result<(), DataError> {
    let folder = source.join(relative);
    for entry in std::fs::read_dir(&folder).map_err(DataError::io("read", &folder))? {
        let entry = entry.map_err(DataError::io("read", &folder))?;
        target.count_entry(source)?;
        let relative = relative.join(entry.file_name());
        let kind = entry.file_type().map_err(DataError::io("read", &folder))?;
        if kind.is_dir() {
            copy_folder(source, &relative, target)?;
        } else if kind.is_file() {
            let path = entry.path();
            let mut file = File::open(&path).map_err(DataError::io("open", &path))?;
            target.write(&relative, &mut file, source)?;
        } else {
            target.left_out += 1;
        }
    }
    Ok(())
}

fn unpack(source: &Path, target: &mut Target) -> Result<(), DataError> {
    let file = File::open(source).map_err(DataError::io("open", source))?;
    let file = BufReader::with_capacity(1 << 20, file);
    let name = source.to_string_lossy();
    let reader: Box<dyn Read> = if name.ends_with(".tar") {
        Box::new(file)
    } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
        Box::new(GzDecoder::new(file))
    } else if name.ends_with(".tar.zst") {
        let decoder = StreamingDecoder::new(file);
        Box::new(decoder.map_err(|e| DataError::format(source, e.to_string()))?)
    } else {
        let reason = "neither a folder nor a .tar, .tar.gz, .tgz or .tar.zst archive";
        return Err(DataError::format(source, reason));
    };
    let damaged = |e: std::io::Error| DataError::format(source, format!("damaged archive: {e}"));
    let mut archive = Archive::new(reader);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        target.count_entry(source)?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                let path = entry.path().map_err(damaged)?;
                let relative = inside(&path).ok_or_else(|| {
                    let reason = format!("{} points out of the archive", path.display());
                    DataError::format(source, reason)
                })?;
                target.write(&relative, &mut entry, source)?;
            }
            EntryType::Directory => {}
            _ => target.left_out += 1,
        }
    }
    Ok(())
}

/// The path if it stays where it is unpacked.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (clean != Path::new("")).then_some(clean)
}

#[cfg(test)]
mod tests {
    use tar::{Builder, Header};

    use super::*;

    /// An archive of regular files, with names that `tar` itself would refuse to write.
    fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (name, kind, bytes) in entries {
            let mut header = Header::new_old();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(bytes.len() as u64);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
            }
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn import_bytes(root: &Path, bytes: &[u8]) -> Result<ImportReport, DataError> {
        let path = root.join("source.tar");
        std::fs::write(&path, bytes).unwrap();
        let sets = root.join("sets");
        std::fs::create_dir_all(&sets).unwrap();
        import(&path, &sets, "mine")
    }

    #[test]
    fn an_archive_is_unpacked_whole_and_links_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        let bytes = archive(&[
            ("a/", EntryType::Directory, b""),
            ("./a/one.png", EntryType::Regular, b"1"),
            ("a/link", EntryType::Symlink, b""),
            ("a/hard", EntryType::Link, b""),
            ("b/two.png", EntryType::Regular, b"22"),
        ]);
        let report = import_bytes(root.path(), &bytes).unwrap();
        assert_eq!((report.files, report.bytes, report.left_out), (2, 3, 2));
        let mine = root.path().join("sets/mine");
        assert_eq!(std::fs::read(mine.join("b/two.png")).unwrap(), b"22");
        assert!(!mine.join("a/link").exists() && !mine.join("a/hard").exists());
        // A second import must not touch the first.
        let error = import_bytes(root.path(), &bytes).unwrap_err().to_string();
        assert!(error.contains("exists already"), "{error}");
    }

    #[test]
    fn nothing_is_written_outside_and_a_failed_import_leaves_nothing() {
        for name in ["../evil", "a/../../evil", "/tmp/evil-absolute"] {
            let root = tempfile::tempdir().unwrap();
            let entries =
                [("ok.png", EntryType::Regular, &b"1"[..]), (name, EntryType::Regular, b"x")];
            let error = import_bytes(root.path(), &archive(&entries)).unwrap_err().to_string();
            assert!(error.contains("points out of the archive"), "{error}");
            assert!(!root.path().join("evil").exists());
            assert_eq!(std::fs::read_dir(root.path().join("sets")).unwrap().count(), 0);
        }
    }

    #[test]
    fn truncated_archives_and_bad_names_are_errors() {
        let root = tempfile::tempdir().unwrap();
        let bytes = archive(&[("a.png", EntryType::Regular, &[7; 3000])]);
        assert!(import_bytes(root.path(), &bytes[..1500]).is_err());
        assert!(import_bytes(root.path(), &bytes[..100]).is_err());
        for name in ["", "..", "A", "a/b", "-x"] {
            assert!(import(root.path(), root.path(), name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_folder_is_copied() {
        let root = tempfile::tempdir().unwrap();
        let source = root.path().join("source");
        std::fs::create_dir_all(source.join("x")).unwrap();
        std::fs::write(source.join("x/1.png"), b"123").unwrap();
        let sets = root.path().join("sets");
        std::fs::create_dir(&sets).unwrap();
        let report = import(&source, &sets, "copy").unwrap();
        assert_eq!((report.files, report.bytes), (1, 3));
        assert!(sets.join("copy/x/1.png").is_file());
    }
}

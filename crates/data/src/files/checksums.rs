//! `SHA256SUMS`, the list for `sha256sum -c` in every data set's folder.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::DataError;

/// The file's name, at the root of a data set's folder.
pub(crate) const SUMS_FILE: &str = "SHA256SUMS";
/// The largest list of sums, which is read whole. Lines for 20 million files take less.
const MAX_LIST_BYTES: u64 = 4 << 30;

/// A SHA-256.
pub(crate) type Sum = [u8; 32];

/// A writer that hashes what goes through it.
pub(crate) struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Hashing<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new() }
    }

    pub(crate) fn finish(mut self) -> io::Result<Sum> {
        self.inner.flush()?;
        Ok(self.hash.finalize().into())
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The SHA-256 of a file.
pub(crate) fn sum_of(path: &Path) -> io::Result<Sum> {
    let mut sink = Hashing::new(io::sink());
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer)? {
            0 => return sink.finish(),
            read => sink.write_all(&buffer[..read])?,
        }
    }
}

pub(crate) fn to_hex(sum: &Sum) -> String {
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// 64 hexadecimal digits of either case.
pub(crate) fn from_hex(digits: &[u8]) -> Option<Sum> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    if digits.len() != 64 {
        return None;
    }
    let mut sum = [0; 32];
    for (byte, pair) in sum.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(sum)
}

/// The path, if it stays inside of the folder.
pub(crate) fn inside(path: &Path) -> Option<PathBuf> {
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

/// Writes `folder/SHA256SUMS`, sorted by path.
pub(crate) fn write_sums(folder: &Path, sums: &mut [(PathBuf, Sum)]) -> Result<(), DataError> {
    sums.sort();
    let path = folder.join(SUMS_FILE);
    let file = File::create_new(&path).map_err(DataError::io("write", &path))?;
    let mut file = io::BufWriter::new(file);
    let mut write_all = || -> io::Result<()> {
        for (name, sum) in &*sums {
            file.write_all(&line(name, sum))?;
        }
        file.flush()
    };
    write_all().map_err(DataError::io("write", &path))
}

/// The sums of a folder, or `None` if it has no `SHA256SUMS`.
pub(crate) fn read_sums(folder: &Path) -> Result<Option<Vec<(PathBuf, Sum)>>, DataError> {
    let path = folder.join(SUMS_FILE);
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(DataError::io("read", &path))?,
    };
    let mut text = Vec::new();
    file.take(MAX_LIST_BYTES).read_to_end(&mut text).map_err(DataError::io("read", &path))?;
    parse(&text, &path).map(Some)
}

/// The lines of a `SHA256SUMS`. Errors name `path`.
pub(crate) fn parse(text: &[u8], path: &Path) -> Result<Vec<(PathBuf, Sum)>, DataError> {
    let lines = text.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    let parse = |(index, line): (usize, &[u8])| {
        let reason = || format!("line {} is not `SHA-256  PATH` with a path in here", index + 1);
        parse_line(line).ok_or_else(|| DataError::format(path, reason()))
    };
    lines.map(parse).collect()
}

/// A line. A name with a backslash or a line break is marked and escaped, as in coreutils.
fn line(name: &Path, sum: &Sum) -> Vec<u8> {
    let mut escaped = Vec::new();
    let name = name_bytes(name.as_os_str());
    for byte in &name {
        match byte {
            b'\\' => escaped.extend(b"\\\\"),
            b'\n' => escaped.extend(b"\\n"),
            b'\r' => escaped.extend(b"\\r"),
            other => escaped.push(*other),
        }
    }
    let mark: &[u8] = if escaped == name { b"" } else { b"\\" };
    [mark, to_hex(sum).as_bytes(), b"  ", &escaped, b"\n"].concat()
}

fn parse_line(line: &[u8]) -> Option<(PathBuf, Sum)> {
    let (escaped, line) = match line.strip_prefix(b"\\") {
        Some(rest) => (true, rest),
        None => (false, line),
    };
    let (digits, rest) = line.split_at_checked(64)?;
    let name = rest.strip_prefix(b"  ").or_else(|| rest.strip_prefix(b" *"))?;
    let mut plain = Vec::with_capacity(name.len());
    let mut bytes = name.iter();
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'\\' if escaped => match bytes.next()? {
                b'\\' => b'\\',
                b'n' => b'\n',
                b'r' => b'\r',
                _ => return None,
            },
            other => *other,
        });
    }
    Some((inside(Path::new(&os_name(plain)?))?, from_hex(digits)?))
}

#[cfg(unix)]
fn name_bytes(name: &OsStr) -> Vec<u8> {
    std::os::unix::ffi::OsStrExt::as_bytes(name).to_owned()
}

#[cfg(unix)]
fn os_name(bytes: Vec<u8>) -> Option<OsString> {
    Some(std::os::unix::ffi::OsStringExt::from_vec(bytes))
}

#[cfg(not(unix))]
fn name_bytes(name: &OsStr) -> Vec<u8> {
    // `sha256sum` writes forward slashes everywhere.
    name.to_string_lossy().replace('\\', "/").into_bytes()
}

#[cfg(not(unix))]
fn os_name(bytes: Vec<u8>) -> Option<OsString> {
    String::from_utf8(bytes).ok().map(OsString::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_known_sum_in_the_format_of_sha256sum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.txt");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(to_hex(&sum_of(&path).unwrap()), abc);
        let mut sums = vec![("b.txt".into(), sum_of(&path).unwrap()), ("a/x y".into(), [0; 32])];
        write_sums(folder.path(), &mut sums).unwrap();
        let text = std::fs::read_to_string(folder.path().join(SUMS_FILE)).unwrap();
        assert_eq!(text, format!("{}  a/x y\n{abc}  b.txt\n", "0".repeat(64)));
        assert_eq!(read_sums(folder.path()).unwrap().unwrap(), sums);
    }

    #[test]
    fn lines_that_point_elsewhere_or_make_no_sense_are_errors() {
        let zeros = "0".repeat(64);
        let bad = [
            format!("{zeros}  ../x"),
            format!("{zeros}  /x"),
            format!("{zeros}  "),
            format!("{zeros} x"),
            format!("\\{zeros}  a\\q"),
            format!("{}g  x", &zeros[1..]),
            "short  x".into(),
        ];
        for line in bad {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(SUMS_FILE), &line).unwrap();
            let error = read_sums(folder.path()).unwrap_err().to_string();
            assert!(error.contains("line 1"), "{line}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_name_comes_back(name in "[^/\0]{1,12}", sum: [u8; 32]) {
            prop_assume!(name != "." && name != "..");
            let written = line(Path::new(&name), &sum);
            prop_assert_eq!(written.iter().filter(|b| **b == b'\n').count(), 1);
            let parsed = parse_line(written.strip_suffix(b"\n").unwrap());
            prop_assert_eq!(parsed, Some((PathBuf::from(name), sum)));
        }

        #[test]
        fn no_line_panics(line: Vec<u8>) {
            let _ = parse_line(&line);
        }
    }
}

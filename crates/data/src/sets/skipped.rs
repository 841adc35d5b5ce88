//! Files that were left out.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use serde::Serialize;

/// A file that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The file.
    pub path: PathBuf,
    /// The decoder's words.
    pub reason: String,
}

/// Writes one JSON object a line, `{"path": …, "reason": …}`. Bytes of a path that are not Unicode
/// become the replacement character.
///
/// # Errors
/// Those of `out`.
pub fn write_skipped(skipped: &[Skipped], out: impl Write) -> std::io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        path: &'a str,
        reason: &'a str,
    }
    let mut out = BufWriter::new(out);
    for Skipped { path, reason } in skipped {
        serde_json::to_writer(&mut out, &Line { path: &path.to_string_lossy(), reason })?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn every_file_is_one_line_of_json_whatever_its_name() {
        let odd: std::ffi::OsString =
            std::os::unix::ffi::OsStringExt::from_vec(b"a\xff\n\".jpg".to_vec());
        let odd = Skipped { path: PathBuf::from(odd), reason: "é".into() };
        let plain = Skipped { path: "b/c.png".into(), reason: "cut\noff".into() };
        let mut out = Vec::new();
        write_skipped(&[odd, plain], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = "{\"path\":\"a\u{fffd}\\n\\\".jpg\",\"reason\":\"é\"}\n\
                        {\"path\":\"b/c.png\",\"reason\":\"cut\\noff\"}\n";
        assert_eq!(text, expected);
    }
}

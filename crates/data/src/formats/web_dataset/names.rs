//! What the name of an entry says: its sample, and its part of the sample.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::formats::folder::walk::is_image;

/// The part of a sample that an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Image,
    /// `.cls`.
    Label,
    /// `.json`, which may hold a label.
    Json,
}

/// The name of an entry, in parts: `a/b.c` is the key and `a/b.c.d` the stem of `a/b.c.d.png`, if
/// `b` has no dot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Up to the first dot after the last slash: WebDataset's name for the sample.
    pub(super) key: &'a [u8],
    /// Up to the last dot.
    pub(super) stem: &'a [u8],
    pub(super) role: Role,
}

impl<'a> Name<'a> {
    /// `None` for hidden entries, leftovers of archives, and anything but images and labels.
    pub(super) fn of(name: &'a [u8]) -> Option<Self> {
        let name = plain(name);
        let hidden = |part: &[u8]| {
            part == b"__MACOSX" || part.starts_with(b".") && part != b"." && part != b".."
        };
        if name.split(|b| *b == b'/').any(hidden) {
            return None;
        }
        let base = name.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
        let dot = |place: Option<usize>| place.map(|place| base + place);
        let first = dot(name[base..].iter().position(|b| *b == b'.'))?;
        let last = dot(name[base..].iter().rposition(|b| *b == b'.'))?;
        let role = role(std::str::from_utf8(&name[last + 1..]).ok()?)?;
        Some(Self { key: &name[..first], stem: &name[..last], role })
    }

    /// Between key and stem: `depth` in `0.depth.png`.
    pub(super) fn middle(&self) -> Option<&'a [u8]> {
        (self.stem.len() > self.key.len()).then(|| &self.stem[self.key.len() + 1..])
    }
}

fn role(extension: &str) -> Option<Role> {
    if extension.eq_ignore_ascii_case("cls") {
        Some(Role::Label)
    } else if extension.eq_ignore_ascii_case("json") {
        Some(Role::Json)
    } else {
        is_image(OsStr::new(&format!("x.{extension}"))).then_some(Role::Image)
    }
}

/// Whether the middle of a name counts samples: `7`, `v1.5`, `v2`; not `depth` or `mask16`.
pub(super) fn is_numbered(middle: &[u8]) -> bool {
    middle.split(|b| *b == b'.').any(|part| {
        let digits = part.strip_prefix(b"v").unwrap_or(part);
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
    })
}

/// Without the `./` and `/` that some programs begin names with.
fn plain(mut name: &[u8]) -> &[u8] {
    while let Some(rest) = name.strip_prefix(b"./").or_else(|| name.strip_prefix(b"/")) {
        name = rest;
    }
    name
}

/// An entry's name for people: `SHARD.tar/KEY.EXTENSION`. The archive may be hostile, so bytes that
/// control a terminal are replaced.
pub(super) fn place_in(shard: &Path, name: &[u8]) -> PathBuf {
    let name = String::from_utf8_lossy(plain(name));
    let name = name.replace(char::is_control, "\u{fffd}");
    // Joined as text: an absolute path would replace the first part.
    let mut place = shard.as_os_str().to_owned();
    place.push("/");
    place.push(name);
    place.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart_at_the_first_and_the_last_dot() {
        let parts = |name: &'static str| {
            let name = Name::of(name.as_bytes())?;
            let text = |bytes| std::str::from_utf8(bytes).unwrap();
            Some((text(name.key), text(name.stem), name.middle().map(text), name.role))
        };
        use Role::{Image, Json, Label};
        assert_eq!(parts("./a.b/1.PNG"), Some(("a.b/1", "a.b/1", None, Image)));
        assert_eq!(parts("1.v1.5.cls"), Some(("1", "1.v1.5", Some("v1.5"), Label)));
        assert_eq!(parts("/1.JSON"), Some(("1", "1", None, Json)));
        for name in ["a", "a/b.c/", "._1.png", "__MACOSX/1.png", ".x/1.png", "1.txt", "1.", ""] {
            assert_eq!(parts(name), None, "{name}");
        }
        assert!(is_numbered(b"7") && is_numbered(b"v1.5") && !is_numbered(b"mask16.v"));
    }

    #[test]
    fn a_place_begins_with_its_shard_and_steers_no_terminal() {
        let place = |name: &[u8]| place_in(Path::new("a/0.tar"), name).display().to_string();
        assert_eq!(place(b"./x/1.png"), "a/0.tar/x/1.png");
        assert_eq!(place(b"/etc/\x1b[2J\xff.png"), "a/0.tar/etc/\u{fffd}[2J\u{fffd}.png");
    }
}

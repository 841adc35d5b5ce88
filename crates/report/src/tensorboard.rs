//! TensorBoard event files: `tensorboard --logdir runs` shows what [`EventWriter`] writes.
//!
//! A folder is a run in TensorBoard. Its files, in the order of their names, are one stream of
//! events. An interrupted run continues in a new file. The first events of that file tell
//! TensorBoard from which step on the earlier events no longer count. Each event is one record with
//! checksums, written at once and never buffered. Readers see it immediately, and a crash leaves at
//! most one torn record. TensorBoard skips it.
//!
//! ```no_run
//! # fn main() -> Result<(), selfsame_report::EventError> {
//! use selfsame_report::{EventWriter, code_block};
//!
//! let mut events = EventWriter::create("runs/first/events".as_ref())?;
//! events.text("config", 0, &code_block("toml", "epochs = 20"))?;
//! for step in 0..300 {
//!     events.scalar("train/loss", step, 1.0 / (step + 1) as f32)?;
//! }
//! events.flush()
//! # }
//! ```

mod histogram;
mod png;
mod record;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use record::Message;

/// The beginning of every event file's name. The seconds since 1970 follow.
const PREFIX: &str = "events.out.tfevents.";
/// TensorBoard orders files by name. That is the order of time only while the seconds have ten
/// digits.
const LAST_SECOND: u64 = 9_999_999_999;
/// How many names are tried when others write into the same folder at the same time.
const ATTEMPTS: usize = 100;

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An image that does not begin as PNG files do.
    #[error("the image {tag:?} is not a PNG file")]
    NotPng {
        /// The image's tag.
        tag: String,
    },
}

/// When something happened: the training step, and the time in seconds since 1970.
///
/// A bare step means "now".
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct At {
    /// The training step, below 2⁶³.
    pub step: u64,
    /// Seconds since 1970 (UTC).
    pub wall_time: f64,
}

impl From<u64> for At {
    fn from(step: u64) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { step, wall_time: since_1970.map_or(0.0, |time| time.as_secs_f64()) }
    }
}

/// Writes one event file.
///
/// A tag with slashes, `train/loss`, is shown in the group `train`. Writing may continue after an
/// error: the torn record of a failed write is removed before the next one.
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: File,
    /// Bytes of whole records.
    length: u64,
    /// Whether a part of a record may follow them.
    torn: bool,
}

impl EventWriter {
    /// A new file in `dir`. The folder is created if it is missing. Its earlier events no longer
    /// count.
    ///
    /// # Errors
    /// [`EventError::Io`] if the folder cannot be made or read, or the file not written.
    pub fn create(dir: &Path) -> Result<Self, EventError> {
        Self::append(dir, 0)
    }

    /// A new file in `dir` that continues the earlier ones at `at.step`, the next step. Their
    /// events from that step on no longer count.
    ///
    /// # Errors
    /// [`EventError::Io`] if the folder cannot be made or read, or the file not written.
    pub fn append(dir: &Path, at: impl Into<At>) -> Result<Self, EventError> {
        let at = at.into();
        fs::create_dir_all(dir).map_err(failed("make", dir))?;
        let (path, file) = next_file(dir, at.wall_time as u64)?;
        let mut writer = Self { path, file, length: 0, torn: false };
        let version = Message::default().double(1, at.wall_time).block(3, b"brain.Event:2");
        writer.write(&version)?;
        // TensorBoard takes the first START of a folder for the beginning and later ones for a
        // resumption. So every file has one.
        let start = Message::default().integer(1, 1);
        writer.write(&event(at, 7, &start))?;
        Ok(writer)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A point of the curve `tag`. NaN and infinities are written as they are: TensorBoard marks
    /// them.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn scalar(&mut self, tag: &str, at: impl Into<At>, value: f32) -> Result<(), EventError> {
        self.summary(at.into(), tagged(tag).chosen_float(2, value))
    }

    /// How `values` are distributed, in 30 buckets of equal width. Values that are not finite are
    /// left out.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn histogram(
        &mut self,
        tag: &str,
        at: impl Into<At>,
        values: &[f32],
    ) -> Result<(), EventError> {
        let counted = histogram::histogram(values);
        self.summary(at.into(), tagged(tag).block(5, counted.bytes()))
    }

    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// [`EventError::NotPng`] if they do not begin as those of a PNG file, [`EventError::Io`] if
    /// the file cannot be written.
    pub fn image_png(
        &mut self,
        tag: &str,
        at: impl Into<At>,
        png: &[u8],
    ) -> Result<(), EventError> {
        let header = png::header(png).ok_or_else(|| EventError::NotPng { tag: tag.to_owned() })?;
        let image = Message::default()
            .integer(1, header.height.into())
            .integer(2, header.width.into())
            .integer(3, header.channels.into())
            .block(4, png);
        self.summary(at.into(), tagged(tag).block(4, image.bytes()))
    }

    /// Text in Markdown; [`code_block`] is for text that is to be shown as it is.
    ///
    /// # Errors
    /// [`EventError::Io`] if the file cannot be written.
    pub fn text(&mut self, tag: &str, at: impl Into<At>, markdown: &str) -> Result<(), EventError> {
        /// `DT_STRING` of TensorFlow's data types.
        const STRING: u64 = 7;
        let one = Message::default().integer(1, 1);
        let shape = Message::default().block(2, one.bytes());
        let tensor = Message::default()
            .integer(1, STRING)
            .block(2, shape.bytes())
            .block(8, markdown.as_bytes());
        let plugin = Message::default().block(1, b"text");
        let metadata = Message::default().block(1, plugin.bytes());
        let value = tagged(tag).block(8, tensor.bytes()).block(9, metadata.bytes());
        self.summary(at.into(), value)
    }

    /// Waits until the operating system has put everything on the disk. Readers see it without
    /// this.
    ///
    /// # Errors
    /// [`EventError::Io`] if it could not.
    pub fn flush(&mut self) -> Result<(), EventError> {
        self.file.sync_data().map_err(failed("flush", &self.path))
    }

    /// Writes one value of a summary.
    fn summary(&mut self, at: At, value: Message) -> Result<(), EventError> {
        let summary = Message::default().block(1, value.bytes());
        self.write(&event(at, 5, &summary))
    }

    /// Writes one record in one call. Removes the torn record of a failed write first.
    fn write(&mut self, event: &Message) -> Result<(), EventError> {
        let record = record::frame(event.bytes());
        if self.torn {
            self.file.set_len(self.length).map_err(failed("shorten", &self.path))?;
        }
        self.torn = true;
        self.file.write_all(&record).map_err(failed("write", &self.path))?;
        self.torn = false;
        self.length += record.len() as u64;
        Ok(())
    }
}

/// `text` as a fenced code block of Markdown, with a fence that the text does not contain.
#[must_use]
pub fn code_block(language: &str, text: &str) -> String {
    let longest = text.split(|letter| letter != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(3.max(longest + 1));
    format!("{fence}{language}\n{}\n{fence}\n", text.trim_end())
}

/// An `Event` with `content` as its member `field`.
fn event(at: At, field: u8, content: &Message) -> Message {
    let step = at.step.min(i64::MAX as u64);
    Message::default().double(1, at.wall_time).integer(2, step).block(field, content.bytes())
}

/// The beginning of a `Summary.Value`.
fn tagged(tag: &str) -> Message {
    Message::default().block(1, tag.as_bytes())
}

/// Creates the file of a writer that begins at `second`. Its name sorts after those of all earlier
/// event files, since TensorBoard reads files by name. This holds even if the clock was set back,
/// or if two files begin in one second.
fn next_file(dir: &Path, second: u64) -> Result<(PathBuf, File), EventError> {
    let newest = newest_second(dir).map_err(failed("read", dir))?;
    let first = second.min(LAST_SECOND).max(newest.map_or(0, |newest| newest + 1));
    let process = std::process::id();
    for second in (first..=LAST_SECOND).take(ATTEMPTS) {
        let path = dir.join(format!("{PREFIX}{second:010}.selfsame.{process}"));
        match OpenOptions::new().append(true).create_new(true).open(&path) {
            Ok(file) => return Ok((path, file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("make", &path)(error)),
        }
    }
    Err(failed("make a new event file in", dir)(io::ErrorKind::AlreadyExists.into()))
}

/// The greatest second in the names of the event files of `dir`.
fn newest_second(dir: &Path) -> io::Result<Option<u64>> {
    let mut newest = None;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let second = name.to_str().and_then(second_of).filter(|&second| second <= LAST_SECOND);
        newest = newest.max(second);
    }
    Ok(newest)
}

/// The second in the name of an event file, whoever wrote it.
fn second_of(name: &str) -> Option<u64> {
    name.strip_prefix(PREFIX)?.split('.').next()?.parse().ok()
}

/// Adds the path to an error of the operating system.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> EventError {
    let path = path.to_owned();
    move |source| EventError::Io { action, path, source }
}

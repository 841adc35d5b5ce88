//! The errors of this crate.

use std::fmt;
use std::path::{Path, PathBuf};

/// What can go wrong between a file and a batch.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No data set of that name.
    #[error(
        "no data set is called {name:?}; {}there are {known}. Import one with \
         `selfsame dataset import {name} PATH`, or point --images at a folder",
        meant.as_ref().map_or(String::new(), |meant| format!("did you mean {meant}? "))
    )]
    Unknown {
        /// The name asked for.
        name: String,
        /// The name that was probably meant.
        meant: Option<String>,
        /// The names there are.
        known: String,
    },
    /// A known data set whose files are not here.
    #[error("the files of {name} are not in {folder}: {hint}")]
    Absent {
        /// The data set.
        name: String,
        /// Where they are looked for.
        folder: PathBuf,
        /// How to get them.
        hint: String,
    },
    /// Another process is downloading the same data set.
    #[error(
        "another process is downloading {name} (it holds the lock {path}); wait until it is done"
    )]
    Locked {
        /// The data set.
        name: String,
        /// The locked file.
        path: PathBuf,
    },
    /// A file could not be had from any address.
    #[error(
        "{file} could not be downloaded:{}\nWhat has arrived is kept: try again later, name another \
         place with `--mirror URL-OR-FOLDER`, or put the file into {folder}",
        lines(failures)
    )]
    Download {
        /// Its name.
        file: String,
        /// The folder that a copy would be taken from.
        folder: PathBuf,
        /// Every attempt in order.
        failures: Vec<FetchFailure>,
    },
    /// Files are missing, and no server may be asked.
    #[error(
        "{name} is not complete, and nothing is downloaded offline. Put these files into {folder}, \
         or name a folder that has them with `--mirror FOLDER`:{}",
        lines(files)
    )]
    Offline {
        /// The data set.
        name: String,
        /// Where to put them.
        folder: PathBuf,
        /// Where each can be had.
        files: Vec<String>,
    },
    /// A folder or a file without a single usable image.
    #[error("{path} holds no readable image{detail}")]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What was found instead.
        detail: String,
    },
    /// A request that does not fit the data.
    #[error("{0}")]
    Request(String),
    /// An error of the augmentation.
    #[error(transparent)]
    Augment(#[from] selfsame_augment::AugmentError),
}

/// One attempt at a file that failed.
#[derive(Debug)]
pub struct FetchFailure {
    /// A URL or a path.
    pub from: String,
    /// What went wrong.
    pub error: FetchError,
}

impl fmt::Display for FetchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.from, self.error)
    }
}

/// Why a file did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The server's answer was neither the file nor a part of it.
    #[error("the server answered {0}")]
    Status(u16),
    /// No connection, or a broken one.
    #[error("{0}")]
    Connection(String),
    /// No data arrived for too long.
    #[error("no data arrived for too long")]
    Timeout,
    /// The answer ended early.
    #[error("only {found} of {expected} bytes arrived")]
    Short {
        /// Bytes of the file.
        expected: u64,
        /// Bytes that arrived.
        found: u64,
    },
    /// A continuation that does not fit the bytes here.
    #[error("cannot continue the part that is here: {0}")]
    Range(String),
    /// Not the size that the manifest says.
    #[error("{found} bytes instead of the {expected} that the manifest says")]
    Size {
        /// Bytes of the file as the manifest says.
        expected: u64,
        /// Bytes announced or found.
        found: u64,
    },
    /// More bytes than may be written.
    #[error("more than {limit} bytes")]
    TooLarge {
        /// How many may be.
        limit: u64,
    },
    /// Not the bytes that the manifest says.
    #[error("its SHA-256 is {found}, the manifest says {expected}")]
    Sum {
        /// In hexadecimal, as the manifest says.
        expected: String,
        /// In hexadecimal, of the file that arrived.
        found: String,
    },
    /// A file here could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

impl FetchError {
    pub(crate) fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// One item a line. Repeated items stand once, with their count.
fn lines(items: &[impl fmt::Display]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    let line = |same: &[String]| match same.len() {
        1 => format!("\n  {}", same[0]),
        times => format!("\n  {} ({times} times)", same[0]),
    };
    items.chunk_by(|a, b| a == b).map(line).collect()
}

impl DataError {
    pub(crate) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What is wrong, without the path, for places that show the path anyway.
    pub fn reason(self) -> String {
        match self {
            Self::Io { action, source, .. } => format!("cannot {action} it: {source}"),
            Self::Format { reason, .. } => reason,
            other => other.to_string(),
        }
    }

    pub(crate) fn format(path: &Path, reason: impl Into<String>) -> Self {
        Self::Format { path: path.to_owned(), reason: reason.into() }
    }
}

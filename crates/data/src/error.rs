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
        "no data set is called {name:?}; there are {known}. Import one with \
         `cargo xtask dataset import {name} PATH`, or point --images at a folder"
    )]
    Unknown {
        /// The name asked for.
        name: String,
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
    /// From the augmentation.
    #[error(transparent)]
    Augment(#[from] selfsame_augment::AugmentError),
}

impl DataError {
    pub(crate) fn io(
        action: &'static str,
        path: &Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { action, path, source }
    }

    /// What is wrong, without the path where it stands beside it anyway.
    pub(crate) fn reason(self) -> String {
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

//! Errors, sorted by what the caller can do about them.

use std::fmt;
use std::io::ErrorKind as IoErrorKind;

use selfsame_data::DataError;
use selfsame_models::ModelError;
use selfsame_trainers::TrainError;

/// The result of work that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error. Its cause is its [`source`](std::error::Error::source).
pub struct Error(anyhow::Error);

/// What the caller can do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request can never work. Ask for something else.
    Request,
    /// The run was asked to end and has saved everything. Resume it at any time.
    Interrupted,
    /// The work failed. Remove the cause, and ask again.
    Failed,
}

impl Error {
    /// The kind of error.
    pub fn kind(&self) -> ErrorKind {
        if self.0.is::<Interrupted>() {
            ErrorKind::Interrupted
        } else if can_never_work(&self.0) {
            ErrorKind::Request
        } else {
            ErrorKind::Failed
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        // An error of this crate that passes through it again stays the same.
        error.downcast::<Self>().unwrap_or_else(Self)
    }
}

/// A request that can never work, with any content of the files.
#[derive(Debug)]
pub(crate) struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Shorthand for an error of kind [`ErrorKind::Request`].
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// A run that was asked to end and has saved everything.
#[derive(Debug)]
pub(crate) struct Interrupted(pub String);

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Interrupted {}

fn can_never_work(error: &anyhow::Error) -> bool {
    let asked_wrongly = error.chain().any(is_request);
    // A failure in the middle of training is no wrong request.
    let in_training = error.chain().any(|cause| cause.is::<TrainError>());
    asked_wrongly && !in_training
}

/// Whether the request is wrong: the named thing is missing, or of the wrong kind. A damaged file,
/// or one that must still be downloaded, is no wrong request.
fn is_request(cause: &(dyn std::error::Error + 'static)) -> bool {
    let not_there = |error: &std::io::Error| {
        matches!(error.kind(), IoErrorKind::NotFound | IoErrorKind::NotADirectory)
    };
    if cause.is::<Usage>() {
        return true;
    }
    match (cause.downcast_ref(), cause.downcast_ref()) {
        (Some(DataError::Io { source, .. }), _) => not_there(source),
        (Some(error), _) => matches!(
            error,
            DataError::Unknown { .. } | DataError::NoImages { .. } | DataError::Request(_)
        ),
        (_, Some(ModelError::Read { source, .. })) => not_there(source),
        (_, Some(error)) => matches!(error, ModelError::Config { .. }),
        (None, None) => false,
    }
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn kinds_survive_context_and_a_second_passage() {
        let error = Error::from(usage("no such thing").context("while asking"));
        assert_eq!(error.kind(), ErrorKind::Request);
        let again = Error::from(anyhow::Error::from(error));
        assert_eq!(again.kind(), ErrorKind::Request);
        assert_eq!(again.to_string(), "while asking");
        assert_eq!(std::error::Error::source(&again).unwrap().to_string(), "no such thing");

        let interrupted = Error::from(anyhow::Error::from(Interrupted("saved".into())));
        assert_eq!(interrupted.kind(), ErrorKind::Interrupted);
        let failed: anyhow::Result<()> = Err(anyhow!("disk full"));
        assert_eq!(Error::from(failed.context("writing").unwrap_err()).kind(), ErrorKind::Failed);
    }
}

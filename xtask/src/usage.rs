use std::fmt;
use std::io::ErrorKind;

use selfsame_data::DataError;
use selfsame_models::ModelError;
use selfsame_trainers::TrainError;

/// A request that can never work, whatever the files hold: exit status 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Shorthand for a usage error.
pub fn usage(message: impl Into<String>) -> anyhow::Error {
    Usage(message.into()).into()
}

/// The exit status for an error: 2 for a request that cannot work, else 1.
pub fn status(error: &anyhow::Error) -> u8 {
    let cannot_work = error.chain().any(is_request);
    // What fails in the middle of training worked when it was asked for.
    let in_training = error.chain().any(|cause| cause.is::<TrainError>());
    if cannot_work && !in_training { 2 } else { 1 }
}

/// Whether the command is to be written otherwise: what it names is not there, or is not what the command takes. Files
/// that are damaged or still to be downloaded are not of that kind.
fn is_request(cause: &(dyn std::error::Error + 'static)) -> bool {
    let not_there = |error: &std::io::Error| {
        matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
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

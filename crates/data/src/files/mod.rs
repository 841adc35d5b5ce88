//! Files as bytes: archives, checksums, text, and reads at a position.

pub(crate) mod archive;
pub(crate) mod checksums;
pub(crate) mod positioned;
pub(crate) mod text;

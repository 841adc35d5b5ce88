//! Data sets by name: how they get here, what is here, and how one is opened.

pub(crate) mod detect;
pub(crate) mod download;
pub(crate) mod entries;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod manifest;
pub(crate) mod open;
pub(crate) mod verify;

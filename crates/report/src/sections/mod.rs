//! The parts of a page that are not drawn: tables, verdicts, galleries and settings.

pub(crate) mod gallery;
pub(crate) mod settings;
pub(crate) mod table;
pub(crate) mod usage;
pub(crate) mod verdict;
pub(crate) mod views;

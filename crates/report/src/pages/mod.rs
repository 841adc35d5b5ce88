//! Whole documents: one run, several runs side by side, a study.

pub(crate) mod comparison;
mod limits;
mod markdown;
pub(crate) mod run;
pub(crate) mod study;

//! The pages of a study.

pub mod compare;
pub mod method_chart;
pub mod publish;

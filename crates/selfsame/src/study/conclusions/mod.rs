//! Conclusions in words: which claims hold, and which method to choose.

pub mod claims;
pub mod recommendation;

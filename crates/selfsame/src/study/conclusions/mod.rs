//! What runs show, in words: claims and whether they hold, and which method to choose.

pub mod claims;
pub mod recommendation;

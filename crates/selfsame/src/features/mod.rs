//! From images to features: how images are prepared, encoded, and their features kept.

pub mod cache;
pub mod images;
pub mod joined;
pub mod preprocessing;
pub mod streamed;
pub mod weights;

//! From images to features: preparation, encoding, and storage of features.

pub mod cache;
pub mod images;
pub mod joined;
pub mod preprocessing;
pub mod streamed;
pub mod weights;

//! ResNet encoders, projector and predictor heads for Burn.
//!
//! Everything here is a plain Burn [`Module`](burn::module::Module). Parameters carry
//! torchvision's names and layouts, so weight files move between the two without renaming.
//! Initial weights come from a counter-based generator of our own and are the same bits on
//! every backend.

mod encoder;

pub use encoder::Encoder;

//! ResNet encoders, projector and predictor heads for Burn.
//!
//! Everything here is a plain Burn [`Module`](burn::module::Module). Parameters carry torchvision's
//! names and layouts, so weight files move between the two without renaming ([`weights`]). Initial
//! weights come from our own generator. They have the same bits on every backend ([`init`]).

mod encoder;
mod error;
mod heads;
pub mod init;
pub mod layers;
pub mod named;
mod resnet;
pub mod weights;

pub use encoder::Encoder;
pub use error::ModelError;
pub use heads::{Mlp, MlpConfig};
pub use resnet::{Architecture, ResNet, ResNetConfig, Stem};

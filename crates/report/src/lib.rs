//! What people look at after training: a self-contained page and TensorBoard event files, made from plain
//! data. Knows neither encoders nor data sets.

mod tensorboard;

pub use tensorboard::{At, EventError, EventWriter, code_block};

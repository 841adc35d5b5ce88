//! Self-supervised pretraining of image encoders, from settings to report.
//!
//! A [`Run`] trains an encoder on images without their labels, evaluates it next to baselines, and
//! writes a folder with weights, figures and a page:
//!
//! ```no_run
//! let run = selfsame::Run::byol().images("my-photos").out("runs/photos").start()?;
//! println!("{:?}", run.summary().knn_top1);
//! # Ok::<(), selfsame::Error>(())
//! ```
//!
//! [`evaluate`] scores the frozen features of a run in depth, [`embed`] and [`search`] use them,
//! [`compare`] and [`ablate`] make many runs and draw conclusions from them. The program `selfsame`
//! (crate `selfsame-cli`) is a command line for this crate.
//!
//! This crate prints nothing. An [`Observer`] receives the progress.

mod built_in;
mod clock;
mod device;
mod error;
mod evaluation;
mod evenly;
mod features;
mod folder;
mod hex;
mod images;
mod methods;
mod names;
mod observer;
mod page;
mod places;
mod run;
mod search;
pub mod settings;
mod sheet;
mod study;
mod words;

pub use selfsame_augment as augment;
pub use selfsame_data as data;
pub use selfsame_eval as eval;
pub use selfsame_kernels as kernels;
pub use selfsame_losses as losses;
pub use selfsame_models as models;
pub use selfsame_report as report;
pub use selfsame_trainers as trainers;

pub use built_in::{BUILT_IN, open_images, unpack_built_in};
pub use clock::{Phase, Seconds};
pub use error::{Error, ErrorKind, Result};
pub use evaluation::{Options as EvaluateOptions, Outcome};
pub use features::images::{LoaderSource, PlainImages};
pub use folder::failure::Failure;
pub use folder::summary::Summary;
pub use observer::{Evaluated as EvaluatedEpoch, Event, Observer, Progress, Step, Unit};
pub use page::{Evaluated, evaluate, report as make_report};
pub use places::datasets;
pub use run::{Asked, Finished, Interrupt, Replayed, Run, Start, replay};
pub use search::{EmbedOptions, Embedded, Found, Neighbour, Part, SearchOptions, embed, search};
pub use sheet::{SheetOptions, ViewRecipe, view_sheet};
pub use study::{AblateOptions, CompareOptions, Jobs, Studied, StudyOptions, ablate, compare};

/// Internals that the other packages of this repository use. They may change at any time.
#[doc(hidden)]
pub mod workshop {
    pub use crate::device::parse;
    pub use crate::device::threads;
    #[cfg(any(feature = "cuda", feature = "wgpu"))]
    pub use crate::device::{gpu, is_gpu};
    pub use crate::error::usage;
    pub use crate::folder::{CHECKPOINTS, ENCODER, METRICS, SUMMARY, newest_checkpoint};
    pub use crate::images::{Sides, open, readable};
    pub use crate::methods::{MethodTask, with_method};
    pub use crate::observer::Voice;
    pub use crate::page::machine::describe;
    pub use crate::run::{Place, Training, loader};
    pub use crate::settings::known;
    pub use crate::study::end_with_study;
    /// Small things about words in messages.
    pub mod words {
        pub use crate::words::{causes, count, pasted, plain, reasons, shown};
    }
}

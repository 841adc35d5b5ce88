//! Studies: many runs that differ in one thing, and what they say together.
//!
//! A study is a folder. `settings/NAME.toml` is what a run was asked for, `runs/NAME/` is that run, made by this
//! program in a process of its own, so that memory is the run's and a crash is too. The same command again goes on
//! where it was cut off.

pub mod ablate;
mod budget;
mod chance;
mod claims;
pub mod compare;
mod compare_page;
mod comparison;
mod figures;
#[cfg(test)]
mod made_up;
mod measured;
mod method_chart;
mod publish;
mod recommendation;
mod trials;
mod variants;

pub use publish::command_line;

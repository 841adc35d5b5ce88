//! What the cross-crate tests share: exact inputs, reference files, and the record of how near
//! each reference was met.

pub mod batches;
pub mod extremes;
pub mod fidelity;
pub mod inputs;
pub mod noise;
pub mod objectives;

//! How near the project comes to its references, measured by the tests.
//!
//! `cargo xtask fidelity` runs them and prints the measurements as docs/FIDELITY.md.

use std::path::{Path, PathBuf};

/// Where tests leave their measurements, one file per item; `cargo xtask fidelity` sets it.
pub const FOLDER_VARIABLE: &str = "SELFSAME_FIDELITY";

/// One row of the page: something of ours, its reference, and the worst error over all cases.
#[derive(Debug)]
pub struct Item {
    name: &'static str,
    reference: &'static str,
    bound: f64,
    note: &'static str,
    cases: usize,
    worst: f64,
    worst_case: String,
}

impl Item {
    /// `bound`: the largest relative error that passes.
    pub fn new(name: &'static str, reference: &'static str, bound: f64) -> Self {
        Self { name, reference, bound, note: "", cases: 0, worst: 0.0, worst_case: String::new() }
    }

    /// Why the bound is not 1e-5, or what else a reader should know.
    pub fn note(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    /// Compares arrays by `max |ours − reference| / max |reference|`.
    pub fn compare(&mut self, case: &str, ours: &[f32], reference: &[f32]) {
        self.compare_at_scale(case, ours, reference, 0.0);
    }

    /// [`compare`](Self::compare) where the reference may be 0 on paper: `scale` is the size of
    /// the terms that cancel there.
    pub fn compare_at_scale(&mut self, case: &str, ours: &[f32], reference: &[f32], scale: f64) {
        assert_eq!(ours.len(), reference.len(), "{}: {case}: lengths", self.name);
        let largest = |values: &mut dyn Iterator<Item = f64>| values.fold(0.0, f64::max);
        let size = largest(&mut reference.iter().map(|r| f64::from(*r).abs())).max(scale);
        let pairs = ours.iter().zip(reference);
        let error = largest(&mut pairs.map(|(o, r)| match (f64::from(*o) - f64::from(*r)).abs() {
            nan if nan.is_nan() => f64::INFINITY,
            error => error,
        }));
        self.record(case, if error == 0.0 { 0.0 } else { error / size });
    }

    /// Counts a case with the given error.
    pub fn record(&mut self, case: &str, error: f64) {
        self.cases += 1;
        if error > self.worst || self.worst_case.is_empty() {
            (self.worst, self.worst_case) = (error, case.to_owned());
        }
    }

    /// Ends the item: leaves the measurement for the page, and fails the test beyond the bound.
    ///
    /// # Panics
    /// When an error exceeds the bound, or nothing was compared.
    pub fn finish(self) {
        assert!(self.cases > 0, "{}: nothing was compared", self.name);
        if let Some(folder) = std::env::var_os(FOLDER_VARIABLE) {
            self.write(&PathBuf::from(folder)).expect("the measurement can be written");
        }
        assert!(
            self.worst <= self.bound,
            "{}: error {:.2e} in {} is above {:.0e}",
            self.name,
            self.worst,
            self.worst_case,
            self.bound
        );
    }

    fn write(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        let slug: String =
            self.name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
        let measured = serde_json::json!({
            "name": self.name,
            "reference": self.reference,
            "cases": self.cases,
            "worst": self.worst,
            "worst_case": self.worst_case,
            "bound": self.bound,
            "note": self.note,
        });
        std::fs::write(folder.join(slug).with_extension("json"), measured.to_string())
    }
}

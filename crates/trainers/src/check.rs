//! Checks that the settings of several methods share.

use crate::TrainError;

/// # Errors
/// A width of 0.
pub fn widths(named: &[(&'static str, usize)]) -> Result<(), TrainError> {
    match named.iter().find(|(_, width)| *width == 0) {
        Some((field, _)) => Err(TrainError::config(field, "must be at least 1")),
        None => Ok(()),
    }
}

/// # Errors
/// No layer, or one of width 0.
pub fn layers(field: &'static str, widths: &[usize]) -> Result<(), TrainError> {
    if widths.is_empty() || widths.contains(&0) {
        let reason = format!("{widths:?}: at least one width is needed, none of them 0");
        return Err(TrainError::config(field, reason));
    }
    Ok(())
}

/// # Errors
/// A number that is 0, negative or not finite.
pub fn positive(named: &[(&'static str, f64)]) -> Result<(), TrainError> {
    within(named, |v| v > 0.0, "above 0")
}

/// # Errors
/// A number that is negative or not finite.
pub fn not_negative(named: &[(&'static str, f64)]) -> Result<(), TrainError> {
    within(named, |v| v >= 0.0, "of at least 0")
}

/// # Errors
/// A number outside `[0, 1]`.
pub fn shares(named: &[(&'static str, f64)]) -> Result<(), TrainError> {
    within(named, |v| (0.0..=1.0).contains(&v), "from 0 to 1")
}

fn within(
    named: &[(&'static str, f64)],
    allowed: impl Fn(f64) -> bool,
    range: &str,
) -> Result<(), TrainError> {
    match named.iter().find(|(_, value)| !(value.is_finite() && allowed(*value))) {
        Some((field, value)) => {
            Err(TrainError::config(field, format!("{value} is not a finite number {range}")))
        }
        None => Ok(()),
    }
}
